//! What the captures and flow logs had in view (rule: isolated-only-if-in-view, node-of-a-capture).

use crate::finding::{Code, Finding};
use crate::graph::{CaptureNodes, Certainty, Vantage, nodes_of_capture};
use crate::inventory::Inventory;
use crate::load::source_path::{SaidNodes, SourcePath};
use crate::net::{TimeSpans, Timestamp, parse_address};
use crate::observe::AddressPair;
use std::collections::{BTreeMap, BTreeSet};

/// How many examples a finding carries.
const SAMPLES: usize = 5;

/// One capture, or all flow logs that do not say of which node they are.
pub struct UnnamedSource {
    /// The file, or what the operator calls it.
    pub name: String,
    pub span: Option<(Timestamp, Timestamp)>,
    /// Between which addresses it has packets.
    pub pairs: Vec<AddressPair>,
    /// It may gather what several nodes saw, as a flow log does and a capture does not.
    pub may_be_of_several: bool,
}

/// Returns true if the cluster has one node, so that nothing has to be found out. A snapshot of a part of it does not
/// show that.
pub(super) fn has_one_node(inventory: &Inventory) -> bool {
    inventory.node_names().len() <= 1 && !inventory.partial
}

/// Puts together what sources had in view, and tells where that is presumed.
pub struct VantageBuilder<'a> {
    inventory: &'a Inventory,
    /// The names of all nodes.
    names: BTreeSet<String>,
    vantage: Vantage,
    one_node: bool,
    /// Names of nodes that a source gives and the snapshots do not have.
    unknown: BTreeSet<String>,
}

impl<'a> VantageBuilder<'a> {
    pub fn new(inventory: &'a Inventory) -> Self {
        VantageBuilder {
            inventory,
            names: inventory.node_names(),
            vantage: Vantage::default(),
            one_node: has_one_node(inventory),
            unknown: BTreeSet::new(),
        }
    }

    /// Returns what was in view, and which nodes nobody knows.
    pub fn finish(self) -> (Vantage, Vec<Finding>) {
        let unknown = self.unknown.into_iter();
        let unknown = unknown.map(|node| {
            let message =
                "is named as the node of flow records, and the snapshots have no such node";
            Finding::new(Code::PresumedNode, node, message)
        });
        (self.vantage, unknown.collect())
    }

    /// Adds a source that gathers what all nodes saw.
    pub fn add_whole_cluster(&mut self, (first, last): (Timestamp, Timestamp)) {
        self.vantage.add_everywhere(first, last);
    }

