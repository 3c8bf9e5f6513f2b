//! The terminal summary of a run.

use super::run::{Connection, RunReport};
use super::words::{count, large, plural, thousands};
use super::{escape, learning, table};
use nanoseg_finding::{Finding, Severity};
use std::fmt::Write as _;

/// How the summary is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Use ANSI colours.
    pub colour: bool,
    /// How many findings, and how many connections of a list, are shown before the rest is counted.
    pub most: usize,
}

impl Default for Summary {
    fn default() -> Self {
        Summary {
            colour: false,
            most: 20,
        }
    }
}

/// The width of the left column.
const LEFT: usize = 11;

/// The summary, several lines with a line feed after each.
pub fn summary(run: &RunReport, options: Summary) -> String {
    let mut out = Printer {
        text: String::new(),
        options,
    };
    out.line("read", &read(run));
    out.line("graph", &graph(run));
    out.line("policies", &policies(run));
    if run.network_plugin.known {
        out.line("plugin", &escape::terminal(&run.network_plugin.to_string()));
    }
    proof(&mut out, run);
    if !run.view.is_complete() {
        out.line("view", &run.view.line());
    }
    out.line("learning", &learning::line_of(run));
    findings(&mut out, run);
    if let Some(folder) = &run.output {
        if run.findings.is_empty() {
            out.text.push('\n');
        }
        out.line("report", &format!("{}/report.md", escape::terminal(folder)));
    }
    out.text
}

struct Printer {
    text: String,
    options: Summary,
}

impl Printer {
    fn line(&mut self, left: &str, right: &str) {
        let _ = writeln!(
            self.text,
            "{} {right}",
            self.paint(&format!("{left:<10}"), "1")
        );
    }

    /// A line under the last one, its text in the right column.
    fn under(&mut self, right: &str) {
        let _ = writeln!(self.text, "{}{right}", " ".repeat(LEFT));
    }

