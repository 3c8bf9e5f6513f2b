//! From the record: what was decided about violations.
//!
//! A violation asks to be allowed by the policy at either end, so it may be answered twice. It counts as
//! answered once somebody decided about a proposal that holds its connection, after it was recorded.

use super::Event;
use crate::net::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A proposal, and the connections that it would allow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    pub namespace: String,
    pub name: String,
    /// As violations put them in words: `client → server port/protocol`.
    pub connections: Vec<String>,
}

/// How it stands with a violation, or with one proposal that answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// Nobody decided.
    Open,
    /// Something was decided about the workload since, and nobody knows any more about which connections.
    Unknown,
    /// Somebody decided that it stays denied.
    Rejected,
    /// It was allowed, and that was taken back; or the policy that denied it was.
    RolledBack,
    /// The proposal was closed without a decision.
    Withdrawn,
    /// It is allowed.
    Approved,
}

impl Reply {
    pub fn words(self) -> &'static str {
        match self {
            Reply::Open => "still open",
            Reply::Unknown => "not known",
            Reply::Rejected => "rejected",
            Reply::RolledBack => "rolled back",
            Reply::Withdrawn => "withdrawn",
            Reply::Approved => "approved",
        }
    }
}

/// What became of one proposal that holds the connection of a violation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    pub proposal: String,
    /// The policy that it would change, `namespace/name`.
    pub policy: String,
    pub reply: Reply,
    /// Who decided; `nanoseg` where no person did; absent while nobody has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When; of an open one when it was proposed.
    pub at: Timestamp,
    pub reason: String,
    /// The number of that line of the record.
    pub sequence: u64,
}

/// A violation with what was decided about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ViolationLine {
    /// Its number in the record.
    pub sequence: u64,
    pub at: Timestamp,
    pub namespace: String,
    pub workload: String,
    /// `client → server port/protocol`.
    pub connection: String,
    /// Of all answers the one that leaves most to do.
    pub reply: Reply,
    pub answers: Vec<Answer>,
}

impl ViolationLine {
    /// When somebody last decided about it; `None` while it is open.
    pub fn over(&self) -> Option<Timestamp> {
        let decided = self.answers.iter().map(|one| one.at).max();
        decided.filter(|_| self.is_answered())
    }

    /// Whether it is known that somebody decided about it.
    pub fn is_answered(&self) -> bool {
        !matches!(self.reply, Reply::Open | Reply::Unknown | Reply::Withdrawn)
    }
}

/// All violations of the record with what was decided about each, oldest first. `asked` are the proposals
/// whose connections are still known (a state keeps the last few of each workload).
pub fn answer(events: &[Event], asked: &[Asked]) -> Vec<ViolationLine> {
    let mut holders: BTreeMap<&str, Vec<&Asked>> = BTreeMap::new();
    for one in asked {
        for connection in &one.connections {
            holders.entry(connection).or_default().push(one);
        }
    }
    let known: BTreeSet<(&str, &str)> = asked
        .iter()
        .map(|one| (one.namespace.as_str(), one.name.as_str()))
        .collect();
    let history = History::of(events);
    let violations = events.iter().filter(|event| event.action == "violation");
    violations
        .map(|event| {
            let holders = holders.get(event.reason.as_str());
            let mut answers: BTreeMap<String, Answer> = BTreeMap::new();
            for one in holders.into_iter().flatten() {
                let Some(answer) = history.answer(one, event.sequence) else {
                    continue;
                };
                // Of several proposals for one policy the last that was heard of.
                match answers.get(&answer.policy) {
                    Some(known) if known.sequence > answer.sequence => {}
                    _ => drop(answers.insert(answer.policy.clone(), answer)),
                }
            }
            let mut answers: Vec<Answer> = answers.into_values().collect();
            if answers.is_empty() {
                answers.extend(history.taken_back(event));
            }
            ViolationLine {
                sequence: event.sequence,
                at: event.at,
                namespace: event.namespace.clone(),
                workload: event.object.clone(),
                connection: event.reason.clone(),
                reply: match answers.iter().map(|one| one.reply).min() {
                    Some(reply) => reply,
                    None if history.is_forgotten(event, &known) => Reply::Unknown,
                    None => Reply::Open,
                },
                answers,
            }
        })
        .collect()
}

