//! A proposal as text.

use crate::cli::style::Style;
use crate::report::diff::{DiffLine, diff};
use crate::report::escape;
use crate::report::table::{Align, Table};
use crate::review::outline::{self, OutlineLine};
use crate::review::resources::{
    ChangeLine, EvidenceLine, PolicyProposal, RefusedLine, Verb, WouldBlock,
};
use anyhow::Context;
use k8s_openapi::api::networking::v1::NetworkPolicySpec;
use kube::ResourceExt;

/// Renders everything about `proposal`.
pub fn render(proposal: &PolicyProposal, style: Style) -> anyhow::Result<String> {
    let mut out = Printer {
        text: String::new(),
        style,
    };
    let review = &proposal.spec.review;
    out.header(proposal);
    out.outline(proposal);
    if proposal.spec.base.is_some() || review.closed_groups.is_empty() {
        out.changes("opens", &review.gained, review.gained_total, "+");
        out.changes("closes", &review.lost, review.lost_total, "-");
    }
    out.would_block(&review.would_block, review.would_block_total);
    out.refused(&review.refused);
    out.findings(proposal);
    out.evidence(&review.evidence, review.evidence_total);
    out.policy(proposal.spec.base.as_ref(), &proposal.spec.policy)?;
    out.decide(proposal);
    Ok(out.text)
}

struct Printer {
    text: String,
    style: Style,
}

/// Text from the cluster, safe to print to a terminal.
fn clean(text: &str) -> String {
    escape::terminal(text).into_owned()
}

