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
means no policy at all. With --namespace-wide every workload gets the policy that was approved at a given time.",
    after_long_help = "\
Examples:
  Undo the last approval:
    nanoseg rollback web -n shop --reason 'checkout fails since 14:02'

  Restore revision 2, or remove the policy:
    nanoseg rollback web -n shop --to 2
    nanoseg rollback web -n shop --to none

  Restore the whole namespace as it was in the morning:
    nanoseg rollback --namespace-wide --to-time 2026-11-24T08:00:00Z -n shop

  In an emergency, to remove all policies at once:
    kubectl annotate --overwrite namespace shop nanoseg.dev/break-glass='checkout is down' nanoseg.dev/break-glass-by=YOUR-USER

Exit codes: 0 rolled back; 1 refused, or no answer in time; 2 an error, such as no right to decide."
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

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let decider = Decider::connect(&args.decide)?;
    let all = decider.proposals()?;
    let undo: Vec<&PolicyProposal> = match (&args.workload, args.to_time) {
        (Some(workload), _) => {
            let mine = of_workload(&all, workload, &decider.namespace)?;
            vec![choose(&mine, args.to, workload)?]
        }
        (None, Some(time)) => since(&all, time, &approvals(&decider)?),
        (None, None) => bail!("name a workload, or --namespace-wide --to-time TIME"),
    };
    if undo.is_empty() {
        eprintln!(
            "nothing was approved after that time in namespace {}",
            decider.namespace
        );
        return Ok(ExitCode::SUCCESS);
    }
    for proposal in &undo {
        terminal::print(&format!(
            "roll back {}: {} and what was approved after it is undone\n",
            proposal.spec.workload.name,
            proposal.name_any()
        ))?;
    }
    if !decider.confirm("roll back?")? {
        eprintln!("nothing was rolled back");
        return Ok(ExitCode::from(exit::FINDINGS));
    }
    let decisions: Vec<Decision> = undo
        .into_iter()
        .map(|proposal| Decision {
            proposal,
            verb: Verb::Rollback,
            reason: &args.reason,
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

/// The proposal to undo to restore revision `to`: the one right after it, of those that are not undone.
fn choose<'a>(
    mine: &[&'a PolicyProposal],
    to: Option<u32>,
    workload: &str,
) -> anyhow::Result<&'a PolicyProposal> {
    let mut applied: BTreeMap<u32, &PolicyProposal> = BTreeMap::new();
    applied.extend(mine.iter().filter_map(|one| Some((revision(one)?, *one))));
    let Some(to) = to else {
        let last = applied.values().next_back().copied();
        return last.with_context(|| {
            format!("{workload} has no approved policy, so nothing can be undone")
        });
    };
    let known = || {
        let numbers: Vec<String> = applied.keys().map(u32::to_string).collect();
        numbers.join(", ")
    };
    anyhow::ensure!(
        to == 0 || applied.contains_key(&to),
        "{workload} has no revision {to}; approved and not rolled back are: {}",
        known()
    );
    let mut later = applied.range(to.saturating_add(1)..);
    let next = later.next().map(|(_, proposal)| *proposal);
    next.with_context(|| format!("revision {to} of {workload} is in force already"))
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
            .map(|one| one.name_any())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_proposal_right_after_the_wanted_revision_is_undone() {
        assert_eq!(chosen(None).unwrap(), "web-4");
        assert_eq!(chosen(Some(3)).unwrap(), "web-4");
        assert_eq!(chosen(Some(1)).unwrap(), "web-3", "web-2 is undone already");
        assert_eq!(chosen(Some(0)).unwrap(), "web-1");
    }

    #[test]
    fn revisions_that_are_in_force_or_unknown_are_refused_with_the_reason() {
        assert!(chosen(Some(4)).unwrap_err().contains("in force already"));
        let error = chosen(Some(2)).unwrap_err();
        assert!(
            error.contains("no revision 2") && error.contains("1, 3, 4"),
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
