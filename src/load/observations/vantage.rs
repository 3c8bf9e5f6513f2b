//! What the captures and flow logs had in view (rule: isolated-only-if-in-view, node-of-a-capture).

use crate::finding::{Code, Finding};
use crate::graph::{CaptureNodes, Certainty, Vantage, nodes_of_capture};
use crate::inventory::Inventory;
use crate::load::source_path::{SaidNodes, SourcePath};
use crate::net::{TimeSpans, Timestamp, parse_address};
use crate::observe::AddressPair;
use std::collections::BTreeSet;

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
                    nodes
                        .iter()
                        .for_each(|node| self.add_named(node, (first, last)));
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
                let nodes: Vec<&str> = found.presumed.iter().map(String::as_str).collect();
                let message = format!("nothing tells of which node it is: {}?", nodes.join(" or "));
                findings.push(Finding::new(Code::PresumedNode, one.name.clone(), message));
            }
        }
        findings
    }
}
