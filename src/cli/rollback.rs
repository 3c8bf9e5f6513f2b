//! `nanoseg rollback`: restores an earlier policy of a workload, or of a whole namespace.

use super::decision::{DecideArgs, Decider, Decision};
use super::proposals::created;
use super::{exit, terminal};
use crate::review::resources::{Phase, PolicyProposal, Verb};
use anyhow::{Context, bail};
use jiff::Timestamp;
use kube::ResourceExt;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Restore an earlier policy of a workload, or of all workloads of a namespace
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Restore an earlier policy of a workload: by default the one before the last approved. A \
revision is the number of an approved proposal (nanoseg proposals --phase all -o json); none \
means no policy at all. A revision that was rolled back can be restored too: its proposal is approved again, as a new \
revision. With --namespace-wide every workload gets the policy that was approved at a given time.",
    after_long_help = "\
Examples:
  Undo the last approval:
    nanoseg rollback web -n shop --reason 'checkout fails since 14:02'

  Restore revision 2, or remove the policy:
    nanoseg rollback web -n shop --to 2
    nanoseg rollback web -n shop --to none

  Bring revision 2 back after it was rolled back:
    nanoseg rollback web -n shop --to 2 --reason 'it was the load balancer'

  Restore the whole namespace as it was in the morning:
    nanoseg rollback --namespace-wide --to-time 2026-11-24T08:00:00Z -n shop

  In an emergency, to remove all policies at once:
    kubectl annotate --overwrite namespace shop \\
      nanoseg.dev/break-glass='checkout is down' nanoseg.dev/break-glass-by=YOUR-USER

Exit codes: 0 done; 1 refused, or no answer in time; 2 an error, such as no right to decide."
)]
pub struct Args {
    /// The workload, as name or kind/name
    #[arg(value_name = "WORKLOAD", required_unless_present = "namespace_wide")]
    workload: Option<String>,
    /// The revision to restore (default: the one before the last).
    #[arg(long, value_name = "REVISION|none", value_parser = parse_revision, requires = "workload")]
    to: Option<u32>,
    /// All workloads of the namespace.
    #[arg(long, requires = "to_time", conflicts_with = "workload")]
    namespace_wide: bool,
    /// With --namespace-wide: undo what was approved after this time (RFC 3339).
    #[arg(long, value_name = "TIME", requires = "namespace_wide")]
    to_time: Option<Timestamp>,
    /// The reason; it is written to the record.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    decide: DecideArgs,
}

/// `none` is 0, before the first revision.
fn parse_revision(text: &str) -> Result<u32, String> {
    match text {
        "none" => Ok(0),
        number => number
            .parse()
            .map_err(|_| "write the number of a revision, or none".into()),
    }
}

/// One step back, or forward to what was rolled back.
#[derive(Debug, Clone, Copy)]
struct Step<'a> {
    proposal: &'a PolicyProposal,
    /// Undo the proposal, or approve it again.
    verb: Verb,
}

impl<'a> Step<'a> {
    fn undo(proposal: &'a PolicyProposal) -> Step<'a> {
        Step {
            proposal,
            verb: Verb::Rollback,
        }
    }

    /// What it does, in one line.
    fn words(&self) -> String {
        let (workload, name) = (&self.proposal.spec.workload.name, self.proposal.name_any());
        match self.verb {
            Verb::Approve => format!(
                "restore {workload}: {name}, which was rolled back, is approved again as a new revision\n"
            ),
            _ => format!("roll back {workload}: {name} and what was approved after it is undone\n"),
        }
    }
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let decider = Decider::connect(&args.decide)?;
    let all = decider.proposals()?;
    let steps: Vec<Step> = match (&args.workload, args.to_time) {
        (Some(workload), _) => {
            let mine = of_workload(&all, workload, &decider.namespace)?;
            vec![choose(&mine, args.to, workload)?]
        }
        (None, Some(time)) => {
            let undone = since(&all, time, &approvals(&decider)?);
            undone.into_iter().map(Step::undo).collect()
        }
        (None, None) => bail!("name a workload, or --namespace-wide --to-time TIME"),
    };
    if steps.is_empty() {
        eprintln!(
            "nothing was approved after that time in namespace {}",
            decider.namespace
        );
        return Ok(ExitCode::SUCCESS);
    }
    for step in &steps {
        terminal::print(&step.words())?;
    }
    let question = match steps.as_slice() {
        [step] if step.verb == Verb::Approve => "restore it?",
        _ => "roll back?",
    };
    if !decider.confirm(question)? {
        eprintln!("nothing was changed");
        return Ok(ExitCode::from(exit::FINDINGS));
    }
    let decisions: Vec<Decision> = steps
        .into_iter()
        .map(|step| Decision {
            proposal: step.proposal,
            verb: step.verb,
            reason: &args.reason,
            except: &[],
            open_for: None,
        })
        .collect();
    Ok(if decider.decide(&decisions)? {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit::FINDINGS)
    })
}

