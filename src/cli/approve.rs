//! `nanoseg approve` and `nanoseg reject`: decide about proposals.

use super::decide::{DecideArgs, Desk, Wanted};
use super::{exit, terminal};
use crate::report::escape;
use crate::review::resources::{Phase, PolicyProposal, Verb, risk_rank};
use anyhow::ensure;
use clap::ValueEnum;
use kube::ResourceExt;
use std::process::ExitCode;

/// Approve proposals as they are now
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Approve proposals as they are now: what is approved is printed, and on a terminal you are asked. A \
proposal that changes in between is refused. Then waits for the controller to accept, and in mode \
Enforce for the policy to be applied.",
    after_long_help = "\
Examples:
  nanoseg approve web-3 -n shop --reason 'CHG-1042: new payment back-end'

  Just what was reviewed, for scripts:
    nanoseg approve web-3 -n shop --revision sha256:1f0c… --reason reviewed --yes

  All that waits and is of low risk:
    nanoseg approve --all --risk low -n shop --reason 'weekly round'

Exit codes: 0 accepted (and applied); 1 refused, or no answer in time; 2 an error, such as no right to decide."
)]
pub struct ApproveArgs {
    /// The proposals
    #[arg(value_name = "NAME", required_unless_present = "all")]
    names: Vec<String>,
    /// All that wait for a decision.
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// With --all: only those of this risk or less.
    #[arg(long, value_enum, requires = "all")]
    risk: Option<Risk>,
    /// Why; it goes into the record.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The revision that was reviewed, its first digits at least: refused if it is another one by now.
    #[arg(long, value_name = "DIGEST", conflicts_with = "all")]
    revision: Option<String>,
    #[command(flatten)]
    decide: DecideArgs,
}

/// Reject proposals
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Reject proposals. What is in force stays so; the same is not proposed again until the traffic changes.",
    after_long_help = "\
Examples:
  nanoseg reject web-4 -n shop --reason 'nobody should call the metadata service'

Exit codes: 0 accepted; 1 refused, or no answer in time; 2 an error, such as no right to decide."
)]
pub struct RejectArgs {
    /// The proposals
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Why; it goes into the record.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    decide: DecideArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Risk {
    Low,
    Medium,
    High,
}

impl Risk {
    fn rank(self) -> u8 {
        match self {
            Risk::Low => risk_rank("low"),
            Risk::Medium => risk_rank("medium"),
            Risk::High => risk_rank("high"),
        }
    }
}

/// Runs `nanoseg approve`.
pub fn approve(args: &ApproveArgs) -> anyhow::Result<ExitCode> {
    let desk = Desk::open(&args.decide)?;
    let proposals = if args.all {
        let least = args.risk.unwrap_or(Risk::High).rank();
        let mut all = desk.proposals()?;
        all.retain(|one| one.phase() == Phase::Pending);
        all.retain(|one| risk_rank(&one.spec.review.risk) >= least);
        all
    } else {
        named(&desk, &args.names)?
    };
    if let Some(pin) = &args.revision {
        ensure!(
            proposals.len() == 1,
            "--revision is of one proposal; name just one"
        );
        for proposal in &proposals {
            if let Some(problem) = is_other(proposal, pin)? {
                eprintln!("{problem}");
                return Ok(ExitCode::from(exit::FINDINGS));
            }
        }
    }
    decide(&desk, &proposals, Verb::Approve, &args.reason)
}

/// Runs `nanoseg reject`.
pub fn reject(args: &RejectArgs) -> anyhow::Result<ExitCode> {
    let desk = Desk::open(&args.decide)?;
    let proposals = named(&desk, &args.names)?;
    decide(&desk, &proposals, Verb::Reject, &args.reason)
}

fn named(desk: &Desk, names: &[String]) -> anyhow::Result<Vec<PolicyProposal>> {
    names.iter().map(|name| desk.proposal(name)).collect()
}

/// What is wrong if the proposal is not of the revision that `pin` begins.
fn is_other(proposal: &PolicyProposal, pin: &str) -> anyhow::Result<Option<String>> {
    let digits = pin.strip_prefix("sha256:").unwrap_or(pin);
    let is_hex = digits
        .chars()
        .all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    ensure!(
        is_hex && digits.len() >= 8,
        "{pin:?} is no revision: give 8 of its digits or more, as nanoseg review shows it"
    );
    let now = &proposal.spec.review.revision;
    if now
        .strip_prefix("sha256:")
        .unwrap_or(now)
        .starts_with(digits)
    {
        return Ok(None);
    }
    Ok(Some(format!(
        "refused: {} has changed: its revision is {now}, not {pin}; review it again",
        proposal.name_any()
    )))
}

fn decide(
    desk: &Desk,
    proposals: &[PolicyProposal],
    verb: Verb,
    reason: &str,
) -> anyhow::Result<ExitCode> {
    if proposals.is_empty() {
        eprintln!(
            "nothing waits for a decision in namespace {}",
            desk.namespace
        );
        return Ok(ExitCode::SUCCESS);
    }
    let word = format!("{verb:?}").to_lowercase();
    for proposal in proposals {
        terminal::print(&summary(&word, proposal))?;
    }
    let question = match proposals {
        [_] => format!("{word} it?"),
        all => format!("{word} all {}?", all.len()),
    };
    if !desk.confirm(&question)? {
        eprintln!("nothing was decided");
        return Ok(ExitCode::from(exit::FINDINGS));
    }
    let wanted = |proposal| Wanted {
        proposal,
        verb,
        reason,
    };
    let all: Vec<Wanted> = proposals.iter().map(wanted).collect();
    Ok(if desk.decide(&all)? {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit::FINDINGS)
    })
}

/// What is decided about, in two lines and those of what it opens.
fn summary(word: &str, proposal: &PolicyProposal) -> String {
    let review = &proposal.spec.review;
    let mut lines = vec![
        format!(
            "{word} {} ({} {}), risk {}: {}",
            proposal.name_any(),
            proposal.spec.workload.kind,
            proposal.spec.workload.name,
            review.risk,
            review.reason
        ),
        format!(
            "  opens {}, closes {}, would block {}, revision {}",
            review.gained_total, review.lost_total, review.would_block_total, review.revision
        ),
    ];
    for change in &review.gained {
        lines.push(format!(
            "  + {} → {} on {}",
            change.client, change.server, change.ports
        ));
    }
    let line = |line: &String| escape::terminal(line).into_owned() + "\n";
    lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::resources::{Impact, PolicyProposalSpec};

    fn proposal() -> PolicyProposal {
        let review = Impact {
            revision: format!("sha256:{}", "0123456789abcdef".repeat(4)),
            ..Impact::default()
        };
        let spec = PolicyProposalSpec {
            review,
            ..PolicyProposalSpec::default()
        };
        PolicyProposal::new("web-1", spec)
    }

    #[test]
    fn a_pin_is_the_beginning_of_the_revision_and_long_enough() {
        for pin in ["sha256:01234567", "0123456789ab"] {
            assert_eq!(is_other(&proposal(), pin).unwrap(), None, "{pin}");
        }
        let refused = is_other(&proposal(), "sha256:11234567").unwrap().unwrap();
        assert!(refused.contains("web-1 has changed"), "{refused}");
        for pin in ["", "sha256:", "0123", "0123456X", "sha512:01234567"] {
            assert!(is_other(&proposal(), pin).is_err(), "{pin}");
        }
    }
}