/// The name of the proposal that a line of the record is about, and the rest of its reason.
fn proposal(event: &Event) -> Option<(&str, &str)> {
    if let Some(parts) = event.reason.split_once(" was brought up to date: ")
        && event.action == "proposed"
    {
        return Some(parts);
    }
    event.reason.split_once(": ")
}

/// What the record tells of each proposal, in order.
struct History<'e> {
    /// Approvals by namespace and workload.
    approvals: BTreeMap<(&'e str, &'e str), Vec<&'e Event>>,
    /// By namespace and name.
    proposals: BTreeMap<(&'e str, &'e str), Vec<&'e Event>>,
    /// Roll-backs by namespace and policy.
    rolled_back: BTreeMap<(&'e str, &'e str), Vec<&'e Event>>,
}

impl<'e> History<'e> {
    fn of(events: &'e [Event]) -> History<'e> {
        let mut history = History {
            approvals: BTreeMap::new(),
            proposals: BTreeMap::new(),
            rolled_back: BTreeMap::new(),
        };
        for event in events {
            let namespace = event.namespace.as_str();
            let is_roll_back = matches!(event.action, "rolled-back" | "auto-rolled-back");
            if is_roll_back {
                let key = (namespace, event.object.as_str());
                history.rolled_back.entry(key).or_default().push(event);
            }
            if is_approval(event) {
                let workload = event.object.strip_prefix("nanoseg-");
                let key = (namespace, workload.unwrap_or(&event.object));
                history.approvals.entry(key).or_default().push(event);
            }
            let is_step = matches!(
                event.action,
                "proposed" | "superseded" | "approved" | "auto-approved" | "rejected"
            );
            if let (true, Some((name, _))) = (is_step, proposal(event)) {
                let key = (namespace, name);
                history.proposals.entry(key).or_default().push(event);
            }
        }
        history
    }

    fn steps<'s>(&'s self, namespace: &'s str, name: &'s str) -> &'s [&'e Event] {
        self.proposals
            .get(&(namespace, name))
            .map_or(&[], Vec::as_slice)
    }

    /// What became of a proposal after line `after`; `None` if it was over by then.
    fn answer(&self, asked: &Asked, after: u64) -> Option<Answer> {
        let steps = self.steps(&asked.namespace, &asked.name);
        let last = *steps.last()?;
        if last.action != "proposed" && last.sequence < after {
            return None;
        }
        let taken_back = is_approval(last).then(|| self.undone(last)).flatten();
        let (event, reply) = match (taken_back, last.action) {
            (Some(event), _) => (event, Reply::RolledBack),
            (None, "rejected") => (last, Reply::Rejected),
            (None, "superseded") => (last, Reply::Withdrawn),
            (None, "proposed") => (last, Reply::Open),
            (None, _) => (last, Reply::Approved),
        };
        Some(Answer {
            proposal: asked.name.clone(),
            policy: format!("{}/{}", last.namespace, last.object),
            reply,
            by: (reply != Reply::Open).then(|| event.actor.clone()),
            at: event.at,
            reason: proposal(event).map_or(String::new(), |(_, why)| why.to_owned()),
            sequence: event.sequence,
        })
    }

    /// Whether something was decided about the policy of the workload after the violation, of which the
    /// connections are not known any more.
    fn is_forgotten(&self, violation: &Event, known: &BTreeSet<(&str, &str)>) -> bool {
        let of_workload =
            |step: &Event| step.object.strip_prefix("nanoseg-") == Some(violation.object.as_str());
        let namespace = violation.namespace.as_str();
        let proposals = self.proposals.range((namespace, "")..);
        proposals
            .take_while(|((of, _), _)| *of == namespace)
            .filter(|(key, _)| !known.contains(*key))
            .filter_map(|(_, steps)| steps.last())
            .any(|last| last.sequence > violation.sequence && of_workload(last))
    }

    /// The roll-back that undid an approval: of the same proposal, or of one that was approved before it.
    fn undone(&self, approval: &Event) -> Option<&'e Event> {
        let key = (approval.namespace.as_str(), approval.object.as_str());
        let later = self.rolled_back.get(&key).into_iter().flatten();
        later
            .filter(|event| event.sequence > approval.sequence)
            .find(|event| {
                let name = proposal(event).map_or("", |(name, _)| name);
                let steps = self.steps(&event.namespace, name).iter();
                steps
                    .filter(|step| is_approval(step))
                    .any(|step| step.sequence <= approval.sequence)
            })
            .copied()
    }

    /// Whether the policy of the workload that denied the connection was taken back afterwards.
    fn taken_back(&self, violation: &Event) -> Option<Answer> {
        let key = (violation.namespace.as_str(), violation.object.as_str());
        let approvals = self.approvals.get(&key)?;
        let before = approvals.partition_point(|event| event.sequence < violation.sequence);
        let denied_by = approvals.get(before.checked_sub(1)?)?;
        let event = self
            .undone(denied_by)
            .filter(|event| event.sequence > violation.sequence)?;
        Some(Answer {
            proposal: proposal(event).map_or(String::new(), |(name, _)| name.to_owned()),
            policy: format!("{}/{}", event.namespace, event.object),
            reply: Reply::RolledBack,
            by: Some(event.actor.clone()),
            at: event.at,
            reason: proposal(event).map_or(String::new(), |(_, why)| why.to_owned()),
            sequence: event.sequence,
        })
    }
}

