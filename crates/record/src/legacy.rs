//! What earlier versions wrote, as it is read today.
//!
//! Before lines had typed details, facts were in the sentence alone: which proposal was approved, when a glass
//! was broken, from which mode to which. Such lines are in the records of running clusters and in the evidence
//! that auditors keep, and their digests forbid to rewrite them. So their sentences are read here, by the fixed
//! words of the versions that wrote them. This is the only place that parses a sentence, and it does so for
//! earlier lines only: the words below are history and never change, whatever today's sentences are.

use crate::{Action, ActionKind, Connection, Mode, RemainingPolicies};
use nanoseg_net::{Protocol, Timestamp};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;

/// The details of an earlier line. [`Action::Undetailed`] if its sentence is not one of the fixed ones, or if no
/// reader needs its details.
pub(crate) fn action(kind: ActionKind, object: &str, reason: &str) -> Action {
    let detailed = match kind {
        ActionKind::Applied => Some(Action::Applied),
        ActionKind::Deleted => Some(Action::Deleted),
        ActionKind::Adopted => Some(Action::Adopted),
        ActionKind::Exported => Some(Action::Exported),
        ActionKind::BreakGlassOff => Some(Action::BreakGlassOff),
        ActionKind::BreakGlassOn => Some(break_glass_on(reason)),
        ActionKind::ModeChanged => mode_changed(reason),
        ActionKind::SegmentationAdded => reason
            .strip_prefix("mode ")
            .and_then(mode)
            .map(|mode| Action::SegmentationAdded { mode }),
        ActionKind::SegmentationRemoved => segmentation_removed(reason),
        ActionKind::Violation => connection(reason).map(|connection| Action::Violation {
            connection,
            // Policies were named after their workload, and the object of the line was the workload.
            policy: format!("nanoseg-{object}"),
            further: false,
        }),
        ActionKind::DecisionRefused
        | ActionKind::DriftRepaired
        | ActionKind::DriftGivenUp
        | ActionKind::ViolationWithdrawn
        | ActionKind::RecordReset => None,
        _ => of_proposal(kind, reason),
    };
    detailed.unwrap_or(Action::Undetailed { action: kind })
}

/// `NAME: WHY`.
fn of_proposal(kind: ActionKind, reason: &str) -> Option<Action> {
    if kind == ActionKind::Proposed
        && let Some((name, why)) = reason.split_once(" was brought up to date: ")
    {
        return Some(Action::Proposed {
            proposal: name.to_owned(),
            refreshed: true,
            why: why.to_owned(),
        });
    }
    let (name, why) = reason.split_once(": ")?;
    let (proposal, why) = (name.to_owned(), why.to_owned());
    Some(match kind {
        ActionKind::Proposed => Action::Proposed {
            proposal,
            refreshed: false,
            why,
        },
        ActionKind::Superseded => Action::Superseded { proposal, why },
        ActionKind::Approved => Action::Approved {
            proposal,
            why,
            until: None,
            afterwards: None,
        },
        ActionKind::AutoApproved => Action::AutoApproved { proposal },
        ActionKind::Rejected => Action::Rejected {
            proposal,
            why,
            connections: Vec::new(),
        },
        ActionKind::RolledBack => {
            let (to, why) = back_to(&why)?;
            Action::RolledBack { proposal, to, why }
        }
        ActionKind::AutoRolledBack => {
            let (to, why) = back_to(&why)?;
            Action::AutoRolledBack { proposal, to, why }
        }
        _ => return None,
    })
}

/// `back to revision 3: WHY` or `back to no policy: WHY`.
fn back_to(text: &str) -> Option<(Option<u32>, String)> {
    let (to, why) = text.strip_prefix("back to ")?.split_once(": ")?;
    let to = match to {
        "no policy" => None,
        revision => Some(revision.strip_prefix("revision ")?.parse().ok()?),
    };
    Some((to, why.to_owned()))
}

/// `WHY (3 policies were taken away)`, or that with the time for one that the next leader recorded. What a person
/// wrote may be anything, so a reason with other words is the person's alone.
fn break_glass_on(reason: &str) -> Action {
    let plain = || Action::BreakGlassOn {
        why: reason.to_owned(),
        policies: None,
        done: None,
    };
    let Some((why, policies, rest)) = counted(reason) else {
        return plain();
    };
    let late = rest
        .strip_prefix(" at ")
        .and_then(|rest| rest.strip_suffix("; the leader ended before it could tell)"));
    let done = match (rest, late) {
        (")", _) => None,
        (_, Some(time)) => match exact_time(time) {
            Some(done) => Some(done),
            None => return plain(),
        },
        _ => return plain(),
    };
    Action::BreakGlassOn {
        why: why.to_owned(),
        policies: Some(policies),
        done,
    }
}

/// The person's words, the number of policies, and what follows ` policies were taken away`.
fn counted(reason: &str) -> Option<(&str, usize, &str)> {
    let (before, rest) = reason.rsplit_once(" policies were taken away")?;
    let (why, number) = before.rsplit_once(" (")?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let policies = is_number.then(|| number.parse().ok()).flatten()?;
    Some((why, policies, rest))
}