impl Printer {
    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn field(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            let name = self.style.bold(&format!("{name:<10}"));
            self.line(&format!("{name} {value}"));
        }
    }

    fn heading(&mut self, text: &str) {
        let text = self.style.bold(text);
        self.line(&format!("\n{text}"));
    }

    fn header(&mut self, proposal: &PolicyProposal) {
        let (spec, review) = (&proposal.spec, &proposal.spec.review);
        let namespace = proposal.namespace().unwrap_or_default();
        let (kind, name) = (&spec.workload.kind, &spec.workload.name);
        self.field(
            "proposal",
            &clean(&format!("{namespace}/{}", proposal.name_any())),
        );
        self.field("workload", &clean(&format!("{namespace}/{name} ({kind})")));
        self.field("policy", &clean(&spec.policy_name));
        let status = proposal.status.clone().unwrap_or_default();
        let by = status
            .decided_by
            .map_or(String::new(), |by| format!(", by {by}"));
        let why = status.reason.filter(|why| !why.is_empty());
        let why = why.map_or(String::new(), |why| format!(": {why}"));
        self.field("phase", &clean(&format!("{:?}{by}{why}", proposal.phase())));
        let until = status.open_until.as_ref().map(|until| until.0.to_string());
        self.field("open until", &until.unwrap_or_default());
        let without: Vec<String> = status
            .except
            .iter()
            .filter_map(|one| one.connection())
            .map(|one| one.to_string())
            .collect();
        self.field("without", &clean(&without.join(", ")));
        self.field("message", &clean(&status.message.unwrap_or_default()));
        self.field("reason", &clean(&review.reason));
        let risk = match review.risk.as_str() {
            "low" => self.style.green("low"),
            "medium" => self.style.yellow("medium"),
            other => self.style.red(&clean(other)),
        };
        self.field("risk", &risk);
        let coverage = review
            .coverage
            .map(|share| format!("about {share} % (estimate)"));
        self.field("edges seen", &coverage.unwrap_or_default());
        self.field("revision", &clean(&review.revision));
    }

    fn changes(&mut self, word: &str, list: &[ChangeLine], total: u32, sign: &str) {
        let text = match (total, list.is_empty()) {
            (0, _) => format!("{word} nothing"),
            // Proposals of earlier versions only count what a first policy closes.
            (1, true) => format!("{word} 1 pair of workloads"),
            (total, true) => format!("{word} {total} pairs of workloads"),
            (1, false) => format!("{word} 1 connection"),
            (total, false) => format!("{word} {total} connections"),
        };
        self.heading(&text);
        for change in list {
            let line = format!(
                "  {sign} {} → {} on {}",
                change.client, change.server, change.ports
            );
            let line = match sign {
                "+" => self.style.green(&clean(&line)),
                _ => self.style.red(&clean(&line)),
            };
            self.line(&line);
        }
        self.rest(list.len(), total);
    }

    /// What the policy allows and closes in short. The full list of what a first policy closes is everything else.
    fn outline(&mut self, proposal: &PolicyProposal) {
        let review = &proposal.spec.review;
        let namespace = proposal.namespace().unwrap_or_default();
        let own = format!("{namespace}/{}", proposal.spec.workload.name);
        let seen = outline::allowed(&own, &review.evidence);
        if !seen.is_empty() {
            self.heading("allows what was seen");
            self.outline_lines(&seen);
            self.rest(review.evidence.len(), review.evidence_total);
        }
        let closed = outline::closed(review);
        if closed.is_empty() {
            return;
        }
        self.heading(match proposal.spec.base {
            Some(_) => "closes, in short",
            None => "closes everything else",
        });
        self.outline_lines(&closed);
    }

    fn outline_lines(&mut self, lines: &[OutlineLine]) {
        let left = Align::Left;
        let mut table = Table::new([("", left), ("", left), ("", left)]);
        for one in lines {
            let direction = format!("  {:<4}", one.direction);
            table.row([direction, one.ends.clone(), one.ports.clone()]);
        }
        let text = table.render();
        // The header is empty.
        let rows = text
            .lines()
            .skip(1)
            .map(|line| line.trim_end().to_owned() + "\n");
        self.text.extend(rows);
    }

    /// What people refused before: what is left out, and what is offered again.
    fn refused(&mut self, refused: &[RefusedLine]) {
        if refused.is_empty() {
            return;
        }
        self.heading("refused before");
        for one in refused {
            let name = format!("{} → {} {}", one.client, one.server, one.port);
            let who = format!(
                "{} at {} ({})",
                one.refused_by, one.refused_at, one.proposal
            );
            let line = match one.change {
                None => clean(&format!("  - {name}: left out, refused by {who}")),
                Some(_) => {
                    let line = format!("  + {name}: refused by {who}; {}", one.message);
                    self.style.yellow(&clean(&line))
                }
            };
            self.line(&line);
        }
    }

    /// How many entries are hidden: lists in a proposal are cut.
    fn rest(&mut self, shown: usize, total: u32) {
        let hidden = (total as usize).saturating_sub(shown);
        if hidden > 0 && shown > 0 {
            let line = self.style.dim(&format!("  … and {hidden} more"));
            self.line(&line);
        }
    }

    fn findings(&mut self, proposal: &PolicyProposal) {
        let findings = &proposal.spec.review.findings;
        if findings.is_empty() {
            return;
        }
        self.heading("findings");
        for finding in findings {
            let severity = format!("{:<8}", clean(&finding.severity));
            let severity = match finding.severity.as_str() {
                "error" => self.style.red(&severity),
                "warning" => self.style.yellow(&severity),
                _ => severity,
            };
            let shared = if finding.shared {
                " (as nearly all workloads, so it raises no risk)"
            } else {
                ""
            };
            let rest = format!(
                "{}  {} {}{shared}",
                finding.code, finding.subject, finding.message
            );
            self.line(&format!("  {severity} {}", clean(&rest)));
        }
    }

    fn would_block(&mut self, list: &[WouldBlock], total: u32) {
        if total == 0 {
            self.heading("would block no recorded flow");
            return;
        }
        let flows = if total == 1 { "flow" } else { "flows" };
        let text = self
            .style
            .red(&format!("would block {total} recorded {flows}"));
        self.heading(&text);
        let (left, right) = (Align::Left, Align::Right);
        let mut table = Table::new([
            ("  CLIENT", left),
            ("SERVER", left),
            ("PORT", left),
            ("CONNECTIONS", right),
            ("LAST SEEN", left),
        ]);
        for one in list {
            table.row([
                format!("  {}", one.client),
                one.server.clone(),
                one.port.clone(),
                one.connections.to_string(),
                one.last_seen.clone(),
            ]);
        }
        self.text.push_str(&table.render());
        self.rest(list.len(), total);
    }

    fn evidence(&mut self, list: &[EvidenceLine], total: u32) {
        if list.is_empty() {
            return;
        }
        self.heading("evidence");
        let (left, right) = (Align::Left, Align::Right);
        let mut table = Table::new([
            ("  CONNECTION", left),
            ("COUNT", right),
            ("FIRST SEEN", left),
            ("LAST SEEN", left),
            ("NOTES", left),
        ]);
        for one in list {
            table.row([
                format!("  {} → {} {}", one.client, one.server, one.port),
                one.connections.to_string(),
                one.first_seen.clone(),
                one.last_seen.clone(),
                one.notes.join(", "),
            ]);
        }
        self.text.push_str(&table.render());
        self.rest(list.len(), total);
    }

    fn policy(
        &mut self,
        base: Option<&NetworkPolicySpec>,
        policy: &NetworkPolicySpec,
    ) -> anyhow::Result<()> {
        let yaml = |spec: &NetworkPolicySpec| {
            serde_yaml::to_string(spec).context("failed to print the policy; please report it")
        };
        let before = base.map(yaml).transpose()?.unwrap_or_default();
        let after = yaml(policy)?;
        self.heading(match base {
            Some(_) => "policy, compared with the one it changes",
            None => "policy, the first one of this workload",
        });
        for line in diff(&before, &after) {
            let line = match line {
                DiffLine::Same(text) => format!("    {}", clean(text)),
                DiffLine::Removed(text) => self.style.red(&format!("  - {}", clean(text))),
                DiffLine::Added(text) => self.style.green(&format!("  + {}", clean(text))),
                DiffLine::Skipped(count) => {
                    self.style.cyan(&format!("  @@ {count} lines the same @@"))
                }
            };
            self.line(&line);
        }
        Ok(())
    }

    /// The commands to decide.
    fn decide(&mut self, proposal: &PolicyProposal) {
        if proposal.phase() != crate::review::resources::Phase::Pending {
            return;
        }
        self.heading("decide");
        let namespace = proposal.namespace().unwrap_or_default();
        let name = proposal.name_any();
        let program = crate::cli::program();
        for verb in [Verb::Approve, Verb::Reject] {
            let verb = format!("{verb:?}").to_lowercase();
            let line = format!("  {program} {verb} {name} -n {namespace} --reason …");
            self.line(&clean(&line));
        }
        let review = &proposal.spec.review;
        if let Some(one) = review
            .evidence
            .first()
            .filter(|_| review.evidence.len() > 1)
        {
            let named = format!("{} → {} {}", one.client, one.server, one.port);
            self.line(&clean(&format!(
                "  {program} approve {name} -n {namespace} --except '{named}' --reason …"
            )));
        }
        let closes = review.lost_total + review.would_block_total;
        if proposal.spec.base.is_some() && closes == 0 && review.gained_total > 0 {
            self.line(&clean(&format!(
                "  {program} approve {name} -n {namespace} --for 2h --reason …"
            )));
        }
    }
}
