//! What the captures and flow logs had in view (rule: isolated-only-if-in-view, node-of-a-capture).

use crate::finding::{Code, Finding};
use crate::graph::{Certainty, Vantage, nodes_of_capture};
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
}

/// Puts together what sources had in view, and tells where that is presumed.
pub struct VantageBuilder<'a> {
    inventory: &'a Inventory,
    vantage: Vantage,
    one_node: bool,
}

impl<'a> VantageBuilder<'a> {
    pub fn new(inventory: &'a Inventory) -> Self {
        VantageBuilder {
            inventory,
            vantage: Vantage::default(),
            one_node: inventory.node_names().len() <= 1,
        }
    }

    pub fn finish(self) -> Vantage {
        self.vantage
    }

    /// Adds a source that gathers what all nodes saw.
    pub fn add_whole_cluster(&mut self, (first, last): (Timestamp, Timestamp)) {
        self.vantage.add_everywhere(first, last);
    }

    /// Adds a source that names its node: by the node's name, or by an address of it.
    pub fn add_named(&mut self, node: &str, (first, last): (Timestamp, Timestamp)) {
        if self.one_node {
            return self.vantage.add_everywhere(first, last);
        }
        let name = parse_address(node)
            .and_then(|address| {
                let nodes = self.inventory.nodes.iter();
                nodes.clone().find(|node| node.addresses.contains(&address))
            })
            .map_or(node, |node| node.name.as_str());
        let mut spans = TimeSpans::default();
        spans.insert(first, last);
        self.vantage.add_node(name, Certainty::Certain, &spans);
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
            let found = nodes_of_capture(&one.pairs, self.inventory, &BTreeSet::new(), *last);
            known.extend(found.certain);
        }
        let mut presumed: BTreeMap<BTreeSet<String>, Vec<&str>> = BTreeMap::new();
        for (one, (first, last)) in unsaid {
            let found = nodes_of_capture(&one.pairs, self.inventory, &known, last);
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
        let found = nodes_of_capture(&source.pairs, self.inventory, said, last);
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
    use super::{UnnamedSource, VantageBuilder};
    use crate::finding::Finding;
    use crate::inventory::testing;
    use crate::load::source_path::SourcePath;
    use crate::net::Timestamp;

    /// The nodes in view for certain, and the findings, where the operator says that a source with packets between
    /// these addresses is of n2. web runs on n1, api on n2.
    fn said_to_be_of_n2(pairs: &[(&str, &str)]) -> (Vec<String>, Vec<Finding>) {
        let documents = [
            testing::node("n1", "10.244.1.0/24", "172.18.0.2"),
            testing::node("n2", "10.244.2.0/24", "172.18.0.3"),
            testing::pod("shop", "web", "10.244.1.5", "n1", "app: web"),
            testing::pod("shop", "api", "10.244.2.5", "n2", "app: api"),
        ];
        let (inventory, _) = testing::inventory(&documents.join("\n---\n"));
        let at = |secs: i64| Timestamp::from_secs(1_800_000_000 + secs);
        let pairs = pairs
            .iter()
            .map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap()));
        let source = UnnamedSource {
            name: "a.pcap".into(),
            span: Some((at(0), at(60))),
            pairs: pairs.collect(),
        };
        let mut builder = VantageBuilder::new(&inventory);
        let said: SourcePath = "a.pcap@n2".parse().unwrap();
        let findings = builder.add(&[said], &[source]);
        let vantage = builder.finish();
        let nodes = vantage.nodes().map(|(node, _)| node.to_owned()).collect();
        (nodes, findings)
    }

    #[test]
    fn what_a_capture_shows_goes_before_the_node_that_it_is_said_to_be_of() {
        let (nodes, findings) = said_to_be_of_n2(&[("10.244.1.1", "10.244.1.5")]);
        assert_eq!(nodes, ["n1"]);
        assert!(
            findings[0]
                .message
                .contains("is said to be of n2, but has packets that only n1")
        );
        let both = [("10.244.1.5", "10.244.2.5")];
        assert_eq!(said_to_be_of_n2(&both), (vec!["n2".to_owned()], vec![]));
    }

    #[test]
    fn a_capture_that_shows_nobody_had_no_node_in_view() {
        assert_eq!(said_to_be_of_n2(&[]), (vec![], vec![]));
    }
}
