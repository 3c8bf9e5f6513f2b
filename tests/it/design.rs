//! `docs/design.md` holds the rules. Whatever names a rule must name one of that page, and each rule there
//! must have a scenario or a test.

use nanoseg::finding::Rule;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

const PAGE: &str = "docs/design.md";
/// How a comment names rules: `(rule: one, another)`, on one line.
const MARK: &str = "(rule:";
/// Recorded from other programs.
const DATA: &str = "tests/data/";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    std::fs::read_to_string(root().join(PAGE)).expect("docs/design.md can be read")
}

/// The rules of the page by name, each with its text.
fn rules(page: &str) -> BTreeMap<&str, &str> {
    let sections = page.split("\n### `").skip(1);
    sections
        .map(|section| {
            let (name, text) = section.split_once("`\n").expect("a name and a text");
            let end = text.find("\n## ").unwrap_or(text.len());
            (name, &text[..end])
        })
        .collect()
}

/// The text files of the repository by their paths, but not recorded data.
pub fn texts() -> Vec<(String, String)> {
    let listed = Command::new("git")
        .current_dir(root())
        .args(["ls-files", "-z"])
        .output();
    let paths: Vec<String> = match listed {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .split_terminator('\0')
            .map(str::to_owned)
            .collect(),
        _ => walked(root()),
    };
    assert!(paths.len() > 500, "only {} files", paths.len());
    paths
        .into_iter()
        .filter(|path| !path.starts_with(DATA))
        .filter_map(|path| Some((std::fs::read_to_string(root().join(&path)).ok()?, path)))
        .map(|(text, path)| (path, text))
        .collect()
}

/// All files below, where there is no git.
fn walked(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path: PathBuf = entry.path();
        let is_built = path.ends_with("target") || path.ends_with(".git");
        if path.is_dir() && !is_built {
            found.extend(walked(&path));
        } else if let Ok(path) = path.strip_prefix(root()) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// The part of a line that is written for people.
fn prose<'l>(path: &str, line: &'l str) -> &'l str {
    if path.ends_with(".rs") {
        line.find("//").map_or("", |start| &line[start..])
    } else {
        line
    }
}

/// The rules that a line names in the form of [`MARK`]; an error if the form is not kept.
fn marked(line: &str) -> Result<Vec<&str>, &'static str> {
    let mut names = Vec::new();
    for rest in line.split(MARK).skip(1) {
        let (list, _) = rest.split_once(')').ok_or("not closed on its line")?;
        names.extend(list.split(',').map(str::trim));
    }
    Ok(names)
}

/// What stands behind `design.md#` in links.
fn linked(line: &str) -> Vec<&str> {
    let is_outside = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    line.split("design.md#")
        .skip(1)
        .map(|rest| rest.split(is_outside).next().unwrap_or_default())
        .collect()
}

#[test]
fn every_rule_that_is_named_is_in_the_page() {
    let page = page();
    let rules = rules(&page);
    let mut unknown = Vec::new();
    let mut count = 0;
    for (path, text) in texts().iter().filter(|(path, _)| path != file!()) {
        for (number, line) in text.lines().enumerate() {
            let place = format!("{path}:{}", number + 1);
            let line = prose(path, line);
            let names = marked(line).unwrap_or_else(|why| panic!("{place}: {why}: {line}"));
            let names = names.into_iter().chain(linked(line));
            for name in names {
                count += 1;
                if !rules.contains_key(name) {
                    unknown.push(format!("{place}: {name}"));
                }
            }
        }
    }
    let named = Rule::ALL.iter().map(|rule| rule.name());
    let reported = decided_by().into_iter();
    for name in named.map(str::to_owned).chain(reported) {
        if !rules.contains_key(name.as_str()) {
            unknown.push(format!("report: {name}"));
        }
    }
    assert!(
        unknown.is_empty(),
        "no rule of {PAGE}:\n{}",
        unknown.join("\n")
    );
    assert!(count > 150, "only {count} names were found");
}

