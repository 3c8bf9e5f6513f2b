//! The decisions about violations, from the record.
//!
//! The policy at each end may have to allow a violation, so there may be two decisions about it. It counts as
//! answered once there is a decision about a proposal that contains its connection, made after it was recorded.

use super::Event;
use nanoseg_net::Timestamp;
use nanoseg_record::{Action, ActionKind, Connection};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A proposal, and the connections that it would allow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    pub namespace: String,
    pub name: String,
    pub connections: Vec<Connection>,
}

/// The answer to a violation, or that of one proposal that holds its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// There is no decision.
    Open,
    /// There was a later decision about the workload, but it is not known any more which connections it
    /// covered.
    Unknown,
    /// A decision was made that it stays denied.
    Rejected,
    /// It was allowed, and the approval was rolled back; or the policy that denied it was rolled back.
    RolledBack,
    /// The proposal was closed without a decision.
    Withdrawn,
    /// It is allowed.
    Approved,
    /// It was no violation: the traffic was somebody else's.
    Mistaken,
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
            Reply::Mistaken => "was somebody else's traffic",
        }
    }
}

/// The outcome of one proposal that contains the connection of a violation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    pub proposal: String,
    /// The policy that it would change, `namespace/name`.
    pub policy: String,
    pub reply: Reply,
    /// Who decided; `nanoseg` if its own rules did; absent if there is no decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The time of the decision; for an open proposal the time of the proposal.
    pub at: Timestamp,
    pub reason: String,
    /// The number of that line of the record.
    pub sequence: u64,
}

/// A violation with the decisions about it.
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
    /// The reply among all answers that leaves most to do.
    pub reply: Reply,
    pub answers: Vec<Answer>,
}

impl ViolationLine {
    /// Returns the time of the last decision about it; `None` while it is open.
    pub fn over(&self) -> Option<Timestamp> {
        let decided = self.answers.iter().map(|one| one.at).max();
        decided.filter(|_| self.is_answered())
    }

    /// Returns true if it counts as a violation: it was not withdrawn.
    pub fn counts(&self) -> bool {
        self.reply != Reply::Mistaken
    }

    /// Returns true if a decision about it is known.
    pub fn is_answered(&self) -> bool {
        !matches!(self.reply, Reply::Open | Reply::Unknown | Reply::Withdrawn)
    }
}

/// Returns all violations of the record with the decisions about each, oldest first. `asked` are the proposals
/// whose connections are still known (a state keeps the last few of each workload).
pub fn answer(events: &[Event], asked: &[Asked]) -> Vec<ViolationLine> {
    let mut holders: BTreeMap<&Connection, Vec<&Asked>> = BTreeMap::new();
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
    let violations = events
        .iter()
        .filter(|event| event.entry.action.kind() == ActionKind::Violation);
    violations
        .map(|event| {
            let connection = connection(event);
            let holders = connection.and_then(|connection| holders.get(connection));
            let mut answers: BTreeMap<String, Answer> = BTreeMap::new();
            for one in holders.into_iter().flatten() {
                let Some(answer) = history.answer(one, event.sequence) else {
                    continue;
                };
                // Of several proposals for one policy the one with the latest line.
                match answers.get(&answer.policy) {
                    Some(known) if known.sequence > answer.sequence => {}
                    _ => drop(answers.insert(answer.policy.clone(), answer)),
                }
            }
            let mut answers: Vec<Answer> = answers.into_values().collect();
            if answers.is_empty() {
                answers.extend(connection.and_then(|one| refused(events, one)));
            }
            if answers.is_empty() {
                answers.extend(history.taken_back(event));
            }
            ViolationLine {
                sequence: event.sequence,
                at: event.at,
                namespace: event.entry.namespace.clone(),
                workload: event.entry.object.clone(),
                // A line of an earlier version may hold it in words alone.
                connection: match connection {
                    Some(connection) => connection.to_string(),
                    None => event.entry.reason.clone(),
                },
                reply: match answers.iter().map(|one| one.reply).min() {
                    _ if history.is_mistaken(event) => Reply::Mistaken,
                    Some(reply) => reply,
                    None if history.is_forgotten(event, &known) => Reply::Unknown,
                    None => Reply::Open,
                },
                answers,
            }
        })
        .collect()
}

