//! SARIF 2.1.0 (OASIS), the format in which code-review tools take findings.

use super::Error;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

/// The characters that are percent-encoded in a path (RFC 3986).
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// How grave a result is, in SARIF's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Error,
    Warning,
    Note,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Note => "note",
        }
    }
}

/// A kind of result.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable, in kebab case.
    pub id: &'static str,
    pub level: Level,
    /// What it means, one sentence.
    pub means: &'static str,
    /// What to do, one sentence.
    pub remedy: &'static str,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// As the user named it; relative ones stay relative.
    pub file: String,
    /// From 1.
    pub line: usize,
}

/// One thing that was found.
#[derive(Debug, Clone)]
pub struct Found {
    pub rule: &'static Rule,
    pub message: String,
    /// Where to look; several if several rules add up to it. The first is where tools show it.
    pub places: Vec<Place>,
    /// The object that it is about, such as `shop/db`, if there is no file to point at.
    pub subject: String,
    /// Identifies the same finding in the next run, even if the lines of files change.
    pub identity: String,
}

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// One run of `nanoseg COMMAND` as SARIF. `rules` are all rules of the command, even those without results.
///
/// # Errors
/// None that this input can cause.
pub fn sarif(command: &str, rules: &[&'static Rule], found: &[Found]) -> Result<String, Error> {
    let results: Vec<Value> = found.iter().map(|one| result(rules, one)).collect();
    super::json(&json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "nanoseg",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|rule| descriptor(rule)).collect::<Vec<_>>(),
            }},
            "automationDetails": {"id": format!("nanoseg {command}/")},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    }))
}

fn descriptor(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "shortDescription": {"text": rule.means},
        "fullDescription": {"text": rule.means},
        "help": {"text": rule.remedy},
        "defaultConfiguration": {"level": rule.level.name()},
        "properties": {"tags": ["security", "kubernetes", "network-policy"]},
    })
}

fn result(rules: &[&'static Rule], found: &Found) -> Value {
    let index = rules.iter().position(|rule| rule.id == found.rule.id);
    let mut locations: Vec<Value> = found.places.iter().map(physical).collect();
    let logical = json!([{"fullyQualifiedName": found.subject, "kind": "resource"}]);
    match locations.first_mut() {
        Some(first) => first["logicalLocations"] = logical,
        None => locations.push(json!({"logicalLocations": logical})),
    }
    let mut result = Map::new();
    result.insert("ruleId".into(), found.rule.id.into());
    if let Some(index) = index {
        result.insert("ruleIndex".into(), index.into());
    }
    result.insert("level".into(), found.rule.level.name().into());
    result.insert("message".into(), json!({"text": found.message}));
    // One location each: tools show no more of `locations`, and list `relatedLocations` under it.
    let related = locations.split_off(1);
    result.insert("locations".into(), locations.into());
    if !related.is_empty() {
        result.insert("relatedLocations".into(), related.into());
    }
    let identity = format!("{} {} {}", found.rule.id, found.subject, found.identity);
    result.insert(
        "partialFingerprints".into(),
        json!({"nanoseg/v1": nanoseg_net::sha256_hex(identity.as_bytes())}),
    );
    Value::Object(result)
}

fn physical(place: &Place) -> Value {
    json!({"physicalLocation": {
        "artifactLocation": {"uri": uri(&place.file)},
        "region": {"startLine": place.line.max(1)},
    }})
}

/// A path as a URI reference (RFC 3986): relative ones as they are, absolute ones as `file:`.
fn uri(path: &str) -> String {
    let relative = path.strip_prefix("./").unwrap_or(path);
    let scheme = if path.starts_with('/') { "file://" } else { "" };
    format!("{scheme}{}", utf8_percent_encode(relative, PATH))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        id: "opened",
        level: Level::Error,
        means: "It is open.",
        remedy: "Close it.",
    };

    fn found(places: Vec<Place>) -> Found {
        Found {
            rule: &RULE,
            message: "a => b".into(),
            places,
            subject: "shop/b".into(),
            identity: "a => b".into(),
        }
    }

    #[test]
    fn a_result_points_at_its_first_place_and_lists_the_others_as_related() {
        let place = |file: &str, line| Place {
            file: file.into(),
            line,
        };
        let all = [
            found(vec![place("./a b.yaml", 3), place("/x/c.yaml", 0)]),
            found(vec![]),
        ];
        let text = sarif("diff", &[&RULE], &all).unwrap();
        let log: Value = serde_json::from_str(&text).unwrap();
        let results = &log["runs"][0]["results"];
        let first = &results[0]["locations"][0];
        assert_eq!(
            first["physicalLocation"]["artifactLocation"]["uri"],
            "a%20b.yaml"
        );
        assert_eq!(first["physicalLocation"]["region"]["startLine"], 3);
        let other = &results[0]["relatedLocations"][0]["physicalLocation"];
        assert_eq!(other["artifactLocation"]["uri"], "file:///x/c.yaml");
        assert_eq!(other["region"]["startLine"], 1);
        let lonely = &results[1]["locations"][0];
        assert_eq!(
            lonely["logicalLocations"][0]["fullyQualifiedName"],
            "shop/b"
        );
        assert!(lonely.get("physicalLocation").is_none());
        assert_eq!(
            results[0]["partialFingerprints"], results[1]["partialFingerprints"],
            "lines move, findings stay the same"
        );
    }
}
