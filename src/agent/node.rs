//! The node's name. It becomes a NATS subject and part of paths, so only names that Kubernetes allows are accepted.

use std::str::FromStr;
use std::sync::Arc;
use thiserror::Error;

/// A DNS subdomain name (RFC 1123), as names of Kubernetes nodes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeName(Arc<str>);

/// Why a text is not a node name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no name of a node: give what kubectl get nodes shows, at most 253 characters of a-z, 0-9, \
     - and ., each part beginning and ending with a letter or digit"
)]
pub struct NotANode(String);

impl NodeName {
    pub fn as_arc(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl FromStr for NodeName {
    type Err = NotANode;

    fn from_str(text: &str) -> Result<Self, NotANode> {
        let is_label = |label: &str| {
            let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            !label.is_empty()
                && label.bytes().all(inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if text.len() <= 253 && text.split('.').all(is_label) {
            Ok(NodeName(text.into()))
        } else {
            Err(NotANode(text.to_owned()))
        }
    }
}

impl std::fmt::Display for NodeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_names_are_dns_names() {
        let long = "a".repeat(254);
        for name in ["node-1", "ip-10-0-0-1.eu-west-1.compute.internal", "n"] {
            assert_eq!(name.parse::<NodeName>().expect(name).to_string(), name);
        }
        for name in [
            "", "Node", "a..b", "-a", "a-", "a b", "a.*", ">", "../x", &long,
        ] {
            assert!(name.parse::<NodeName>().is_err(), "{name}");
        }
    }
}