/// The rules that the report of the sample names.
fn decided_by() -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("policies-out/report.json"));
    let report: Value = serde_json::from_str(&text.expect("policies-out/report.json can be read"))
        .expect("policies-out/report.json is JSON");
    let policies = report["policies"].as_array().expect("policies");
    let rules = policies
        .iter()
        .flat_map(|policy| policy["rules"].as_array().into_iter().flatten());
    let names = rules.flat_map(|rule| rule["decided_by"].as_array().expect("decided_by"));
    let names: BTreeSet<String> = names.filter_map(Value::as_str).map(str::to_owned).collect();
    assert!(
        names.len() > 3,
        "the report of the sample names {}",
        names.len()
    );
    names
}

#[test]
fn every_rule_has_a_reason_a_source_and_a_scenario_or_a_test() {
    let page = page();
    let rules = rules(&page);
    assert!(rules.len() > 30, "only {} rules", rules.len());
    let mut wrong = Vec::new();
    for (name, text) in rules {
        for part in ["\n- Why: ", "\n- Source: "] {
            if !text.contains(part) {
                wrong.push(format!("{name}: lacks{}", part.replace('\n', " ")));
            }
        }
        let tested = text.split_once("\n- Tested by: ").map_or("", |(_, t)| t);
        let (scenarios, tests) = (scenarios(tested), tests(tested));
        if scenarios.is_empty() && tests.is_empty() {
            wrong.push(format!("{name}: names neither a scenario nor a test"));
        }
        for scenario in scenarios {
            let readme = root().join(scenario).join("README.md");
            let readme = std::fs::read_to_string(readme).unwrap_or_default();
            if !linked(&readme).contains(&name) {
                wrong.push(format!(
                    "{name}: {scenario} is not there or does not name it"
                ));
            }
        }
        for (path, function) in tests {
            let text = std::fs::read_to_string(root().join(path)).unwrap_or_default();
            if !text.contains(&format!("fn {function}(")) {
                wrong.push(format!("{name}: there is no {path}::{function}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{PAGE}:\n{}", wrong.join("\n"));
}

/// Each attack that `docs/security.md` lists is a test.
#[test]
fn every_row_of_the_security_page_names_a_test_that_exists() {
    let path = root().join("docs/security.md");
    let page = std::fs::read_to_string(path).expect("docs/security.md can be read");
    let (_, attacks) = page
        .split_once("| what the attacker has |")
        .expect("the table of attacks");
    let rows: Vec<&str> = attacks
        .lines()
        .filter(|line| line.starts_with("| "))
        .collect();
    assert!(rows.len() >= 4, "only {} rows", rows.len());
    let mut wrong = Vec::new();
    for row in rows {
        let last = row.trim_end_matches([' ', '|']).rsplit(" | ").next();
        let named = tests(last.unwrap_or_default());
        if named.is_empty() {
            wrong.push(format!("no test: {row}"));
        }
        for (path, function) in named {
            let text = std::fs::read_to_string(root().join(path)).unwrap_or_default();
            if !text.contains(&format!("fn {function}(")) {
                wrong.push(format!("there is no {path}::{function}"));
            }
        }
    }
    assert!(wrong.is_empty(), "docs/security.md:\n{}", wrong.join("\n"));
}

/// `[name](../tests/scenarios/name)` → `tests/scenarios/name`.
fn scenarios(tested: &str) -> Vec<&str> {
    let links = tested.split("](../").skip(1);
    links.filter_map(|rest| rest.split(')').next()).collect()
}

/// `` `path::function` `` → both.
fn tests(tested: &str) -> Vec<(&str, &str)> {
    let words = tested.split('`').skip(1).step_by(2);
    words.filter_map(|word| word.split_once("::")).collect()
}

#[test]
fn rules_are_never_named_by_number() {
    // Written so that this file does not hold what it looks for.
    let (sign, word) = ('\u{a7}', ["DES", "IGN"].concat());
    let mut found = Vec::new();
    for (path, text) in texts() {
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            if line.contains(sign) || words.any(|w| w == word) {
                found.push(format!("{path}:{}: {line}", number + 1));
            }
        }
    }
    assert!(
        found.is_empty(),
        "name the rule of {PAGE} instead, or write \"section\":\n{}",
        found.join("\n")
    );
}
