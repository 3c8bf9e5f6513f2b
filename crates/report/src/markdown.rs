//! `report.md`: the run for a human operator. The result first, then what needs a decision (findings),
//! then policies with the evidence of each rule, then the figures behind it all.

mod policies;
mod sections;

use super::RunReport;
use std::fmt::Write as _;

/// The report as GitHub-flavoured Markdown. It refers to `graph.svg` beside it.
pub fn markdown(run: &RunReport) -> String {
    let mut out = String::from("# nanoseg report\n\n");
    sections::verdict(&mut out, run);
    out.push_str("\n![Communication graph](graph.svg)\n");
    sections::findings(&mut out, run);
    policies::policies(&mut out, run);
    sections::proof(&mut out, run);
    sections::learning(&mut out, run);
    sections::unlearned(&mut out, run);
    sections::skipped(&mut out, run);
    sections::inputs(&mut out, run);
    out
}

/// A heading with the empty lines that Markdown wants around it.
pub(super) fn heading(out: &mut String, level: usize, text: &str) {
    let _ = write!(out, "\n{} {text}\n\n", "#".repeat(level));
}

/// A table; cells are Markdown already. A column that begins with `>` is right-aligned.
pub(super) fn table(out: &mut String, header: &[&str], rows: &[Vec<String>]) {
    let names: Vec<&str> = header
        .iter()
        .map(|name| name.trim_start_matches('>'))
        .collect();
    let rules: Vec<&str> = header
        .iter()
        .map(|name| if name.starts_with('>') { "--:" } else { "---" })
        .collect();
    let _ = writeln!(out, "| {} |\n| {} |", names.join(" | "), rules.join(" | "));
    for row in rows {
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
}

#[cfg(test)]
mod tests {
    use super::super::run::fixture;
    use super::*;

    #[test]
    fn a_run_is_reported_section_by_section() {
        let text = markdown(&fixture::run());
        let golden = include_str!("markdown/golden.md");
        if std::env::var_os("NANOSEG_SHOW").is_some() {
            print!("<<<{text}>>>");
        }
        assert_eq!(text, golden);
    }

    #[test]
    fn a_run_that_did_not_see_or_name_everything_is_not_called_sound_and_tight() {
        let text = markdown(&fixture::partial());
        let verdict = text.lines().nth(2).unwrap();
        assert!(
            verdict.starts_with("**Sound for what was seen and can be named"),
            "{verdict}"
        );
        for line in [
            "| In view | 5 of 7 pods, 71 % of their time · on node1 · not on node2 · 1 kind of loss |",
            "| `shop/app` | egress | 2 of 3 pods were not in view |",
            "| `shop/app` | egress | `10.96.0.77` | 443/TCP | 3 | unknown-service |",
            "Of what was in view, about 98 % of edges seen",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn an_unsound_run_is_reported_first() {
        let text = markdown(&fixture::unsound());
        let verdict = text.lines().nth(2).unwrap();
        assert!(
            verdict.starts_with("**Not sound: do not apply.**"),
            "{verdict}"
        );
        assert!(
            text.contains("| `shop/web` | `shop/app` | 8080/TCP |"),
            "{text}"
        );
    }

    /// The line without its code spans (CommonMark 6.1: a span ends at as many backticks as began it).
    fn without_code(line: &str) -> String {
        let mut out = String::new();
        let mut rest = line;
        while let Some(start) = rest.find('`') {
            out.push_str(&rest[..start]);
            let fence: String = rest[start..].chars().take_while(|c| *c == '`').collect();
            let inside = &rest[start + fence.len()..];
            rest = match inside.find(&fence) {
                Some(end) => &inside[end + fence.len()..],
                None => inside,
            };
        }
        out + rest
    }

    #[test]
    fn hostile_names_are_neither_html_nor_tables() {
        let mut run = fixture::run();
        let evil = "<script>|`\n# x";
        run.findings[0].subject = evil.into();
        run.findings[0].samples = vec![evil.into()];
        run.policies[0].workload.name = evil.into();
        run.policies[0].file = evil.into();
        run.policies[0].rules[0].text = evil.into();
        run.inputs.captures[0].name = evil.into();
        run.skipped.insert(evil.into(), 2);
        run.graph.edges[5].evidence_total = 9;
        run.graph.peers[4].dns_names = vec![evil.into()];
        let text = markdown(&run);
        for line in text.lines() {
            assert!(!without_code(line).contains("<script"), "{line}");
            assert!(!line.starts_with("# x"), "{line}");
        }
    }

    #[test]
    fn indices_beyond_the_graph_are_ignored() {
        let mut run = fixture::run();
        run.policies[0].rules[0].edges = vec![9_999];
        assert!(markdown(&run).contains("in from shop/web"));
    }
}
