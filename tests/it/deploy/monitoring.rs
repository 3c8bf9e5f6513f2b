//! The alert rules and the dashboard of deploy/monitoring.

use super::rendered::{root, text};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Runs promtool of Debian's package prometheus in deploy/monitoring.
fn promtool(arguments: &[&str]) {
    let mut command = Command::new("promtool");
    command
        .current_dir(root("deploy/monitoring"))
        .args(arguments);
    let Ok(output) = command.output() else {
        let required = std::env::var_os("NANOSEG_REQUIRE_ALL").is_some();
        assert!(!required, "needs promtool (prometheus)");
        eprintln!("skipped: needs promtool (prometheus)");
        return;
    };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{arguments:?}: {said}");
}

fn yaml(file: &str) -> Value {
    serde_yaml::from_str(&text(file)).expect(file)
}

fn alerts() -> Vec<Value> {
    let file = yaml("deploy/monitoring/alerts.yaml");
    let groups = file["groups"].as_array().expect("groups").clone();
    let rules = groups.into_iter().flat_map(|group| {
        let rules = group["rules"].as_array().cloned();
        rules.expect("rules")
    });
    rules.collect()
}

#[test]
fn promtool_accepts_the_alert_rules_and_their_tests_pass() {
    promtool(&["check", "rules", "alerts.yaml"]);
    promtool(&["test", "rules", "alerts.test.yaml"]);
}

#[test]
fn every_alert_is_raised_by_a_test_and_says_what_to_do() {
    let tests = text("deploy/monitoring/alerts.test.yaml");
    let mut names = BTreeSet::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().expect("a name").to_owned();
        let raised = format!("alertname=\"{name}\"");
        assert!(tests.contains(&raised), "no test raises {name}");
        let severity = alert["labels"]["severity"].as_str().unwrap_or_default();
        assert!(
            ["critical", "warning", "info"].contains(&severity),
            "{name}: {severity}"
        );
        for annotation in ["summary", "description", "runbook"] {
            assert!(
                alert["annotations"][annotation].is_string(),
                "{name}: {annotation}"
            );
        }
        assert!(names.insert(name.clone()), "{name} is there twice");
    }
}

/// The queries of the dashboard, with a time in the place of Grafana's variable.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&text("deploy/monitoring/dashboard.json")).unwrap();
    let mut all = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().expect("a title");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().expect("a query");
            all.push((title.to_owned(), query.replace("$__rate_interval", "5m")));
        }
    }
    all
}

#[test]
fn prometheus_understands_every_query_of_the_dashboard() {
    let rule = |(number, (_, query)): (usize, &(String, String))| json!({"record": format!("query:{number}"), "expr": query});
    let queries = queries();
    assert!(queries.len() > 20);
    let rules: Vec<Value> = queries.iter().enumerate().map(rule).collect();
    let file = tempfile::NamedTempFile::new().expect("a file");
    let all = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    std::fs::write(file.path(), all.to_string()).expect("a file");
    promtool(&["check", "rules", file.path().to_str().expect("a path")]);
}

#[test]
fn every_panel_says_what_it_shows_and_takes_the_chosen_data_source() {
    let dashboard: Value = serde_json::from_str(&text("deploy/monitoring/dashboard.json")).unwrap();
    let mut numbers = BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        assert!(
            numbers.insert(panel["id"].as_u64()),
            "{panel}: its number is there twice"
        );
        if panel["type"] == "row" {
            continue;
        }
        assert!(
            panel["description"]
                .as_str()
                .is_some_and(|text| text.ends_with('.')),
            "{panel}"
        );
        assert_eq!(panel["datasource"]["uid"], "${datasource}");
    }
}

/// Metrics and their labels, as docs/metrics.md lists them.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let text = text("docs/metrics.md");
    let rows = text.lines().filter(|line| line.starts_with("| `nanoseg_"));
    let cell = |cell: &str| -> BTreeSet<String> {
        let names = cell.split(',').map(|name| name.trim().trim_matches('`'));
        names
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let row = |row: &str| {
        let cells: Vec<&str> = row.split('|').collect();
        (cells[1].trim().trim_matches('`').to_owned(), cell(cells[3]))
    };
    rows.map(row).collect()
}

/// The labels of `by (…)` and `{…=` in a query, and those of `{{ $labels.… }}` and `{{…}}` in what is shown of it.
fn labels(query: &str, shown: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for list in query.split("by (").skip(1) {
        let list = list.split(')').next().unwrap_or_default();
        all.extend(list.split(',').map(|name| name.trim().to_owned()));
    }
    for list in query.split('{').skip(1) {
        let list = list.split('}').next().unwrap_or_default();
        let pairs = list.split(',').filter_map(|pair| pair.split_once('='));
        all.extend(pairs.map(|(name, _)| name.trim_end_matches('!').trim().to_owned()));
    }
    for template in shown.split("{{").skip(1) {
        let template = template.split("}}").next().unwrap_or_default().trim();
        let name = template.split(' ').next().unwrap_or_default();
        if name != "$value" {
            all.insert(name.trim_start_matches("$labels.").to_owned());
        }
    }
    all
}

/// What Prometheus adds to each metric, and to parts of a histogram.
const GIVEN: [&str; 2] = ["instance", "le"];

#[test]
fn every_metric_and_label_of_alerts_and_dashboard_is_documented() {
    let documented = documented();
    assert!(documented.len() > 40);
    let mut used: Vec<(String, String, String)> = Vec::new();
    for alert in alerts() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        used.push((
            text(&alert["alert"]),
            text(&alert["expr"]),
            text(&alert["annotations"]["summary"]),
        ));
    }
    let dashboard: Value = serde_json::from_str(&text("deploy/monitoring/dashboard.json")).unwrap();
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            used.push((
                text(&panel["title"]),
                text(&target["expr"]),
                text(&target["legendFormat"]),
            ));
        }
    }
    let mut wrong = Vec::new();
    for (place, query, shown) in used {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let words = query
            .split(|c| !is_name(c))
            .filter(|word| word.starts_with("nanoseg_"));
        let mut known: BTreeSet<String> = GIVEN.map(str::to_owned).into();
        for word in words {
            match documented.get(word.trim_end_matches("_bucket")) {
                Some(labels) => known.extend(labels.iter().cloned()),
                None => wrong.push(format!("{place}: no metric {word}")),
            }
        }
        let strange = labels(&query, &shown);
        wrong.extend(
            strange
                .difference(&known)
                .map(|label| format!("{place}: no label {label}")),
        );
    }
    assert!(
        wrong.is_empty(),
        "docs/metrics.md has no such thing: {wrong:#?}"
    );
}
