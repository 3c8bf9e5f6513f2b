//! `nanoseg approve` and `nanoseg reject`: decide about proposals.

use super::decision::{DecideArgs, Decider, Decision};
use super::units::parse_duration;
use super::{exit, terminal};
use crate::record::Connection;
use crate::report::escape;
use crate::report::words::count;
use crate::review::resources::{
    EvidenceLine, MOST_EXCEPTED, Phase, PolicyProposal, Verb, risk_rank,
};
use crate::review::{LONGEST_OPENING, SHORTEST_OPENING};
use anyhow::ensure;
use clap::ValueEnum;
use kube::ResourceExt;
use std::process::ExitCode;

/// Approve proposals as they are now
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Approve proposals as they are now. The command prints what it approves, and asks for confirmation on a terminal. \
If a proposal changes in between, the decision is refused. With --except the controller computes the policy that is \
left and proves that it allows all other connections of the proposal and no more; if that cannot be, it refuses. With \
--for it takes back what the proposal opens when the time is over. A proposal that was rolled back can be approved again. Then the command waits until the controller accepts it, \
and in mode Enforce until the policy is applied.",
    after_long_help = "\
Examples:
  One proposal:
    nanoseg approve web-3 -n shop --reason 'CHG-1042: new payment back-end'

  Only the revision that was reviewed, for scripts:
    nanoseg approve web-3 -n shop --revision sha256:1f0c… --reason reviewed --yes

  Without one of its connections, which then counts as rejected:
    nanoseg approve web-3 -n shop --except 'shop/web → shop/db 5432/TCP' --reason 'not web'

  For a change window: what it opens is closed again by itself:
    nanoseg approve web-3 -n shop --for 2h --reason 'CHG-1077: migration'

  All pending proposals of low risk:
    nanoseg approve --all --risk low -n shop --reason 'weekly round'

Exit codes: 0 accepted (and applied); 1 refused, or no answer in time; 2 an error, such as no right to decide."
)]
pub struct ApproveArgs {
    /// The proposals
    #[arg(value_name = "NAME", required_unless_present = "all")]
    names: Vec<String>,
    /// All pending proposals.
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// With --all: only those of this risk or lower.
    #[arg(long, value_enum, requires = "all")]
    risk: Option<Risk>,
    /// The reason; it is written to the record.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The revision that was reviewed, or at least its first digits; the command refuses any other revision.
    #[arg(long, value_name = "DIGEST", conflicts_with = "all")]
    revision: Option<String>,
    /// Leave out this connection, written as nanoseg review shows it; it counts as rejected. May be given more than once.
    #[arg(long, value_name = "CONNECTION", conflicts_with = "all")]
    except: Vec<Connection>,
    /// Take back what it opens after this time, from 10s to 7d: 2h.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_opening, conflicts_with = "all")]
    open_for: Option<u32>,
    #[command(flatten)]
    decide: DecideArgs,
}

/// The seconds of a temporary opening.
fn parse_opening(text: &str) -> Result<u32, String> {
    let seconds = u32::try_from(parse_duration(text)?.as_secs()).unwrap_or(u32::MAX);
    if (SHORTEST_OPENING..=LONGEST_OPENING).contains(&seconds) {
        return Ok(seconds);
    }
    Err("a temporary opening lasts from 10s to 7d; for longer, approve it for good and roll it back".into())
}

/// Reject proposals
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Reject proposals. Policies in force stay in force. The connections that a rejected proposal would have opened are not \
offered again until their traffic changes in a way that the next proposal names: another client or port, an answer \
where there was none, or much more of it. Lookups of names, without which nothing works, are asked about once more, \
alone.",
    after_long_help = "\
Examples:
  One proposal:
    nanoseg reject web-4 -n shop --reason 'nobody should call the metadata service'

Exit codes: 0 accepted; 1 refused, or no answer in time; 2 an error, such as no right to decide."
)]
pub struct RejectArgs {
    /// The proposals
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// The reason; it is written to the record.
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
    let decider = Decider::connect(&args.decide)?;
    let proposals = if args.all {
        let least = args.risk.unwrap_or(Risk::High).rank();
        let mut all = decider.proposals()?;
        all.retain(|one| one.phase() == Phase::Pending);
        all.retain(|one| risk_rank(&one.spec.review.risk) >= least);
        all
    } else {
        named(&decider, &args.names)?
    };
    if let Some(pin) = &args.revision {
        ensure!(
            proposals.len() == 1,
            "--revision is for one proposal; name only one"
        );
        for proposal in &proposals {
            if let Some(problem) = is_other(proposal, pin)? {
                eprintln!("{problem}");
                return Ok(ExitCode::from(exit::FINDINGS));
            }
        }
    }
    let terms = Terms {
        except: &args.except,
        open_for: args.open_for,
    };
    if let Some(problem) = terms.problem(&proposals) {
        anyhow::bail!(problem);
    }
    decide(&decider, &proposals, Verb::Approve, &args.reason, terms)
}