fn is_approval(event: &Event) -> bool {
    matches!(event.action, "approved" | "auto-approved")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECTION: &str = "shop/web → shop/db 5432/TCP";

    fn record(lines: &[(&'static str, &str, &str)]) -> Vec<Event> {
        let line =
            |(index, (action, object, reason)): (usize, &(&'static str, &str, &str))| Event {
                sequence: index as u64 + 1,
                at: Timestamp::from_secs(index as i64 + 1),
                done: None,
                keeping: None,
                action,
                actor: "alice".into(),
                namespace: "shop".into(),
                object: (*object).into(),
                reason: (*reason).into(),
            };
        lines.iter().enumerate().map(line).collect()
    }

    fn asked(name: &str) -> Asked {
        Asked {
            namespace: "shop".into(),
            name: name.into(),
            connections: vec![CONNECTION.into()],
        }
    }

    /// Of the first violation: the reply, and the numbers of the lines that answered it.
    fn reply(lines: &[(&'static str, &str, &str)], known: &[&str]) -> (Reply, Vec<u64>) {
        let known: Vec<Asked> = known.iter().map(|name| asked(name)).collect();
        let found = answer(&record(lines), &known);
        let first = &found[0];
        let lines = first.answers.iter().map(|one| one.sequence).collect();
        (first.reply, lines)
    }

    const SEEN: (&str, &str, &str) = ("violation", "db", CONNECTION);

    #[test]
    fn a_violation_is_open_until_somebody_decides() {
        let open = [SEEN, ("proposed", "nanoseg-db", "db-2: new traffic")];
        assert_eq!(reply(&open, &["db-2"]), (Reply::Open, vec![2]));
        assert_eq!(reply(&open[..1], &[]), (Reply::Open, vec![]));
        let decided = |action| [open[0], open[1], (action, "nanoseg-db", "db-2: because")];
        let rejected = reply(&decided("rejected"), &["db-2"]);
        assert_eq!(rejected, (Reply::Rejected, vec![3]));
        let approved = reply(&decided("approved"), &["db-2"]);
        assert_eq!(approved, (Reply::Approved, vec![3]));
        let withdrawn = reply(&decided("superseded"), &["db-2"]);
        assert_eq!(withdrawn, (Reply::Withdrawn, vec![3]));
        // Nobody decided: it is still to be answered in the next period.
        let found = answer(&record(&decided("superseded")), &[asked("db-2")]);
        assert!(!found[0].is_answered() && found[0].over().is_none());
    }

    #[test]
    fn a_decision_about_something_else_is_no_answer() {
        let lines = [
            SEEN,
            ("proposed", "nanoseg-db", "db-2: other traffic"),
            ("approved", "nanoseg-db", "db-2: fine"),
        ];
        let other = Asked {
            connections: vec!["shop/api → shop/db 5432/TCP".into()],
            ..asked("db-2")
        };
        assert_eq!(answer(&record(&lines), &[other])[0].reply, Reply::Open);
        // What was decided before it was seen did not answer it.
        let lines = [("approved", "nanoseg-db", "db-1: fine"), SEEN];
        let found = answer(&record(&lines), &[asked("db-1")]);
        assert_eq!((found[0].reply, found[0].answers.len()), (Reply::Open, 0));
    }

    #[test]
    fn where_the_connections_of_a_decision_are_forgotten_it_may_have_been_the_answer() {
        let lines = [
            SEEN,
            ("proposed", "nanoseg-db", "db-2: new traffic"),
            ("approved", "nanoseg-db", "db-2: fine"),
        ];
        assert_eq!(reply(&lines, &[]), (Reply::Unknown, vec![]));
        let of_another = [SEEN, ("approved", "nanoseg-api", "api-2: fine")];
        assert_eq!(reply(&of_another, &[]), (Reply::Open, vec![]));
        let of_before = [("approved", "nanoseg-db", "db-1: fine"), SEEN];
        assert_eq!(answer(&record(&of_before), &[])[0].reply, Reply::Open);
    }

    #[test]
    fn an_approval_that_was_taken_back_is_no_approval() {
        let lines = [
            ("approved", "nanoseg-db", "db-1: fine"),
            SEEN,
            ("proposed", "nanoseg-db", "db-2: new traffic"),
            ("approved", "nanoseg-db", "db-2: fine"),
            (
                "rolled-back",
                "nanoseg-db",
                "db-2: back to revision 1: oops",
            ),
        ];
        assert_eq!(reply(&lines, &["db-2"]), (Reply::RolledBack, vec![5]));
        let mut of_the_first = lines;
        of_the_first[4].2 = "db-1: back to no policy: oops";
        assert_eq!(
            reply(&of_the_first, &["db-2"]),
            (Reply::RolledBack, vec![5])
        );
        let mut of_a_later_one = lines.to_vec();
        of_a_later_one.insert(4, ("approved", "nanoseg-db", "db-3: fine"));
        of_a_later_one[5].2 = "db-3: back to revision 2: oops";
        assert_eq!(
            reply(&of_a_later_one, &["db-2"]),
            (Reply::Approved, vec![4])
        );
    }

    #[test]
    fn taking_back_the_policy_that_denied_it_is_an_answer() {
        let lines = [
            ("approved", "nanoseg-db", "db-1: fine"),
            SEEN,
            (
                "auto-rolled-back",
                "nanoseg-db",
                "db-1: back to no policy: web was blocked",
            ),
        ];
        assert_eq!(reply(&lines, &[]), (Reply::RolledBack, vec![3]));
    }

    #[test]
    fn both_ends_must_agree() {
        let lines = [
            SEEN,
            ("approved", "nanoseg-db", "db-2: fine"),
            ("rejected", "nanoseg-web", "web-2: no"),
        ];
        assert_eq!(
            reply(&lines, &["db-2", "web-2"]),
            (Reply::Rejected, vec![2, 3])
        );
    }
}
