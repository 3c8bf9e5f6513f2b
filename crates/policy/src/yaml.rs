//! YAML text in one style (rule: policy-reads-as-written-by-hand): block style, two spaces, dashes indented, comments.
//!
//! A scalar stays a scalar and a comment stays a comment, whatever text it has: every text that is not a plain word
//! is quoted, and a comment is one line.
//!
//! Why it is written by hand: serde_yaml writes no comments. serde-saphyr 2.1 does (`Commented`), quotes
//! what YAML 1.1 would read as something else, and can indent the same way, but it could replace only the
//! 60 lines that indent: it writes invisible characters and characters that turn the direction of text
//! as they are, in scalars and in comments (CVE-2021-42574), so [`scalar`] and [`comment`] would remain.
//! It would also bring its parser and error printer into a crate that needs neither.

use std::borrow::Cow;

/// The longest comment, in characters. Longer ones are truncated.
const MAX_COMMENT: usize = 160;

/// A value of a document.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Yaml {
    Text(String),
    /// A text with a comment beside it.
    Noted(String, String),
    Number(i32),
    Bool(bool),
    Map(Vec<(String, Yaml)>),
    List(Vec<Yaml>),
}

impl Yaml {
    /// Returns a map of the entries that have a value, in the given order.
    pub fn map<const N: usize>(entries: [(&str, Option<Yaml>); N]) -> Yaml {
        let present = entries
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_string(), value?)));
        Yaml::Map(present.collect())
    }

    pub fn text(text: impl Into<String>) -> Yaml {
        Yaml::Text(text.into())
    }

    /// Writes the text of a document, without `---`.
    pub fn write(&self, out: &mut String) {
        match self {
            Yaml::Map(entries) if !entries.is_empty() => write_map(out, entries, 0, None),
            other => write_value(out, other, 0),
        }
    }
}

/// Writes a map. Before the first key it writes `lead` (a dash, if the map is an item of a list), or else the
/// indentation.
fn write_map(out: &mut String, entries: &[(String, Yaml)], indent: usize, mut lead: Option<&str>) {
    for (key, value) in entries {
        match lead.take() {
            Some(lead) => out.push_str(lead),
            None => out.extend(std::iter::repeat_n(' ', indent)),
        }
        out.push_str(&scalar(key));
        out.push(':');
        write_value(out, value, indent);
    }
}

/// Writes the value of a key, or a whole document that is not a map.
fn write_value(out: &mut String, value: &Yaml, indent: usize) {
    match value {
        Yaml::Map(entries) if !entries.is_empty() => {
            out.push('\n');
            write_map(out, entries, indent + 2, None);
        }
        Yaml::List(items) if !items.is_empty() => {
            out.push('\n');
            for item in items {
                write_item(out, item, indent + 2);
            }
        }
        short => {
            out.push(' ');
            write_short(out, short);
        }
    }
}

fn write_item(out: &mut String, item: &Yaml, indent: usize) {
    let lead = format!("{}- ", " ".repeat(indent));
    match item {
        Yaml::Map(entries) if !entries.is_empty() => {
            write_map(out, entries, indent + 2, Some(&lead));
        }
        Yaml::List(items) if !items.is_empty() => {
            out.push_str(lead.trim_end());
            write_value(out, item, indent);
        }
        short => {
            out.push_str(&lead);
            write_short(out, short);
        }
    }
}

/// Writes a value that fits on the line, and the end of the line.
fn write_short(out: &mut String, value: &Yaml) {
    match value {
        Yaml::Text(text) => out.push_str(&scalar(text)),
        Yaml::Noted(text, note) => {
            out.push_str(&scalar(text));
            out.push_str("  # ");
            out.push_str(&comment(note));
        }
        Yaml::Number(number) => out.push_str(&number.to_string()),
        Yaml::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Yaml::Map(_) => out.push_str("{}"),
        Yaml::List(_) => out.push_str("[]"),
    }
    out.push('\n');
}