    fn paint(&self, text: &str, ansi: &str) -> String {
        if self.options.colour {
            format!("\x1b[{ansi}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn list(&mut self, connections: &[Connection], total: u64) {
        for connection in connections.iter().take(self.options.most) {
            self.under(&escape::terminal(&connection.to_string()));
        }
        let shown = connections.len().min(self.options.most) as u64;
        if total > shown {
            self.under(&format!(
                "… and {} more in the report",
                thousands(total - shown)
            ));
        }
    }
}

fn read(run: &RunReport) -> String {
    let inputs = &run.inputs;
    let mut parts = Vec::new();
    if !inputs.captures.is_empty() || inputs.flows.is_empty() {
        let packets = inputs.captures.iter().map(|capture| capture.packets).sum();
        parts.push(count(packets, "packet"));
        parts.push(count(inputs.captures.len() as u64, "capture"));
    }
    if !inputs.flows.is_empty() {
        parts.push(count(
            inputs.flows.iter().map(|log| log.flows).sum(),
            "flow",
        ));
        parts.push(count(inputs.flows.len() as u64, "flow log"));
    }
    let snapshots: u64 = inputs.snapshots.iter().map(|s| s.snapshots).sum();
    parts.push(count(snapshots, "snapshot"));
    let mut text = parts.join(", ");
    let skipped: u64 = run.skipped.values().sum();
    if skipped > 0 {
        let mut reasons: Vec<(&String, &u64)> = run
            .skipped
            .iter()
            .filter(|(_, number)| **number > 0)
            .collect();
        reasons.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
        let reasons: Vec<String> = reasons
            .iter()
            .map(|(reason, number)| format!("{} {}", escape::terminal(reason), thousands(**number)))
            .collect();
        let _ = write!(
            text,
            " · skipped {} ({})",
            thousands(skipped),
            reasons.join(", ")
        );
    }
    text
}

fn graph(run: &RunReport) -> String {
    let mut parts = vec![count(run.graph.peers_of("workload"), "workload")];
    let outside = run.graph.outside_peers();
    if outside > 0 {
        parts.push(count(outside, "outside peer"));
    }
    parts.push(count(run.graph.edges_of("learned"), "edge"));
    let mut text = parts.join(", ");
    let unlearned = run.graph.edges_of("review") + run.graph.edges_of("ignored");
    if unlearned > 0 {
        let _ = write!(text, " · {} seen but not learned", thousands(unlearned));
    }
    text
}

fn policies(run: &RunReport) -> String {
    let number = thousands(run.policies.len() as u64);
    match &run.output {
        // kubectl refuses a folder without objects.
        Some(_) if run.policies.is_empty() => format!("{number}, so there is nothing to apply"),
        Some(folder) => {
            let folder = escape::terminal(folder);
            format!("{number} in {folder}/ · kubectl apply -k {folder}")
        }
        None => format!("{number}, not written"),
    }
}

fn proof(out: &mut Printer, run: &RunReport) {
    let proof = &run.proof;
    let sound = proof.blocked.is_empty() && proof.observed_allowed >= proof.observed;
    let allowed = format!(
        "{} of {} allowed",
        thousands(proof.observed_allowed),
        count(proof.observed, "observed edge")
    );
    let excess = format!("{} allowed but unobserved", large(proof.excess_connections));
    let implied = match proof.implied.len() as u64 {
        0 => String::new(),
        number => format!(
            " · {} implied{}",
            thousands(number),
            implied_reasons(&proof.implied)
        ),
    };
    let allowed = out.paint(&allowed, if sound { "32" } else { "1;31" });
    let excess = out.paint(&excess, if proof.excess_total == 0 { "32" } else { "33" });
    let mut line = format!("{allowed} · {excess}{implied}");
    let unattributed = proof.unattributed.len() as u64;
    if unattributed > 0 {
        let edges = format!("{} not attributed", count(unattributed, "edge"));
        line += &format!(" · {}", out.paint(&edges, "1;31"));
    }
    out.line("proof", &line);
    let open = proof.open.len() as u64;
    if open > 0 {
        let open = format!("{} stay open", count(open, "direction"));
        let open = open.replace("1 direction stay open", "1 direction stays open");
        out.under(&format!("{}: see the findings", out.paint(&open, "1;31")));
    }
    if !proof.blocked.is_empty() {
        out.under(&format!(
            "observed but blocked: {}",
            thousands(proof.blocked.len() as u64)
        ));
        out.list(&proof.blocked, proof.blocked.len() as u64);
    }
    if !proof.blocked_by_existing.is_empty() {
        out.under(&format!(
            "observed, and blocked by policies that were already there, as judged: {}",
            thousands(proof.blocked_by_existing.len() as u64)
        ));
        let before = &proof.blocked_by_existing;
        out.list(before, before.len() as u64);
    }
    if proof.excess_total > 0 {
        out.under("allowed but unobserved:");
        out.list(&proof.excess, proof.excess_total);
    }
    if proof.existing_excess_total > 0 {
        let number = proof.existing_excess_connections;
        let number = format!(
            "{} {}",
            large(number),
            plural(number, "unobserved connection")
        );
        out.under(&format!(
            "policies that were already there allow {number}; see the report"
        ));
    }
}

/// The distinct reasons in short, if they are few: ` (DNS over TCP)`.
fn implied_reasons(implied: &[Connection]) -> String {
    let mut reasons: Vec<&str> = implied
        .iter()
        .filter_map(|connection| {
            let reason = connection.reason.as_deref()?;
            // The one kind there is so far (rule: dns-over-tcp-implied) has a name that is shorter than its reason.
            if reason.contains("DNS") && connection.ports.ends_with("/TCP") {
                return Some("DNS over TCP");
            }
            reason.split([':', ';', '(', ',']).next().map(str::trim)
        })
        .collect();
    reasons.sort_unstable();
    reasons.dedup();
    match reasons.len() {
        0 | 4.. => String::new(),
        _ => format!(" ({})", escape::terminal(&reasons.join(", "))),
    }
}

fn findings(out: &mut Printer, run: &RunReport) {
    let findings = run.sorted_findings();
    if findings.is_empty() {
        return;
    }
    out.text.push('\n');
    let counts: Vec<String> = [Severity::Error, Severity::Warning, Severity::Note]
        .into_iter()
        .map(|severity| (run.findings_of(severity), severity))
        .filter(|(number, _)| *number > 0)
        .map(|(number, severity)| count(number, &severity.to_string()))
        .collect();
    out.line("findings", &counts.join(", "));
    let shown: Vec<&Finding> = findings.iter().copied().take(out.options.most).collect();
    let widest = shown
        .iter()
        .map(|finding| table::width(finding.code.name()))
        .max()
        .unwrap_or(0);
    for finding in &shown {
        let ansi = match finding.severity {
            Severity::Error => "1;31",
            Severity::Warning => "33",
            Severity::Note => "2",
        };
        let severity = out.paint(&format!("{:<8}", finding.severity), ansi);
        let text = format!("{} {}", finding.subject, finding.message);
        let code = finding.code.name();
        let _ = writeln!(
            out.text,
            "  {severity} {code:<widest$}  {}",
            escape::terminal(&text)
        );
    }
    if findings.len() > shown.len() {
        let more = thousands((findings.len() - shown.len()) as u64);
        let _ = writeln!(out.text, "  … and {more} more in the report");
    }
}

#[cfg(test)]
mod tests {
    use super::super::NetworkPluginDocument;
    use super::super::run::fixture;
    use super::*;

    #[test]
    fn the_network_plugin_is_named_with_what_told_of_it() {
        let mut run = fixture::run();
        run.network_plugin = NetworkPluginDocument {
            profile: "none".to_owned(),
            told: "by DaemonSet kube-flannel/kube-flannel-ds".to_owned(),
            known: true,
            enforces: false,
        };
        let said = "none (by DaemonSet kube-flannel/kube-flannel-ds) · POLICIES ARE NOT ENFORCED";
        let text = summary(&run, Summary::default());
        assert!(text.contains(&format!("\nplugin     {said}\n")), "{text}");
        let text = crate::markdown(&run);
        assert!(
            text.contains(&format!("| Network plugin | {said} |")),
            "{text}"
        );
    }

    #[test]
    fn a_sound_run_reads_like_the_design_says() {
        let expected = "\
read       48 213 packets, 1 capture, 1 snapshot · skipped 112 (ARP 96, LLDP 16)
graph      4 workloads, 1 outside peer, 6 edges · 1 seen but not learned
policies   1 in policies-out/ · kubectl apply -k policies-out
proof      6 of 6 observed edges allowed · 0 allowed but unobserved · 1 implied (DNS over TCP)
learning   about 98 % of edges seen, 0–2 still unseen · last new edge 3 min before the end

findings   1 error, 1 warning, 1 note
  error    port-scan            shop/batch tried 39 addresses on 3 ports
  warning  internet-egress      shop/app called 203.0.113.9:443
  note     refused-connections  shop/web called shop/redis on 22/TCP
report     policies-out/report.md
";
        assert_eq!(summary(&fixture::run(), Summary::default()), expected);
    }

    #[test]
    fn blocked_and_excess_connections_are_listed() {
        let text = summary(&fixture::unsound(), Summary::default());
        let expected = "\
proof      5 of 6 observed edges allowed · 2 allowed but unobserved · 1 implied (DNS over TCP)
           observed but blocked: 1
           shop/web → shop/app 8080/TCP
           allowed but unobserved:
           shop/web → shop/app2 8080/TCP (same labels)
           … and 1 more in the report
";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn what_was_not_seen_or_not_named_stands_beside_the_proof() {
        let text = summary(&fixture::partial(), Summary::default());
        let expected = "\
proof      6 of 6 observed edges allowed · 0 allowed but unobserved · 1 implied (DNS over TCP) · 1 edge not attributed
           1 direction stays open: see the findings
view       5 of 7 pods, 71 % of their time · on node1 · not on node2 · 1 kind of loss
learning   of what was in view: about 98 % of edges seen, 0–2 still unseen · last new edge 3 min before the end
";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn findings_beyond_the_limit_are_counted() {
        let mut run = fixture::run();
        let finding = run.findings[0].clone();
        run.findings.extend(std::iter::repeat_n(finding, 24));
        let text = summary(&run, Summary::default());
        assert!(text.contains("  … and 7 more in the report\n"), "{text}");
        assert!(
            text.contains("findings   1 error, 25 warnings, 1 note\n"),
            "{text}"
        );
    }

    #[test]
    fn colour_adds_only_escape_codes() {
        let plain = summary(&fixture::unsound(), Summary::default());
        let mut colour = summary(
            &fixture::unsound(),
            Summary {
                colour: true,
                ..Summary::default()
            },
        );
        for code in ["1;31", "1", "31", "32", "33", "2", "0"] {
            colour = colour.replace(&format!("\x1b[{code}m"), "");
        }
        assert_eq!(plain, colour);
    }

    #[test]
    fn names_cannot_send_escape_sequences() {
        let mut run = fixture::run();
        run.findings[0].subject = "evil\x1b[2J".into();
        run.output = Some("o\x07".into());
        run.skipped.insert("\x1b".into(), 3);
        assert!(
            !summary(&run, Summary::default())
                .chars()
                .any(|c| c.is_control() && c != '\n')
        );
    }
}