    /// The node of that name, address or host name. A host name may have a domain that the node's name lacks, or lack it.
    fn node_called(&self, called: &str) -> Option<String> {
        if self.names.contains(called) {
            return Some(called.to_owned());
        }
        if let Some(address) = parse_address(called) {
            let mut nodes = self.inventory.nodes.iter();
            let node = nodes.find(|node| node.addresses.contains(&address));
            return node.map(|node| node.name.clone());
        }
        let called = called.to_ascii_lowercase();
        let is_within = |long: &str, short: &str| {
            let rest = long.strip_prefix(short);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let mut fitting = self
            .names
            .iter()
            .filter(|name| is_within(name, &called) || is_within(&called, name));
        let first = fitting.next();
        first.filter(|_| fitting.next().is_none()).cloned()
    }

    /// Adds a source that names its node: by the node's name, or by an address of it.
    pub fn add_named(&mut self, node: &str, (first, last): (Timestamp, Timestamp)) {
        if self.one_node {
            return self.vantage.add_everywhere(first, last);
        }
        let Some(name) = self.node_called(node) else {
            self.unknown.insert(node.to_owned());
            return;
        };
        let mut spans = TimeSpans::default();
        spans.insert(first, last);
        self.vantage.add_node(&name, Certainty::Certain, &spans);
    }

    fn nodes_of(
        &self,
        source: &UnnamedSource,
        known: &BTreeSet<String>,
        at: Timestamp,
    ) -> CaptureNodes {
        nodes_of_capture(
            &source.pairs,
            self.inventory,
            known,
            at,
            source.may_be_of_several,
        )
    }

    /// Adds sources that do not name their node: by the word of the operator, or by what they show.
    pub fn add(&mut self, sources: &[SourcePath], observed: &[UnnamedSource]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut unsaid = Vec::new();
        for one in observed {
            let Some((first, last)) = one.span else {
                continue;
            };
            let said = sources
                .iter()
                .filter(|source| source.covers(&one.name))
                .map(|source| &source.nodes)
                .find(|nodes| **nodes != SaidNodes::Unsaid);
            match said {
                _ if self.one_node => self.vantage.add_everywhere(first, last),
                Some(SaidNodes::All) => self.vantage.add_everywhere(first, last),
                Some(SaidNodes::Nodes(nodes)) => {
                    findings.extend(self.add_said(one, nodes, (first, last)));
                }
                Some(SaidNodes::Unsaid) | None => unsaid.push((one, (first, last))),
            }
        }
        // A node that another file shows for certain explains packets that two nodes could have seen: the parts of a
        // rotated capture.
        let mut known: BTreeSet<String> = self
            .vantage
            .nodes()
            .map(|(node, _)| node.to_owned())
            .collect();
        for (one, (_, last)) in &unsaid {
            let found = self.nodes_of(one, &BTreeSet::new(), *last);
            known.extend(found.certain);
        }
        let mut presumed: BTreeMap<BTreeSet<String>, Vec<&str>> = BTreeMap::new();
        for (one, (first, last)) in unsaid {
            let found = self.nodes_of(one, &known, last);
            let mut spans = TimeSpans::default();
            spans.insert(first, last);
            for node in &found.certain {
                self.vantage.add_node(node, Certainty::Certain, &spans);
            }
            for node in &found.presumed {
                self.vantage.add_node(node, Certainty::Presumed, &spans);
            }
            if !found.presumed.is_empty() {
                presumed.entry(found.presumed).or_default().push(&one.name);
            }
        }
        findings.extend(
            presumed
                .iter()
                .map(|(nodes, files)| presumed_node(nodes, files)),
        );
        findings
    }

    /// Adds a source whose nodes the operator named. What it shows goes before the name: where none of these nodes can
    /// have what it has, they are only presumed to be in view, and the finding says so.
    fn add_said(
        &mut self,
        source: &UnnamedSource,
        said: &BTreeSet<String>,
        (first, last): (Timestamp, Timestamp),
    ) -> Option<Finding> {
        // What shows nobody, such as a capture at another bridge, had no pod in view.
        if source.pairs.is_empty() {
            return None;
        }
        let found = self.nodes_of(source, said, last);
        let shown: BTreeSet<&String> = found.certain.iter().chain(&found.presumed).collect();
        let agrees = shown.is_empty() || said.iter().any(|node| shown.contains(node));
        if agrees {
            said.iter()
                .for_each(|node| self.add_named(node, (first, last)));
            return None;
        }
        let mut spans = TimeSpans::default();
        spans.insert(first, last);
        for node in &found.certain {
            self.vantage.add_node(node, Certainty::Certain, &spans);
        }
        for node in found.presumed.iter().chain(said) {
            self.vantage.add_node(node, Certainty::Presumed, &spans);
        }
        let shown: Vec<&str> = shown.into_iter().map(String::as_str).collect();
        let said: Vec<&str> = said.iter().map(String::as_str).collect();
        let message = format!(
            "is said to be of {}, but has packets that only {} can have seen",
            said.join(" and "),
            shown.join(" or ")
        );
        let name = source.name.clone();
        Some(Finding::new(Code::ContradictedNode, name, message))
    }
}

/// The files that may be of any of these nodes, in one finding: the parts of a rotated capture are one question.
fn presumed_node(nodes: &BTreeSet<String>, files: &[&str]) -> Finding {
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    let nodes = nodes.join(" or ");
    let first = files.first().copied().unwrap_or_default();
    let (subject, message) = match files.len() {
        0 | 1 => (
            first.to_owned(),
            format!("nothing in it shows whether it is of {nodes}"),
        ),
        number => (
            format!("{first} and {} more", number - 1),
            format!("nothing in them shows whether they are of {nodes}"),
        ),
    };
    Finding::new(Code::PresumedNode, subject, message).with_samples(
        files
            .iter()
            .skip(1)
            .take(SAMPLES)
            .copied()
            .map(String::from),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::testing::{inventory, node, pod};

    fn cluster() -> Inventory {
        let documents = [
            node("n1.example.org", "10.244.1.0/24", "172.18.0.2"),
            node("n2", "10.244.2.0/24", "172.18.0.3"),
            pod("shop", "web", "10.244.1.5", "n1.example.org", "app: web"),
            pod("shop", "api", "10.244.2.5", "n2", "app: api"),
        ];
        inventory(&documents.join("\n---\n")).0
    }

    fn named(names: &[&str]) -> (Vec<String>, Vec<String>) {
        let cluster = cluster();
        let mut builder = VantageBuilder::new(&cluster);
        for name in names {
            builder.add_named(name, (Timestamp::from_secs(0), Timestamp::from_secs(9)));
        }
        let (vantage, findings) = builder.finish();
        let nodes = vantage.nodes().map(|(node, _)| node.to_owned()).collect();
        (nodes, findings.into_iter().map(|f| f.subject).collect())
    }

    #[test]
    fn a_node_is_named_by_its_name_its_address_or_its_host_name() {
        for name in ["n1.example.org", "172.18.0.2", "N1"] {
            let (nodes, unknown) = named(&[name]);
            assert_eq!(nodes, ["n1.example.org"], "{name}");
            assert!(unknown.is_empty(), "{name}");
        }
    }

    #[test]
    fn a_node_that_the_snapshots_do_not_have_is_said_and_sees_nothing() {
        let (nodes, unknown) = named(&["n2", "worker-7", "203.0.113.1", "n1.other.example"]);
        assert_eq!(nodes, ["n2"]);
        assert_eq!(unknown, ["203.0.113.1", "n1.other.example", "worker-7"]);
    }

    /// The nodes in view for certain, and the findings, where the operator says that a source with packets between
    /// these addresses is of n2.
    fn said_to_be_of_n2(pairs: &[(&str, &str)]) -> (Vec<String>, Vec<Finding>) {
        let cluster = cluster();
        let at = |secs: i64| Timestamp::from_secs(1_800_000_000 + secs);
        let pairs = pairs
            .iter()
            .map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap()));
        let source = UnnamedSource {
            name: "a.pcap".into(),
            span: Some((at(0), at(60))),
            pairs: pairs.collect(),
            may_be_of_several: false,
        };
        let mut builder = VantageBuilder::new(&cluster);
        let said: SourcePath = "a.pcap@n2".parse().unwrap();
        let findings = builder.add(&[said], &[source]);
        let (vantage, _) = builder.finish();
        let nodes = vantage.nodes().map(|(node, _)| node.to_owned()).collect();
        (nodes, findings)
    }

    #[test]
    fn what_a_capture_shows_goes_before_the_node_that_it_is_said_to_be_of() {
        let (nodes, findings) = said_to_be_of_n2(&[("10.244.1.1", "10.244.1.5")]);
        assert_eq!(nodes, ["n1.example.org"]);
        let message = &findings[0].message;
        assert!(message.contains("is said to be of n2, but has packets that only n1"));
        let both = [("10.244.1.5", "10.244.2.5")];
        assert_eq!(said_to_be_of_n2(&both), (vec!["n2".to_owned()], vec![]));
    }

    #[test]
    fn a_capture_that_shows_nobody_had_no_node_in_view() {
        assert_eq!(said_to_be_of_n2(&[]), (vec![], vec![]));
    }
}