/// The number of its revision, if it can still be undone.
fn revision(proposal: &PolicyProposal) -> Option<u32> {
    let undoable = matches!(
        proposal.phase(),
        Phase::Approved | Phase::Applied | Phase::Superseded
    );
    let number = proposal.status.as_ref()?.applied_revision?;
    undoable.then_some(number)
}

/// The number of its revision, if that was rolled back.
fn undone_revision(proposal: &PolicyProposal) -> Option<u32> {
    let number = proposal.status.as_ref()?.applied_revision?;
    (proposal.phase() == Phase::RolledBack).then_some(number)
}

fn of_workload<'a>(
    all: &'a [PolicyProposal],
    workload: &str,
    namespace: &str,
) -> anyhow::Result<Vec<&'a PolicyProposal>> {
    let (kind, name) = match workload.split_once('/') {
        Some((kind, name)) => (Some(kind), name),
        None => (None, workload),
    };
    let mine: Vec<&PolicyProposal> = all
        .iter()
        .filter(|one| one.spec.workload.name == name)
        .filter(|one| kind.is_none_or(|kind| kind.eq_ignore_ascii_case(&one.spec.workload.kind)))
        .collect();
    let first = mine
        .first()
        .with_context(|| format!("there is no proposal for {workload} in namespace {namespace}"))?;
    if let Some(other) = mine
        .iter()
        .find(|one| one.spec.workload.kind != first.spec.workload.kind)
    {
        let (one, two) = (&first.spec.workload.kind, &other.spec.workload.kind);
        bail!("{name} can be a {one} or a {two}; write {one}/{name} or {two}/{name}");
    }
    Ok(mine)
}

/// The step that restores revision `to`: to undo the proposal right after it, of those that are not undone, or to
/// approve it again if it was undone itself (rule: rollback-has-a-way-forward).
fn choose<'a>(
    mine: &[&'a PolicyProposal],
    to: Option<u32>,
    workload: &str,
) -> anyhow::Result<Step<'a>> {
    let by_number = |number: fn(&PolicyProposal) -> Option<u32>| {
        let theirs = mine.iter().filter_map(|one| Some((number(one)?, *one)));
        theirs.collect::<BTreeMap<u32, &'a PolicyProposal>>()
    };
    let (applied, undone) = (by_number(revision), by_number(undone_revision));
    let listed = |map: &BTreeMap<u32, &PolicyProposal>| {
        let numbers: Vec<String> = map.keys().map(u32::to_string).collect();
        if numbers.is_empty() {
            "none".to_owned()
        } else {
            numbers.join(", ")
        }
    };
    let known = || {
        format!(
            "approved: {}; rolled back: {}",
            listed(&applied),
            listed(&undone)
        )
    };
    let Some(to) = to else {
        let last = applied.values().next_back().copied();
        let last = last.with_context(|| {
            format!(
                "{workload} has no approved policy, so nothing can be undone; --to restores a revision ({})",
                known()
            )
        })?;
        return Ok(Step::undo(last));
    };
    if let Some(proposal) = undone.get(&to) {
        return Ok(Step {
            proposal,
            verb: Verb::Approve,
        });
    }
    anyhow::ensure!(
        to == 0 || applied.contains_key(&to),
        "{workload} has no revision {to}; {}",
        known()
    );
    let mut later = applied.range(to.saturating_add(1)..);
    let next = later.next().map(|(_, proposal)| Step::undo(proposal));
    next.with_context(|| match to {
        0 => format!("{workload} has no policy already"),
        to => format!("revision {to} of {workload} is in force already"),
    })
}

/// When each proposal was approved: by the name of the proposal, from the decisions.
fn approvals(decider: &Decider) -> anyhow::Result<BTreeMap<String, Timestamp>> {
    let mut found = BTreeMap::new();
    for decision in decider.decisions()? {
        let accepted = decision.status.as_ref().and_then(|status| status.outcome);
        if decision.spec.decision == Verb::Approve
            && accepted == Some(crate::review::resources::DecisionOutcome::Accepted)
            && let Some(made) = &decision.metadata.creation_timestamp
        {
            found.insert(decision.spec.proposal.clone(), made.0);
        }
    }
    Ok(found)
}