/// A time in the one form in which it was written.
fn exact_time(text: &str) -> Option<Timestamp> {
    let quoted = serde_json::Value::String(text.to_owned());
    let at: Timestamp = serde_json::from_value(quoted).ok()?;
    (at.to_string() == text).then_some(at)
}

/// `from Enforce to Observe`.
fn mode_changed(reason: &str) -> Option<Action> {
    let (from, to) = reason.strip_prefix("from ")?.split_once(" to ")?;
    Some(Action::ModeChanged {
        from: mode(from)?,
        to: mode(to)?,
    })
}

fn mode(text: &str) -> Option<Mode> {
    Mode::ALL.into_iter().find(|mode| mode.as_str() == text)
}

fn segmentation_removed(reason: &str) -> Option<Action> {
    let policies = match reason {
        "its policies are removed" => RemainingPolicies::Removed,
        "its policies stay, and nobody keeps them" => RemainingPolicies::Retained,
        _ => return None,
    };
    Some(Action::SegmentationRemoved {
        policies,
        deleted: None,
    })
}

/// `client → server port/protocol`.
fn connection(text: &str) -> Option<Connection> {
    let (client, rest) = text.split_once(" → ")?;
    let (server, service) = rest.rsplit_once(' ')?;
    let (port, protocol) = service.split_once('/')?;
    Some(Connection {
        client: client.to_owned(),
        server: server.to_owned(),
        protocol: Protocol::parse(protocol)?,
        port: port.parse().ok()?,
    })
}

/// Reads the connections that the controller's state keeps: typed, or as sentences of earlier versions. What
/// cannot be read is left out, and would be recorded once more.
///
/// # Errors
/// The value is no list.
pub fn connections<'de, D>(deserializer: D) -> Result<BTreeSet<Connection>, D::Error>
where
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Kept {
        Typed(Connection),
        Sentence(String),
    }
    let all: Vec<Kept> = Vec::deserialize(deserializer)?;
    let all = all.into_iter().filter_map(|one| match one {
        Kept::Typed(connection) => Some(connection),
        Kept::Sentence(text) => connection(&text),
    });
    Ok(all.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Keeping;

    #[test]
    fn a_break_glass_of_the_leader_before_is_read_as_it_was_written_and_no_other_way() {
        let at = Timestamp::from_secs(1_772_000_000);
        let written = format!(
            "outage (2 policies) (3 policies were taken away at {at}; the leader ended before it could tell)"
        );
        let done = |reason: String| action(ActionKind::BreakGlassOn, "shop", &reason).done();
        assert_eq!(done(written.clone()), Some(at));
        assert_eq!(done(format!("{written} or not")), None);
        assert_eq!(done(written.replace("3 policies", "three policies")), None);
        assert_eq!(done(written.replace("Z;", "+00:00;")), None);
        assert_eq!(done("outage (3 policies were taken away)".into()), None);
        let other = action(ActionKind::BreakGlassOff, "shop", &written);
        assert_eq!(other.done(), None);
    }

    #[test]
    fn the_reason_of_a_break_glass_is_what_the_person_wrote() {
        let why = |reason: &str| action(ActionKind::BreakGlassOn, "shop", reason).why();
        let outage = || Some("outage (db)".to_owned());
        assert_eq!(why("outage (db) (3 policies were taken away)"), outage());
        assert_eq!(why("outage (db)"), outage());
    }

    #[test]
    fn policies_are_kept_while_the_mode_is_enforce() {
        let of = |from: &str, to: &str| {
            let reason = format!("from {from} to {to}");
            action(ActionKind::ModeChanged, "default", &reason).keeping()
        };
        assert_eq!(of("Enforce", "Observe"), Some(Keeping::Ends));
        assert_eq!(of("Propose", "Enforce"), Some(Keeping::Begins));
        assert_eq!(of("Observe", "Propose"), None);
        let removed =
            |reason: &str| action(ActionKind::SegmentationRemoved, "default", reason).keeping();
        assert_eq!(
            removed("its policies stay, and nobody keeps them"),
            Some(Keeping::Ends)
        );
        assert_eq!(removed("its policies are removed"), None);
    }

    #[test]
    fn a_sentence_with_other_words_leaves_the_kind_of_the_action() {
        for kind in ActionKind::ALL {
            for reason in ["", "because", "from here to there", ": → /"] {
                assert_eq!(action(*kind, "web", reason).kind(), *kind);
            }
        }
        let other = action(ActionKind::RolledBack, "nanoseg-db", "db-2: oops");
        let kind = ActionKind::RolledBack;
        assert_eq!(other, Action::Undetailed { action: kind });
    }

    #[test]
    fn connections_that_were_kept_as_sentences_are_read() {
        let kept = r#"["shop/web → shop/db 5432/TCP", {"client":"a","server":"b","protocol":"UDP","port":53}, "?"]"#;
        let read = connections(&mut serde_json::Deserializer::from_str(kept)).unwrap();
        let read: Vec<String> = read.iter().map(ToString::to_string).collect();
        assert_eq!(read, ["a → b 53/UDP", "shop/web → shop/db 5432/TCP"]);
    }
}
