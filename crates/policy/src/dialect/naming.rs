//! How the addresses at the other end of a requirement are named: as ipBlocks, or in Cilium's dialect as entities and
//! names (rule: cilium-entities, outside-names-by-lookup).

use super::{Dialect, Entity};
use crate::rule::EndKey;
use crate::synthesis::{SynthesisOptions, families};
use nanoseg_graph::{DnsEvidence, End, Requirement};
use nanoseg_inventory::Inventory;
use nanoseg_net::Direction;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The longest name that Cilium's CRD takes (`matchName`, cilium.io/v2; RFC 1035 section 2.3.4).
const MAX_NAME: usize = 255;

/// The addresses that Cilium knows as entities.
struct Entities {
    api_server: BTreeSet<IpAddr>,
    nodes: BTreeSet<IpAddr>,
    ingress: BTreeSet<IpAddr>,
}

/// Names the ends of requirements in one dialect.
pub(in super::super) struct Naming<'a> {
    /// `None`: every address is an ipBlock.
    entities: Option<Entities>,
    dns: &'a DnsEvidence,
    /// Outside servers may have names.
    has_names: bool,
    /// From how many names of one domain on a pattern is written; `None`: never.
    pattern_from: Option<usize>,
}

/// What one direction of a policy does about names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Names<'a> {
    /// Outside servers are named as they were looked up, and the lookups are watched. Else they are named by addresses.
    used: bool,
    /// The domains of which all names one level below are allowed.
    domains: BTreeSet<&'a str>,
}

impl<'a> Naming<'a> {
    pub fn new(
        options: &SynthesisOptions,
        inventory: &Inventory,
        dns: &'a DnsEvidence,
    ) -> Naming<'a> {
        let names_nodes = options.dialect.names_nodes(&inventory.network_plugin);
        let entities = names_nodes.then(|| Entities {
            api_server: inventory
                .api_server
                .iter()
                .map(|endpoint| endpoint.ip())
                .collect(),
            nodes: inventory.node_addresses(),
            ingress: inventory
                .nodes
                .iter()
                .flat_map(|node| node.ingress.iter().copied())
                .collect(),
        });
        Naming {
            entities,
            dns,
            has_names: options.dialect == Dialect::Cilium,
            pattern_from: options.name_patterns,
        }
    }

    /// Whether a direction with these requirements names outside servers. A name becomes addresses only where the
    /// proxy sees the lookup, so without an allowed lookup there is none.
    pub fn names<'r>(
        &self,
        direction: Direction,
        mut requirements: impl Iterator<Item = &'r Requirement> + Clone,
    ) -> Names<'a> {
        let possible = self.has_names && direction == Direction::Egress;
        let looks_up = |one: &Requirement| self.dns.is_lookup(one.edge);
        if !possible || !requirements.clone().any(looks_up) {
            return Names::default();
        }
        let named: BTreeSet<&'a str> = requirements
            .by_ref()
            .flat_map(|one| self.names_of(one))
            .collect();
        Names {
            used: !named.is_empty(),
            domains: self.domains(&named),
        }
    }

    /// The domains with enough names for a pattern. One label alone is no domain of anybody.
    fn domains(&self, named: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
        let Some(least) = self.pattern_from else {
            return BTreeSet::new();
        };
        let mut counts: BTreeMap<&'a str, usize> = BTreeMap::new();
        for domain in named.iter().filter_map(|name| domain_of(name)) {
            *counts.entry(domain).or_default() += 1;
        }
        counts.retain(|_, count| *count >= least.max(2));
        counts.into_keys().collect()
    }

    /// Returns true if the lookups of this requirement are watched.
    pub fn is_watched(&self, requirement: &Requirement, names: &Names) -> bool {
        names.used && self.dns.is_lookup(requirement.edge)
    }

    /// The addresses or ranges at the other end of a requirement, as rules name them.
    pub fn ends(
        &self,
        requirement: &'a Requirement,
        far: &End,
        names: &Names<'a>,
    ) -> Vec<EndKey<'a>> {
        match far {
            End::Workload(_) => Vec::new(),
            End::Ranges(addresses) => families(addresses).map(EndKey::Anywhere).collect(),
            End::Addresses(addresses) => {
                if names.used {
                    let named = self.names_of(requirement);
                    let ends: BTreeSet<EndKey<'a>> = named.map(|name| names.end(name)).collect();
                    if !ends.is_empty() {
                        return ends.into_iter().collect();
                    }
                }
                self.addresses(requirement, addresses)
            }
        }
    }

    fn addresses(
        &self,
        requirement: &Requirement,
        addresses: &BTreeSet<IpAddr>,
    ) -> Vec<EndKey<'a>> {
        let single = |address: &IpAddr| EndKey::Address(*address);
        let Some(entities) = self.entities.as_ref().filter(|_| !requirement.outside) else {
            return addresses.iter().map(single).collect();
        };
        let is_api_server = addresses.is_subset(&entities.api_server);
        let mut ends: BTreeSet<EndKey> = BTreeSet::new();
        for address in addresses {
            if entities.ingress.contains(address) {
                ends.insert(EndKey::Entity(Entity::Ingress));
            } else if is_api_server {
                ends.insert(EndKey::Entity(Entity::KubeApiserver));
            } else if entities.nodes.contains(address) {
                ends.insert(EndKey::Entity(Entity::Host));
                ends.insert(EndKey::Entity(Entity::RemoteNode));
            } else {
                ends.insert(single(address));
            }
        }
        ends.into_iter().collect()
    }

    /// The names by which an outside server can be allowed. A resolver is looked up by nobody.
    fn names_of(&self, requirement: &Requirement) -> impl Iterator<Item = &'a str> {
        let named = requirement.outside && !self.dns.is_lookup(requirement.edge);
        let names = named.then(|| self.dns.names(requirement.edge));
        names.into_iter().flatten().filter(|name| is_name(name))
    }
}

impl<'a> Names<'a> {
    fn end(&self, name: &'a str) -> EndKey<'a> {
        match domain_of(name).filter(|domain| self.domains.contains(domain)) {
            Some(domain) => EndKey::NamesBelow(domain),
            None => EndKey::Name(name),
        }
    }
}

/// The domain right above a name, if it has two labels or more.
fn domain_of(name: &str) -> Option<&str> {
    let (_, domain) = name.split_once('.')?;
    domain.contains('.').then_some(domain)
}

/// Returns true if a looked-up name is one that a policy can have: labels of letters, digits, hyphens and underscores.
/// A question can have any bytes, also `*`, which would be a pattern.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    name.len() <= MAX_NAME && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn a_question_that_is_no_plain_name_does_not_become_one_in_a_policy() {
        for name in ["api.payments.example", "_sip._tcp.example", "a", "x-1.y"] {
            assert!(is_name(name), "{name}");
        }
        let long = "a.".repeat(130) + "a";
        for name in [
            "",
            ".",
            "*",
            "*.example",
            "a..b",
            "a.",
            "a\\032b",
            "A.example",
            "é.example",
            &long,
        ] {
            assert!(!is_name(name), "{name}");
        }
    }
}
