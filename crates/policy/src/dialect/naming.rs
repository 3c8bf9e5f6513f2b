//! How the addresses at the other end of a requirement are named: as ipBlocks, or in Cilium's dialect as entities and
//! names (rule: cilium-entities, outside-names-by-lookup).

use super::{Dialect, Entity};
use crate::rule::EndKey;
use crate::synthesis::families;
use nanoseg_graph::{DnsEvidence, End, Requirement};
use nanoseg_inventory::Inventory;
use nanoseg_net::Direction;
use std::collections::BTreeSet;
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
}

/// What one direction of a policy does about names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Names {
    /// Outside servers are named by addresses.
    Unused,
    /// Outside servers are named as they were looked up, and the lookups are watched.
    Used,
}

impl<'a> Naming<'a> {
    pub fn new(dialect: Dialect, inventory: &Inventory, dns: &'a DnsEvidence) -> Naming<'a> {
        let entities = (dialect == Dialect::Cilium).then(|| Entities {
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
        Naming { entities, dns }
    }

    /// Whether a direction with these requirements names outside servers. A name becomes addresses only where the
    /// proxy sees the lookup, so without an allowed lookup there is none.
    pub fn names<'r>(
        &self,
        direction: Direction,
        mut requirements: impl Iterator<Item = &'r Requirement> + Clone,
    ) -> Names {
        let possible = self.entities.is_some() && direction == Direction::Egress;
        let looks_up = |one: &Requirement| self.dns.is_lookup(one.edge);
        if possible
            && requirements.clone().any(looks_up)
            && requirements.any(|one| self.names_of(one).next().is_some())
        {
            Names::Used
        } else {
            Names::Unused
        }
    }

    /// Returns true if the lookups of this requirement are watched.
    pub fn is_watched(&self, requirement: &Requirement, names: Names) -> bool {
        names == Names::Used && self.dns.is_lookup(requirement.edge)
    }

    /// The addresses or ranges at the other end of a requirement, as rules name them.
    pub fn ends(&self, requirement: &'a Requirement, far: &End, names: Names) -> Vec<EndKey<'a>> {
        match far {
            End::Workload(_) => Vec::new(),
            End::Ranges(addresses) => families(addresses).map(EndKey::Anywhere).collect(),
            End::Addresses(addresses) => {
                if names == Names::Used {
                    let names: Vec<EndKey<'a>> =
                        self.names_of(requirement).map(EndKey::Name).collect();
                    if !names.is_empty() {
                        return names;
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
