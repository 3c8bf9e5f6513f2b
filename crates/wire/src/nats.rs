//! The transport over NATS JetStream: a stream keeps batches until a receiver has stored them.
//!
//! Agents publish to `nanoseg.flows.v1.NODE`, and take the stream's acknowledgement for the receiver's: the
//! batch is on JetStream's disk then. Receivers share one durable consumer, and a message leaves the stream
//! when one of them has it on its own disk. The stream refuses what it has no room for, so that it waits in
//! the agents' spools; it never throws a batch away, and one node cannot fill it.
//!
//! What the ends believe of what lies between them: nothing of a message but its token, which the API server signed,
//! and nothing of a stream but what its configuration says. `deploy/nats` has the permissions that keep everybody
//! else out.
//!
//! (rule: queue-is-not-trusted)

mod aside;
mod auth;
mod connect;
mod files;
mod intake;
mod message_id;
mod publish;
mod stream;
mod stream_check;

pub use connect::{NatsAuth, NatsError, NatsSettings, StreamSettings};
pub use intake::{NatsHealth, NatsIntake};
pub use publish::NatsDelivery;

/// The stream's name.
const STREAM: &str = "NANOSEG_FLOWS";
/// The consumer that all receivers share.
const CONSUMER: &str = "nanoseg-controller";
/// The part of a subject before the node's name.
const PREFIX: &str = "nanoseg.flows.v1.";
/// The stream of copies of what no receiver could accept.
const REJECTED: &str = "NANOSEG_REJECTED";
/// The part of a copy's subject before the node's name.
const REJECTED_PREFIX: &str = "nanoseg.rejected.v1.";
/// The header of a message that has the ServiceAccount token of who sent it.
const TOKEN: &str = "Nanoseg-Token";
/// The inbox of receivers, unless another is set.
const RECEIVER_INBOX: &str = "_INBOX_nanoseg.receiver";
/// The part of an agent's inbox before the node's name, unless another is set.
const AGENT_INBOX: &str = "_INBOX_nanoseg.agent.";

/// Returns the part of a subject that stands for a node. Names of nodes have dots, which separate the parts of a
/// subject: they become `_`, which no name of a node has (RFC 1123). Anything else that is no letter, digit or hyphen is
/// written as `=` and its hex.
fn token_of(node: &str) -> String {
    let mut token = String::new();
    for byte in node.bytes() {
        match byte {
            b'.' => token.push('_'),
            b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => token.push(char::from(byte)),
            other => token.push_str(&format!("={other:02x}")),
        }
    }
    token
}

/// Returns the subject of a node.
fn subject_of(node: &str) -> String {
    format!("{PREFIX}{}", token_of(node))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subjects_of_two_nodes_are_never_the_same_and_have_one_part_for_the_name() {
        let nodes = [
            "a", "a.b", "a-b", "a_b", "a=b", "a b", "a*", "a>", "A", "ä", "a.b.c",
        ];
        let subjects: std::collections::BTreeSet<String> =
            nodes.iter().map(|n| subject_of(n)).collect();
        assert_eq!(subjects.len(), nodes.len(), "{subjects:?}");
        for subject in subjects {
            let name = subject.strip_prefix(PREFIX).expect("the prefix");
            assert!(!name.contains(['.', '*', '>', ' ']), "{subject}");
        }
    }
}