/// The last decision that refused the connection: it counts for violations after it as well, since it is not asked
/// again (rule: rejected-is-not-asked-again).
fn refused(events: &[Event], connection: &Connection) -> Option<Answer> {
    events
        .iter()
        .rev()
        .find_map(|event| match &event.entry.action {
            Action::Rejected {
                proposal,
                why,
                connections,
            }
            | Action::ConnectionsRejected {
                proposal,
                why,
                connections,
            } if connections.contains(connection) => Some(Answer {
                proposal: proposal.clone(),
                policy: format!("{}/{}", event.entry.namespace, event.entry.object),
                reply: Reply::Rejected,
                by: Some(event.entry.actor.name().to_owned()),
                at: event.when(),
                reason: why.clone(),
                sequence: event.sequence,
            }),
            _ => None,
        })
}

fn connection(violation: &Event) -> Option<&Connection> {
    match &violation.entry.action {
        Action::Violation { connection, .. } => Some(connection),
        _ => None,
    }
}

/// The policy that denied the connection of a violation: namespace and name.
fn denied_by(violation: &Event) -> Option<(&str, &str)> {
    match &violation.entry.action {
        Action::Violation { policy, .. } => Some((&violation.entry.namespace, policy)),
        _ => None,
    }
}

/// The lines of the record by their subject, in order.
struct History<'e> {
    /// Approvals by namespace and policy.
    approvals: BTreeMap<(&'e str, &'e str), Vec<&'e Event>>,
    /// By namespace and name.
    proposals: BTreeMap<(&'e str, &'e str), Vec<&'e Event>>,
    /// Violations that were withdrawn: namespace and connection.
    mistaken: BTreeMap<(&'e str, &'e Connection), u64>,
    /// Roll-backs by namespace and policy.
    rolled_back: BTreeMap<(&'e str, &'e str), Vec<&'e Event>>,
}

impl<'e> History<'e> {
    fn of(events: &'e [Event]) -> History<'e> {
        let mut history = History {
            approvals: BTreeMap::new(),
            proposals: BTreeMap::new(),
            mistaken: BTreeMap::new(),
            rolled_back: BTreeMap::new(),
        };
        for event in events {
            let (namespace, action) = (event.entry.namespace.as_str(), &event.entry.action);
            let policy = (namespace, event.entry.object.as_str());
            if action.is_roll_back() {
                history.rolled_back.entry(policy).or_default().push(event);
            }
            if let Action::ViolationWithdrawn { connection, .. } = action {
                let last = history.mistaken.entry((namespace, connection));
                last.and_modify(|last| *last = event.sequence.max(*last))
                    .or_insert(event.sequence);
            }
            if action.is_approval() {
                history.approvals.entry(policy).or_default().push(event);
            }
            let is_step = matches!(
                action.kind(),
                ActionKind::Proposed
                    | ActionKind::Superseded
                    | ActionKind::Approved
                    | ActionKind::AutoApproved
                    | ActionKind::Rejected
            );
            if let (true, Some(name)) = (is_step, action.proposal()) {
                let key = (namespace, name);
                history.proposals.entry(key).or_default().push(event);
            }
        }
        history
    }

    /// Returns true if a later line withdraws the violation.
    fn is_mistaken(&self, violation: &Event) -> bool {
        let namespace = violation.entry.namespace.as_str();
        let last = connection(violation)
            .and_then(|connection| self.mistaken.get(&(namespace, connection)));
        last.is_some_and(|last| *last > violation.sequence)
    }

    fn steps<'s>(&'s self, namespace: &'s str, name: &'s str) -> &'s [&'e Event] {
        self.proposals
            .get(&(namespace, name))
            .map_or(&[], Vec::as_slice)
    }

    /// Returns the outcome of a proposal after line `after`; `None` if it was closed by then.
    fn answer(&self, asked: &Asked, after: u64) -> Option<Answer> {
        let steps = self.steps(&asked.namespace, &asked.name);
        let last = *steps.last()?;
        let kind = last.entry.action.kind();
        if kind != ActionKind::Proposed && last.sequence < after {
            return None;
        }
        let is_approval = last.entry.action.is_approval();
        let taken_back = is_approval.then(|| self.undone(last)).flatten();
        let (event, reply) = match (taken_back, kind) {
            (Some(event), _) => (event, Reply::RolledBack),
            (None, ActionKind::Rejected) => (last, Reply::Rejected),
            (None, ActionKind::Superseded) => (last, Reply::Withdrawn),
            (None, ActionKind::Proposed) => (last, Reply::Open),
            (None, _) => (last, Reply::Approved),
        };
        Some(Answer {
            proposal: asked.name.clone(),
            ..by_line(event, reply)
        })
    }

    /// Returns true if there was a decision about the policy after the violation, and its connections are not
    /// known any more.
    fn is_forgotten(&self, violation: &Event, known: &BTreeSet<(&str, &str)>) -> bool {
        let Some((namespace, policy)) = denied_by(violation) else {
            return false;
        };
        let proposals = self.proposals.range((namespace, "")..);
        proposals
            .take_while(|((of, _), _)| *of == namespace)
            .filter(|(key, _)| !known.contains(*key))
            .filter_map(|(_, steps)| steps.last())
            .any(|last| last.sequence > violation.sequence && last.entry.object == policy)
    }

    /// Returns the rollback that undid an approval: of the same proposal, or of one that was approved before
    /// it.
    fn undone(&self, approval: &Event) -> Option<&'e Event> {
        let policy = (
            approval.entry.namespace.as_str(),
            approval.entry.object.as_str(),
        );
        let later = self.rolled_back.get(&policy).into_iter().flatten();
        later
            .filter(|event| event.sequence > approval.sequence)
            .find(|event| {
                let name = event.entry.action.proposal().unwrap_or_default();
                let steps = self.steps(&event.entry.namespace, name).iter();
                steps
                    .filter(|step| step.entry.action.is_approval())
                    .any(|step| step.sequence <= approval.sequence)
            })
            .copied()
    }

    /// Returns the rollback of the policy that denied the connection, if it came after the violation.
    fn taken_back(&self, violation: &Event) -> Option<Answer> {
        let approvals = self.approvals.get(&denied_by(violation)?)?;
        let before = approvals.partition_point(|event| event.sequence < violation.sequence);
        let denied_by = approvals.get(before.checked_sub(1)?)?;
        let event = self
            .undone(denied_by)
            .filter(|event| event.sequence > violation.sequence)?;
        Some(by_line(event, Reply::RolledBack))
    }
}

