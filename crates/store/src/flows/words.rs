//! The words that the tables hold.

use nanoseg_flow::{Opening, OtherKind, Verdict};
use nanoseg_net::Protocol;

const VERDICTS: [(Verdict, &str); 5] = [
    (Verdict::Established, "established"),
    (Verdict::OneWay, "one-way"),
    (Verdict::Unanswered, "unanswered"),
    (Verdict::Refused, "refused"),
    (Verdict::Dropped, "dropped"),
];

const OPENINGS: [(Opening, &str); 4] = [
    (Opening::Handshake, "handshake"),
    (Opening::FirstPacket, "first-packet"),
    (Opening::Listener, "listener"),
    (Opening::Undecided, "undecided"),
];

fn word_of<T: PartialEq>(list: &[(T, &'static str)], value: &T) -> &'static str {
    let found = list.iter().find(|(known, _)| known == value);
    found.map_or("", |(_, word)| word)
}

fn value_of<T: Copy>(list: &[(T, &str)], word: &str) -> Option<T> {
    let found = list.iter().find(|(_, known)| *known == word);
    found.map(|(value, _)| *value)
}

pub fn of_verdict(verdict: Verdict) -> &'static str {
    word_of(&VERDICTS, &verdict)
}

pub fn parse_verdict(word: &str) -> Option<Verdict> {
    value_of(&VERDICTS, word)
}

pub fn of_opening(opening: Opening) -> &'static str {
    word_of(&OPENINGS, &opening)
}

pub fn parse_opening(word: &str) -> Option<Opening> {
    value_of(&OPENINGS, word)
}

pub fn of_other(kind: OtherKind) -> String {
    match kind {
        OtherKind::Group(protocol) => format!("group-{protocol}"),
        OtherKind::Icmp => "icmp".into(),
        OtherKind::Protocol(number) => format!("protocol-{number}"),
    }
}

pub fn parse_other(word: &str) -> Option<OtherKind> {
    if word == "icmp" {
        return Some(OtherKind::Icmp);
    }
    if let Some(protocol) = word.strip_prefix("group-") {
        return Protocol::parse(protocol).map(OtherKind::Group);
    }
    let number = word.strip_prefix("protocol-")?.parse().ok()?;
    Some(OtherKind::Protocol(number))
}

/// SQLite's integers are signed 64-bit, so counts stop at their maximum.
pub fn of_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