/// The first proposal of each workload that was approved after `time`. One without a decision was approved
/// automatically, as soon as it was created.
fn since<'a>(
    all: &'a [PolicyProposal],
    time: Timestamp,
    approvals: &BTreeMap<String, Timestamp>,
) -> Vec<&'a PolicyProposal> {
    let mut first: BTreeMap<(&str, &str), (u32, &PolicyProposal)> = BTreeMap::new();
    for proposal in all {
        let Some(number) = revision(proposal) else {
            continue;
        };
        let approved = approvals.get(&proposal.name_any()).copied();
        if approved
            .or_else(|| created(proposal))
            .is_none_or(|at| at <= time)
        {
            continue;
        }
        let workload = &proposal.spec.workload;
        let entry = first
            .entry((&workload.kind, &workload.name))
            .or_insert((number, proposal));
        if number < entry.0 {
            *entry = (number, proposal);
        }
    }
    first.into_values().map(|(_, proposal)| proposal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::resources::{PolicyProposalSpec, PolicyProposalStatus, WorkloadRef};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    /// Made at second `at`.
    fn proposal(name: &str, number: u32, phase: Phase, at: i64) -> PolicyProposal {
        let spec = PolicyProposalSpec {
            workload: WorkloadRef {
                kind: "Deployment".into(),
                name: "web".into(),
            },
            ..PolicyProposalSpec::default()
        };
        let mut proposal = PolicyProposal::new(name, spec);
        let at = Timestamp::from_second(at).unwrap();
        proposal.metadata.creation_timestamp = Some(Time(at));
        proposal.status = Some(PolicyProposalStatus {
            phase,
            applied_revision: Some(number),
            ..PolicyProposalStatus::default()
        });
        proposal
    }

    fn history() -> Vec<PolicyProposal> {
        vec![
            proposal("web-1", 1, Phase::Superseded, 10),
            proposal("web-2", 2, Phase::RolledBack, 20),
            proposal("web-3", 3, Phase::Superseded, 30),
            proposal("web-4", 4, Phase::Applied, 40),
        ]
    }

    fn chosen(to: Option<u32>) -> Result<String, String> {
        let all = history();
        let mine = of_workload(&all, "web", "shop").unwrap();
        let found = choose(&mine, to, "web");
        found
            .map(|step| format!("{:?} {}", step.verb, step.proposal.name_any()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_proposal_right_after_the_wanted_revision_is_undone() {
        assert_eq!(chosen(None).unwrap(), "Rollback web-4");
        assert_eq!(chosen(Some(3)).unwrap(), "Rollback web-4");
        assert_eq!(
            chosen(Some(1)).unwrap(),
            "Rollback web-3",
            "web-2 is undone already"
        );
        assert_eq!(chosen(Some(0)).unwrap(), "Rollback web-1");
    }

    #[test]
    fn a_revision_that_was_rolled_back_is_approved_again_also_the_first_one() {
        assert_eq!(chosen(Some(2)).unwrap(), "Approve web-2");
        let first = [proposal("web-1", 1, Phase::RolledBack, 10)];
        let mine = of_workload(&first, "web", "shop").unwrap();
        let step = choose(&mine, Some(1), "web").unwrap();
        assert_eq!(
            (step.verb, step.proposal.name_any()),
            (Verb::Approve, "web-1".into())
        );
        let error = choose(&mine, None, "web").unwrap_err().to_string();
        assert!(error.contains("rolled back: 1"), "{error}");
        let error = choose(&mine, Some(0), "web").unwrap_err().to_string();
        assert!(error.contains("no policy already"), "{error}");
    }

    #[test]
    fn revisions_that_are_in_force_or_unknown_are_refused_with_the_reason() {
        assert!(chosen(Some(4)).unwrap_err().contains("in force already"));
        let error = chosen(Some(7)).unwrap_err();
        assert!(
            error.contains("no revision 7") && error.contains("1, 3, 4; rolled back: 2"),
            "{error}"
        );
        assert!(of_workload(&history(), "db", "shop").is_err());
        assert!(of_workload(&history(), "StatefulSet/web", "shop").is_err());
    }

    #[test]
    fn a_namespace_goes_back_by_when_each_was_approved() {
        let all = history();
        let at = |secs| Timestamp::from_second(secs).unwrap();
        let names = |time, approvals: &[(&str, i64)]| -> Vec<String> {
            let approvals = approvals
                .iter()
                .map(|(name, secs)| ((*name).to_owned(), at(*secs)));
            let found = since(&all, at(time), &approvals.collect());
            found.into_iter().map(|one| one.name_any()).collect()
        };
        assert_eq!(names(25, &[]), ["web-3"]);
        assert_eq!(names(5, &[]), ["web-1"]);
        assert_eq!(
            names(25, &[("web-1", 26)]),
            ["web-1"],
            "approved later than made"
        );
        assert!(names(40, &[]).is_empty());
    }
}
