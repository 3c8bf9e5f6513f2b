//! Lines of the record, as today's nanoseg writes them and as earlier versions did.

use super::{Line, time};
use nanoseg::record::{ActionKind, Chain, Digest, Head, parse_line, to_line};

/// How the lines of a record are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// With typed details.
    Typed,
    /// With typed details, and another sentence for people in each line.
    Reworded,
    /// With the sentence alone, as versions before the details did.
    Earlier,
}

/// The lines of a record with their numbers. `policy` is the digest of the policy that was approved and written.
pub fn write(lines: &[Line<'_>], policy: &Digest, form: Form) -> Vec<(u64, String)> {
    let (mut chain, mut head) = (Chain::default(), Head::default());
    let written = lines.iter().map(|line| {
        let text = earlier(&head, line, policy);
        let read = parse_line(&text).expect("a line");
        head = read.head();
        let entry = match form {
            Form::Earlier => return (head.sequence, text),
            Form::Typed => read.entry,
            Form::Reworded => read.entry.with_reason("in other words: 3 to 4 (5)".into()),
        };
        let line = chain.append(entry, read.at);
        (line.sequence, to_line(&line))
    });
    written.collect()
}

/// A line of an earlier version, after `head`.
fn earlier(head: &Head, (kind, actor, object, reason, at): &Line<'_>, policy: &Digest) -> String {
    let text = |text: &str| serde_json::to_string(text).expect("JSON");
    let after = match kind {
        ActionKind::Approved | ActionKind::Applied | ActionKind::DriftRepaired => {
            format!("\"after\":\"{policy}\",")
        }
        _ => String::new(),
    };
    let before = format!(
        "{{\"sequence\":{},\"at\":\"{}\",\"action\":\"{kind}\",\"actor\":{},\"namespace\":\"shop\",\"object\":{},\
         {after}\"reason\":{},\"previous\":\"{}\"",
        head.sequence + 1,
        time(at),
        text(actor),
        text(object),
        text(reason),
        head.digest
    );
    let digest = Digest::of_bytes(format!("{before}}}").as_bytes());
    format!("{before},\"digest\":\"{digest}\"}}")
}