/// What an approval leaves out, and how long it lasts.
#[derive(Clone, Copy, Default)]
struct Terms<'a> {
    except: &'a [Connection],
    open_for: Option<u32>,
}

impl Terms<'_> {
    /// Why these proposals cannot be approved on these terms, as far as they show it.
    fn problem(&self, proposals: &[PolicyProposal]) -> Option<String> {
        let [proposal] = proposals else {
            let is_none = self.except.is_empty() && self.open_for.is_none();
            return (!is_none && proposals.len() > 1)
                .then(|| "--except and --for are for one proposal; name only one".to_owned());
        };
        if self.except.len() > MOST_EXCEPTED {
            return Some(format!(
                "--except can be given {MOST_EXCEPTED} times at most"
            ));
        }
        let review = &proposal.spec.review;
        let listed: Vec<Connection> = review
            .evidence
            .iter()
            .filter_map(EvidenceLine::connection)
            .collect();
        let is_whole = review.evidence_total as usize <= review.evidence.len();
        let unknown = self
            .except
            .iter()
            .find(|one| is_whole && !listed.contains(one))?;
        let names: Vec<String> = listed
            .iter()
            .take(10)
            .map(|one| format!("  {one}"))
            .collect();
        Some(format!(
            "{} does not allow {unknown}; its connections are:\n{}",
            proposal.name_any(),
            names.join("\n")
        ))
    }

    /// What they mean, for people, one line each.
    fn words(&self, proposal: &PolicyProposal) -> Vec<String> {
        let mut lines = Vec::new();
        for one in self.except {
            let evidence = proposal.spec.review.evidence.iter();
            let seen = evidence.filter(|line| line.connection().as_ref() == Some(one));
            let seen = seen.map(|line| {
                let count = count(line.connections, "connection");
                format!(" ({count} seen, the last at {})", line.last_seen)
            });
            let seen: String = seen.take(1).collect();
            lines.push(format!(
                "  without {one}{seen}: it stays or becomes blocked, and counts as rejected by you"
            ));
        }
        if let Some(seconds) = self.open_for {
            let (number, unit) = match seconds {
                seconds if seconds % 3600 == 0 => (seconds / 3600, "hour"),
                seconds if seconds % 60 == 0 => (seconds / 60, "minute"),
                seconds => (seconds, "second"),
            };
            let time = count(number.into(), unit);
            lines.push(format!(
                "  for {time}: what it opens is taken back by itself"
            ));
        }
        lines
    }
}

/// Runs `nanoseg reject`.
pub fn reject(args: &RejectArgs) -> anyhow::Result<ExitCode> {
    let decider = Decider::connect(&args.decide)?;
    let proposals = named(&decider, &args.names)?;
    decide(
        &decider,
        &proposals,
        Verb::Reject,
        &args.reason,
        Terms::default(),
    )
}

fn named(decider: &Decider, names: &[String]) -> anyhow::Result<Vec<PolicyProposal>> {
    names.iter().map(|name| decider.proposal(name)).collect()
}

/// The problem if the proposal's revision does not begin with `pin`.
fn is_other(proposal: &PolicyProposal, pin: &str) -> anyhow::Result<Option<String>> {
    let digits = pin.strip_prefix("sha256:").unwrap_or(pin);
    let is_hex = digits
        .chars()
        .all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    ensure!(
        is_hex && digits.len() >= 8,
        "{pin:?} is not a revision: give at least 8 of its digits, as nanoseg review shows it"
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
    decider: &Decider,
    proposals: &[PolicyProposal],
    verb: Verb,
    reason: &str,
    terms: Terms<'_>,
) -> anyhow::Result<ExitCode> {
    if proposals.is_empty() {
        eprintln!(
            "no proposal waits for a decision in namespace {}",
            decider.namespace
        );
        return Ok(ExitCode::SUCCESS);
    }
    let word = format!("{verb:?}").to_lowercase();
    for proposal in proposals {
        terminal::print(&summary(&word, proposal))?;
        for line in terms.words(proposal) {
            terminal::print(&format!("{}\n", escape::terminal(&line)))?;
        }
    }
    let question = match proposals {
        [_] => format!("{word} it?"),
        all => format!("{word} all {}?", all.len()),
    };
    if !decider.confirm(&question)? {
        eprintln!("nothing was decided");
        return Ok(ExitCode::from(exit::FINDINGS));
    }
    let decision = |proposal| Decision {
        proposal,
        verb,
        reason,
        except: terms.except,
        open_for: terms.open_for,
    };
    let all: Vec<Decision> = proposals.iter().map(decision).collect();
    Ok(if decider.decide(&all)? {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit::FINDINGS)
    })
}

/// A summary of the proposal: two lines, and a line for each connection that it opens.
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
    if proposal.phase() == Phase::RolledBack {
        let status = proposal.status.as_ref();
        let message = status.and_then(|status| status.message.as_deref());
        lines.push(format!("  it was {}", message.unwrap_or("rolled back")));
    }
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
