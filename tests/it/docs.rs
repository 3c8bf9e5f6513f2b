//! Checks documents that list what the code defines.

use nanoseg::finding::{Code, Severity};
use nanoseg::flow::Loss;
use std::fmt::Write as _;
use std::path::Path;

/// Returns `docs/findings.md` as generated from the list of codes.
fn findings() -> String {
    let mut text = String::from(
        "# Findings\n\nEverything an operator must know that is not a policy. The code is stable: scripts may match on \
         it. Findings of severity *error* make `nanoseg generate` exit with 1.\n",
    );
    for severity in [Severity::Error, Severity::Warning, Severity::Note] {
        let _ = writeln!(
            text,
            "\n## {severity}\n\n| code | meaning | what to do |\n|---|---|---|"
        );
        let mut codes: Vec<Code> = Code::ALL
            .iter()
            .copied()
            .filter(|code| code.severity() == severity)
            .collect();
        codes.sort_by_key(|code| code.name());
        for code in codes {
            let _ = writeln!(
                text,
                "| `{code}` | {} | {} |",
                code.meaning(),
                code.remedy()
            );
        }
    }
    text
}

#[test]
fn every_finding_is_documented_as_in_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/findings.md");
    if std::env::var_os("NANOSEG_UPDATE").is_some() {
        std::fs::write(&path, findings()).expect("docs/findings.md is written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, findings(), "run: NANOSEG_UPDATE=1 cargo test docs");
}

/// Returns `docs/plugins.md` as generated from the profiles.
fn plugins() -> String {
    format!(
        "# Network plugins\n\nWhat each network plugin does with NetworkPolicies, as nanoseg models it. The rule \
         [plugin-is-part-of-the-model](design.md#plugin-is-part-of-the-model) says what for. The plugin is found in the cluster's \
         objects, and `--network-plugin NAME[,OPTION=VALUE]` says it instead. Each fact has its source, the versions it \
         holds for, and the test that shows it with the plugin's own code; where there is none, the source alone says \
         it. `NANOSEG_UPDATE=1 cargo test docs` writes this page.\n\n{}",
        nanoseg::plugin::table()
    )
}

#[test]
fn every_fact_of_every_network_plugin_is_documented_as_in_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("docs/plugins.md");
    if std::env::var_os("NANOSEG_UPDATE").is_some() {
        std::fs::write(&path, plugins()).expect("docs/plugins.md is written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, plugins(), "run: NANOSEG_UPDATE=1 cargo test docs");
    for plugin in nanoseg::plugin::NetworkPlugin::ALL {
        let facts = nanoseg::plugin::Profile::of(*plugin).facts();
        for row in facts.rows().iter().filter(|row| !row.test.is_empty()) {
            assert!(root.join(row.test).exists(), "{plugin}: {}", row.test);
        }
    }
}

#[test]
fn every_loss_is_documented_as_in_the_code() {
    const MARK: &str = "<!-- losses: made by NANOSEG_UPDATE=1 cargo test docs -->\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/observe.md");
    let written = std::fs::read_to_string(&path).expect("docs/observe.md");
    let (text, _) = written.split_once(MARK).expect("the place of the table");
    let mut wanted = format!("{text}{MARK}\n| reason | what |\n|---|---|\n");
    for loss in Loss::ALL {
        let _ = writeln!(wanted, "| `{loss}` | {} |", loss.meaning());
    }
    if std::env::var_os("NANOSEG_UPDATE").is_some() {
        std::fs::write(&path, &wanted).expect("docs/observe.md is written");
    }
    let written = std::fs::read_to_string(&path).expect("docs/observe.md");
    assert_eq!(written, wanted, "run: NANOSEG_UPDATE=1 cargo test docs");
}
