//! What of the graph the map shows.

use std::collections::BTreeMap;

/// What the map leaves out, by the form of the page.
#[derive(Debug, Default)]
pub struct Filter {
    /// This namespace is opened; each of the others is one node.
    pub namespace: Option<String>,
    pub port: Option<u16>,
    /// `learned`, `new`, `risky` or `blocked`.
    pub verdict: Option<String>,
    /// Only edges that were seen in this many hours before the last observation.
    pub hours: Option<i64>,
    /// Without addresses outside the cluster.
    pub inside: bool,
}

impl Filter {
    pub fn parse(query: &BTreeMap<String, String>) -> Filter {
        let word = |name: &str| query.get(name).filter(|value| !value.is_empty());
        Filter {
            namespace: word("namespace").cloned(),
            port: word("port").and_then(|port| port.parse().ok()),
            verdict: word("verdict").cloned(),
            hours: word("hours").and_then(|hours| hours.parse().ok()),
            inside: word("inside").is_some(),
        }
    }
}
