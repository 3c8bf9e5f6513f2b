//! The nodes whose agents saw something.

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// A set of nodes by name, in order. Copies share their memory: most records and edges have one of few sets.
///
/// Empty where no agent is behind it: a capture file does not name its node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Observers(Option<Arc<[Arc<str>]>>);

impl Observers {
    /// The set of one node; empty if the name is.
    pub fn one(node: &Arc<str>) -> Observers {
        if node.is_empty() {
            return Observers::default();
        }
        Observers(Some(Arc::from([node.clone()])))
    }

    /// The nodes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter().flat_map(|nodes| nodes.iter())
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |nodes| nodes.len())
    }

    /// Returns true if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns true if the node is among them.
    pub fn contains(&self, node: &str) -> bool {
        let nodes = self.0.as_deref().unwrap_or_default();
        nodes.binary_search_by(|known| (**known).cmp(node)).is_ok()
    }

    /// Returns true if all of them are in `other`.
    pub fn is_subset(&self, other: &Observers) -> bool {
        self.iter().all(|node| other.contains(node))
    }

    /// Adds all nodes of `other`.
    pub fn extend(&mut self, other: &Observers) {
        if self.is_empty() {
            self.0.clone_from(&other.0);
        } else if !other.is_subset(self) {
            *self = self.iter().chain(other.iter()).cloned().collect();
        }
    }

    /// Adds nodes of `other` until there are `most`: those that come first by name.
    pub fn extend_up_to(&mut self, other: &Observers, most: usize) {
        self.extend(other);
        if self.len() > most {
            *self = self.iter().take(most).cloned().collect();
        }
    }
}

impl fmt::Display for Observers {
    /// The names, with commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, node) in self.iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            write!(f, "{comma}{node}")?;
        }
        Ok(())
    }
}

impl FromIterator<Arc<str>> for Observers {
    fn from_iter<I: IntoIterator<Item = Arc<str>>>(nodes: I) -> Self {
        let nodes: BTreeSet<Arc<str>> = nodes.into_iter().filter(|name| !name.is_empty()).collect();
        Observers((!nodes.is_empty()).then(|| nodes.into_iter().collect()))
    }
}

impl Serialize for Observers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|node| &**node))
    }
}

impl<'de> Deserialize<'de> for Observers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names: Vec<String> = Vec::deserialize(deserializer)?;
        Ok(names.into_iter().map(Arc::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> Observers {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    #[test]
    fn nodes_are_in_order_and_none_is_there_twice() {
        let mut some = set(&["b", "a", "b", ""]);
        assert_eq!(some, set(&["a", "b"]));
        some.extend(&set(&["c", "a"]));
        assert_eq!(some, set(&["a", "b", "c"]));
        some.extend_up_to(&set(&["d"]), 2);
        assert_eq!(some, set(&["a", "b"]));
        assert!(some.contains("a") && !some.contains("c"));
    }
}