/// Returns a scalar that every YAML 1.1 and 1.2 reader reads as exactly this text: plain if it cannot be read as
/// anything else, otherwise double-quoted.
pub(super) fn scalar(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            ' '..='~' => quoted.push(c),
            _ => match u32::from(c) {
                code @ ..=0xff => quoted.push_str(&format!("\\x{code:02X}")),
                code @ ..=0xffff => quoted.push_str(&format!("\\u{code:04X}")),
                code => quoted.push_str(&format!("\\U{code:08X}")),
            },
        }
    }
    quoted.push('"');
    Cow::Owned(quoted)
}

/// Returns true for words and IPv4 CIDRs. Every other text that begins with a digit may be a date, a sexagesimal
/// number, an octal number or a float.
fn is_plain(text: &str) -> bool {
    const RESERVED: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "y", "n", "null"];
    if RESERVED.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return false;
    }
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-'));
    word || text.parse::<ipnet::Ipv4Net>().is_ok()
}

/// Returns `text` as a comment: one line, without control and invisible characters, not too long.
pub(super) fn comment(text: &str) -> String {
    let mut line: String = text
        .chars()
        .take(MAX_COMMENT)
        .map(|c| if is_visible(c) { c } else { '?' })
        .collect();
    if text.chars().nth(MAX_COMMENT).is_some() {
        line.push('…');
    }
    line
}

/// Returns true if a character is neither a control character, nor a Unicode line break, nor one that changes the
/// order in which text is displayed (CVE-2021-42574).
fn is_visible(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}'
            | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn text_that_could_be_read_as_another_value_is_quoted() {
        for text in [
            "true",
            "Yes",
            "NO",
            "n",
            "null",
            "~",
            "",
            "1",
            "0x1F",
            "1e3",
            "0o7",
            "1_000",
            ".5",
            "12:30:45",
            "2001-01-01",
            ":",
            "a:",
            "a: b",
            "- a",
            "-",
            "#",
            "a #b",
            "*a",
            "&a",
            "!a",
            "|",
            ">",
            "@a",
            "`",
            "{}",
            "[]",
            "'",
            "\"",
            "a\nb",
            "=",
            "<<",
            "é",
            " a",
            "a ",
            "1.2.3.4",
            "2001:db8::/32",
            "_",
            "a\u{2028}b",
        ] {
            let written = scalar(text);
            assert!(written.starts_with('"'), "{written}");
            let read: String = serde_yaml::from_str(&written).unwrap();
            assert_eq!(read, text);
        }
    }

    #[test]
    fn plain_words_stay_plain() {
        for text in [
            "cartservice",
            "app.kubernetes.io/name",
            "v1.2",
            "A",
            "10.0.0.0/8",
            "a_b-c",
        ] {
            assert_eq!(scalar(text), text);
        }
    }

    #[test]
    fn a_comment_stays_on_its_line() {
        let hostile = "a\nb: c\r\u{85}\u{2028}\u{202e}\u{0}#é→";
        assert_eq!(comment(hostile), "a?b: c?????#é→");
        assert_eq!(comment(&"x".repeat(500)).chars().count(), MAX_COMMENT + 1);
    }

    #[test]
    fn lists_are_indented_and_empty_lists_are_written() {
        let doc = Yaml::map([
            ("empty", Some(Yaml::List(vec![]))),
            ("none", None),
            ("all", Some(Yaml::Map(vec![]))),
            (
                "list",
                Some(Yaml::List(vec![
                    Yaml::map([
                        ("a", Some(Yaml::Number(1))),
                        ("b", Some(Yaml::List(vec![Yaml::text("x")]))),
                    ]),
                    Yaml::Noted("c".into(), "why".into()),
                ])),
            ),
        ]);
        let mut out = String::new();
        doc.write(&mut out);
        assert_eq!(
            out,
            "empty: []\nall: {}\nlist:\n  - a: 1\n    b:\n      - x\n  - c  # why\n"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_back_unchanged(
            key in "\\PC{0,40}|[ -~]{0,20}",
            value in any::<String>(),
            note in any::<String>(),
        ) {
            let doc = Yaml::map([(&key, Some(Yaml::Noted(value.clone(), note)))]);
            let mut out = String::new();
            doc.write(&mut out);
            let read: BTreeMap<String, String> = serde_yaml::from_str(&out).unwrap();
            prop_assert_eq!(read, BTreeMap::from([(key, value)]));
        }
    }
}
