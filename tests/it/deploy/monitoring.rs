//! The alert rules and the dashboard of deploy/monitoring.

use super::rendered::{root, text};
use serde_json::{Value, json};
use std::collections::BTreeSet;
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