/// Returns the answer that is in a line of the record.
fn by_line(event: &Event, reply: Reply) -> Answer {
    let entry = &event.entry;
    Answer {
        proposal: entry.action.proposal().unwrap_or_default().to_owned(),
        policy: format!("{}/{}", entry.namespace, entry.object),
        reply,
        by: (reply != Reply::Open).then(|| entry.actor.to_string()),
        at: event.at,
        reason: entry.action.why().unwrap_or_default(),
        sequence: event.sequence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nanoseg_net::Protocol;
    use nanoseg_record::{Digest, parse_line};

    const CONNECTION: &str = "shop/web → shop/db 5432/TCP";

    fn record(lines: &[(&'static str, &str, &str)]) -> Vec<Event> {
        let lines = lines.iter().enumerate();
        lines
            .map(|(index, line)| event(index as i64 + 1, line))
            .collect()
    }

    /// From a line of an earlier version, whose facts are in the sentence.
    fn event(number: i64, (action, object, reason): &(&'static str, &str, &str)) -> Event {
        let at = Timestamp::from_secs(number);
        let before = format!(
            "{{\"sequence\":{number},\"at\":\"{at}\",\"action\":\"{action}\",\"actor\":\"alice\",\
             \"namespace\":\"shop\",\"object\":\"{object}\",\"reason\":\"{reason}\",\
             \"previous\":\"{zero}\",\"digest\":\"{zero}\"}}",
            zero = Digest::of_bytes(b"")
        );
        parse_line(&before).expect("a line").into()
    }

    fn asked(name: &str) -> Asked {
        Asked {
            namespace: "shop".into(),
            name: name.into(),
            connections: vec![Connection {
                client: "shop/web".into(),
                server: "shop/db".into(),
                protocol: Protocol::Tcp,
                port: 5432,
            }],
        }
    }

    /// The reply of the first violation, and the numbers of the lines that answered it.
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
            connections: vec![Connection {
                client: "shop/api".into(),
                ..asked("db-2").connections[0].clone()
            }],
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

    #[test]
    fn a_violation_that_was_somebody_elses_traffic_is_listed_and_counts_no_more() {
        let mut events = record(&[SEEN, SEEN]);
        let connection = connection(&events[0]).expect("a connection").clone();
        let withdrawn = Action::ViolationWithdrawn {
            now: Connection {
                client: "shop/job".into(),
                ..connection.clone()
            },
            connection,
        };
        events[1].entry.action = withdrawn;
        let lines = answer(&events, &[]);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].reply, Reply::Mistaken);
        assert!(!lines[0].counts() && lines[0].is_answered());
        // Seen again later, it is a violation again.
        let mut again = record(&[SEEN, SEEN, SEEN]);
        again[1] = events[1].clone();
        let counted: Vec<bool> = answer(&again, &[])
            .iter()
            .map(ViolationLine::counts)
            .collect();
        assert_eq!(counted, [false, true]);
    }
}
