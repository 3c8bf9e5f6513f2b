//! Whose events count, and what of them (rule: relay-speaks-for-its-nodes).
//!
//! Where a person watches, everything that Hubble says counts, also the names of the ends. Where policies are made of it,
//! an event is what the node saw that it names: addresses, ports and what became of the packet. Who had an address is
//! the inventory's to say.

use super::flow::HubbleFlow;
use crate::LiveError;
use std::io;

/// Whose events count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HubbleScope {
    /// Those of all nodes as if one observer had seen them, with the names that Cilium has for the ends.
    #[default]
    Everything,
    /// Those that one node saw, without names of the ends.
    Node {
        node: String,
        /// Of that cluster, where Hubble tells of several.
        cluster: Option<String>,
    },
}

impl HubbleScope {
    /// The node, if it is one.
    pub fn node(&self) -> Option<&str> {
        match self {
            HubbleScope::Everything => None,
            HubbleScope::Node { node, .. } => Some(node),
        }
    }
}

/// Takes away what an event says of its ends beyond their addresses. What Cilium's DNS proxy saw stays: a question, and
/// the resolver that answered.
pub(super) fn strip_names(flow: &mut HubbleFlow) {
    flow.labels = [None, None];
    flow.services = [None, None];
    flow.names = [Vec::new(), Vec::new()];
}

/// Lets one cluster through. Nodes of the clusters of a mesh may have the same names, and pods the same addresses.
#[derive(Debug)]
pub(super) struct OneCluster {
    name: Option<String>,
    is_given: bool,
}

impl OneCluster {
    /// `given`: its name; without it, there must not be two.
    pub fn new(given: Option<String>) -> Self {
        OneCluster {
            is_given: given.is_some(),
            name: given,
        }
    }

    /// Returns true if a node of this cluster counts; a node without one is of the cluster that is meant.
    ///
    /// # Errors
    /// If there are two clusters, and nobody said which one is meant.
    pub fn admits(&mut self, cluster: Option<&str>) -> Result<bool, LiveError> {
        let Some(cluster) = cluster else {
            return Ok(true);
        };
        match &self.name {
            Some(name) if name == cluster => Ok(true),
            Some(_) if self.is_given => Ok(false),
            Some(name) => Err(LiveError {
                action: "follow Hubble".to_owned(),
                remedy: Some("give --hubble-cluster with Cilium's cluster.name".to_owned()),
                source: io::Error::other(format!(
                    "it tells of the nodes of two clusters, {name} and {cluster}"
                )),
            }),
            None => {
                self.name = Some(cluster.to_owned());
                Ok(true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_a_second_cluster_are_refused_until_somebody_says_which_is_meant() {
        let mut unsaid = OneCluster::new(None);
        assert!(unsaid.admits(None).unwrap() && unsaid.admits(Some("a")).unwrap());
        assert!(unsaid.admits(Some("a")).unwrap());
        let error = unsaid.admits(Some("b")).unwrap_err();
        assert!(error.to_string().contains("--hubble-cluster"), "{error}");
        let mut said = OneCluster::new(Some("b".into()));
        assert!(!said.admits(Some("a")).unwrap());
        assert!(said.admits(Some("b")).unwrap() && said.admits(None).unwrap());
    }
}
