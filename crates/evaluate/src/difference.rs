//! The semantic difference of two sets of policies over the same pods: the connections that a change opens and
//! closes, whatever the text of the policies.

use super::evaluation::{Evaluation, address_map, pair};
use super::policy_ref::{ComparedSide, PolicyRef};
use super::proof::Span;
use super::tables::Tables;
use super::{AddressMap, ClassId, EvaluateError, HostNetwork};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::{AddressSet, ConnectionSet, Direction};
use nanoseg_policy_kinds::OtherKindPolicy;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Connections between two ends that were opened or closed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ConnectionChange {
    pub client: Span,
    pub server: Span,
    pub connections: ConnectionSet,
}

impl fmt::Display for ConnectionChange {
    /// `shop/web => shop/db : TCP 5432`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} => {} : {}",
            self.client, self.server, self.connections
        )
    }
}

impl ConnectionChange {
    /// Returns the namespace of the server, or of the client if the server is not a workload; empty if neither is
    /// one.
    pub fn namespace(&self) -> &str {
        match (&self.server, &self.client) {
            (Span::Workload(id), _) | (_, Span::Workload(id)) => &id.namespace,
            _ => "",
        }
    }
}

/// All changes, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Allowed after and not before.
    pub opened: Vec<ConnectionChange>,
    /// Allowed before and not after.
    pub closed: Vec<ConnectionChange>,
}

/// Two sets of policies, resolved over the same pods.
#[derive(Debug)]
pub struct Comparison {
    /// The policies of both sets, first those before the change.
    pub(super) evaluation: Evaluation,
    pub(super) old: Tables,
    pub(super) new: Tables,
    pub(super) sides: Sides,
}

/// Which policies are those before and those after the change, by their source. Policies of other kinds that are in force
/// are of both.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides {
    /// The number of policies before the change.
    before: u32,
    /// The number of policies after the change.
    after: u32,
}

impl Sides {
    pub fn is_of_before(self, source: u32) -> bool {
        source < self.before || source >= self.before + self.after
    }

    pub fn is_of_after(self, source: u32) -> bool {
        source >= self.before
    }

    /// Returns true if the policy is one of those after the change and not of both.
    pub fn is_only_after(self, source: u32) -> bool {
        (self.before..self.before + self.after).contains(&source)
    }
}

/// Policies of all kinds.
#[derive(Debug, Clone, Copy, Default)]
pub struct PoliciesOfAllKinds<'a> {
    pub network: &'a [NetworkPolicy],
    pub other: &'a [OtherKindPolicy],
}

impl<'a> PoliciesOfAllKinds<'a> {
    /// Policies where those of other kinds are none, or part of the inventory.
    pub fn network(network: &'a [NetworkPolicy]) -> Self {
        PoliciesOfAllKinds {
            network,
            other: &[],
        }
    }

    fn iter(self) -> impl Iterator<Item = PolicyRef<'a>> {
        let network = self.network.iter().map(PolicyRef::from);
        network.chain(self.other.iter().map(PolicyRef::from))
    }
}

impl Comparison {
    /// Resolves `before` and `after` over the pods of `inventory`.
    ///
    /// # Errors
    /// A policy that the API server would refuse, named with the field.
    pub fn new(
        inventory: &Inventory,
        before: &[NetworkPolicy],
        after: &[NetworkPolicy],
        host_network: HostNetwork,
    ) -> Result<Self, EvaluateError> {
        let sets = [before, after].map(PoliciesOfAllKinds::network);
        Comparison::of_all_kinds(inventory, sets, host_network)
    }

    /// Resolves two sets of policies of all kinds, those before and those after the change.
    ///
    /// # Errors
    /// A NetworkPolicy that the API server would refuse, named with the field.
    pub fn of_all_kinds(
        inventory: &Inventory,
        [before, after]: [PoliciesOfAllKinds<'_>; 2],
        host_network: HostNetwork,
    ) -> Result<Self, EvaluateError> {
        let old = before.iter().map(|policy| (policy, ComparedSide::Before));
        let new = after.iter().map(|policy| (policy, ComparedSide::After));
        let mut evaluation = Evaluation::of_sides(inventory, old.chain(new), host_network)?;
        let sides = Sides {
            before: before.iter().count() as u32,
            after: after.iter().count() as u32,
        };
        let Evaluation {
            pod_classes,
            tiers,
            policies,
            names,
            ..
        } = &mut evaluation;
        let all = (&*tiers, policies.as_slice());
        let old = Tables::build(pod_classes, all, names, |one| sides.is_of_before(one));
        let new = Tables::build(pod_classes, all, names, |one| sides.is_of_after(one));
        Ok(Comparison {
            evaluation,
            old,
            new,
            sides,
        })
    }

    /// Returns the connections that one set allows and the other does not.
    ///
    /// A connection of a pair of workloads counts if any of their pods gained or lost it; replicas of one workload
    /// are a pair as well. Addresses are those of the families in use. Addresses with which one workload gained or
    /// lost the same connections are one end.
    pub fn difference(&self) -> Difference {
        let mut compared = Compared {
            comparison: self,
            opened: BTreeMap::new(),
            closed: BTreeMap::new(),
        };
        compared.pairs();
        let mut difference = Difference {
            opened: changes(std::mem::take(&mut compared.opened)),
            closed: changes(std::mem::take(&mut compared.closed)),
        };
        compared.addresses(Direction::Ingress, &mut difference);
        compared.addresses(Direction::Egress, &mut difference);
        difference.opened.sort();
        difference.closed.sort();
        difference
    }

    /// Returns true if what is allowed to a class in a direction changed.
    pub(super) fn differs(&self, class: ClassId, direction: Direction) -> bool {
        self.old.of(class, direction) != self.new.of(class, direction)
    }
}

/// Compares two sets of policies ([`Comparison::difference`]).
///
/// # Errors
/// A policy that the API server would refuse, named with the field.
pub fn difference(
    inventory: &Inventory,
    before: &[NetworkPolicy],
    after: &[NetworkPolicy],
    host_network: HostNetwork,
) -> Result<Difference, EvaluateError> {
    let comparison = Comparison::new(inventory, before, after, host_network)?;
    Ok(comparison.difference())
}

type Pairs<'a> = BTreeMap<(&'a WorkloadId, &'a WorkloadId), ConnectionSet>;

fn changes(pairs: Pairs) -> Vec<ConnectionChange> {
    let change =
        |((client, server), connections): ((&WorkloadId, &WorkloadId), _)| ConnectionChange {
            client: Span::Workload(client.clone()),
            server: Span::Workload(server.clone()),
            connections,
        };
    pairs.into_iter().map(change).collect()
}

struct Compared<'a> {
    comparison: &'a Comparison,
    opened: Pairs<'a>,
    closed: Pairs<'a>,
}

impl<'a> Compared<'a> {
    /// Compares pairs of classes. Most changes affect few classes, and a pair can differ only if one of its two
    /// tables does, so only such pairs are compared.
    fn pairs(&mut self) {
        let comparison = self.comparison;
        let all: Vec<ClassId> = comparison.evaluation.classes().map(|(id, _)| id).collect();
        let servers: Vec<ClassId> = all
            .iter()
            .copied()
            .filter(|id| comparison.differs(*id, Direction::Ingress))
            .collect();
        for client in &all {
            let servers = if comparison.differs(*client, Direction::Egress) {
                &all
            } else {
                &servers
            };
            for server in servers {
                self.pair(*client, *server);
            }
        }
    }

    fn pair(&mut self, client: ClassId, server: ClassId) {
        let Comparison {
            evaluation,
            old,
            new,
            ..
        } = self.comparison;
        let ends = (evaluation.class(client), evaluation.class(server));
        let hosts = ends.0.host_network || ends.1.host_network;
        // Equal sets have equal ids, so most pairs need no more than this comparison.
        if !hosts && pair(old, client, server) == pair(new, client, server) {
            return;
        }
        let was = evaluation.between_in(old, client, server);
        let is = evaluation.between_in(new, client, server);
        for (pairs, connections) in [
            (&mut self.opened, is.difference(&was)),
            (&mut self.closed, was.difference(&is)),
        ] {
            if !connections.is_empty() {
                let entry = pairs
                    .entry((&ends.0.workload, &ends.1.workload))
                    .or_default();
                *entry = entry.union(&connections);
            }
        }
    }

    /// Adds what the workloads gained and lost with addresses in one direction.
    fn addresses(&self, direction: Direction, difference: &mut Difference) {
        let comparison = self.comparison;
        let evaluation = &comparison.evaluation;
        let everywhere = evaluation.everywhere();
        let mut sums: BTreeMap<&WorkloadId, [AddressMap; 2]> = BTreeMap::new();
        for (id, class) in evaluation.classes() {
            if !comparison.differs(id, direction) {
                continue;
            }
            let map = |tables: &Tables| {
                let table = tables.of(id, direction);
                address_map(&evaluation.names, table, &everywhere)
            };
            let (was, is) = (map(&comparison.old), map(&comparison.new));
            if was == is {
                continue;
            }
            let sum = sums.entry(&class.workload).or_default();
            for (sum, change) in sum
                .iter_mut()
                .zip([is.difference(&was), was.difference(&is)])
            {
                for (addresses, connections) in change.iter() {
                    sum.add(addresses, connections);
                }
            }
        }
        for (workload, [opened, closed]) in sums {
            let lists = [&mut difference.opened, &mut difference.closed];
            for (list, map) in lists.into_iter().zip([opened, closed]) {
                list.extend(with_addresses(workload, direction, &map));
            }
        }
    }
}

fn with_addresses(
    workload: &WorkloadId,
    direction: Direction,
    map: &AddressMap,
) -> Vec<ConnectionChange> {
    let change = |(addresses, connections): (&AddressSet, &ConnectionSet)| {
        let (far, own) = (
            Span::Addresses(addresses.clone()),
            Span::Workload(workload.clone()),
        );
        let (client, server) = match direction {
            Direction::Ingress => (far, own),
            Direction::Egress => (own, far),
        };
        ConnectionChange {
            client,
            server,
            connections: connections.clone(),
        }
    };
    map.iter().map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    fn shop() -> Inventory {
        let mut inventory = Inventory::default();
        namespace(&mut inventory, "shop", "");
        pod(&mut inventory, "shop/web", "app=web");
        pod(&mut inventory, "shop/db", "app=db");
        inventory
    }

    fn compare(before: &[&str], after: &[&str]) -> (Vec<String>, Vec<String>) {
        let read = |specs: &[&str]| specs.iter().map(|spec| policy(spec)).collect::<Vec<_>>();
        let found = difference(&shop(), &read(before), &read(after), HostNetwork::Exact);
        let Difference { opened, closed } = found.unwrap();
        let text =
            |list: Vec<ConnectionChange>| list.iter().map(ConnectionChange::to_string).collect();
        (text(opened), text(closed))
    }

    const WEB_80: &str = "{podSelector: {matchLabels: {app: db}}, ingress: [
        {from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 80}]}]}";

    #[test]
    fn policies_with_the_same_meaning_and_another_text_do_not_differ() {
        let other = "{podSelector: {matchExpressions: [{key: app, operator: In, values: [db]}]},
            policyTypes: [Ingress], ingress: [
            {from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 80, endPort: 80}]}]}";
        assert_eq!(compare(&[WEB_80], &[other]), (vec![], vec![]));
    }

    #[test]
    fn an_added_rule_opens_and_a_removed_rule_closes_exactly_its_connections() {
        let wider = "{podSelector: {matchLabels: {app: db}}, ingress: [
            {from: [{podSelector: {}}], ports: [{port: 80, endPort: 81}]}]}";
        let gained = vec![
            "shop/db => shop/db : TCP 80-81".to_owned(),
            "shop/web => shop/db : TCP 81".to_owned(),
        ];
        assert_eq!(compare(&[WEB_80], &[wider]), (gained.clone(), vec![]));
        assert_eq!(compare(&[wider], &[WEB_80]), (vec![], gained));
    }

    #[test]
    fn the_first_policy_of_a_workload_closes_everything_else_including_addresses() {
        let (opened, closed) = compare(&[], &[WEB_80]);
        assert!(opened.is_empty());
        assert_eq!(
            closed[..2],
            [
                "shop/db => shop/db : All Connections",
                "shop/web => shop/db : SCTP 1-65535,TCP 1-79,81-65535,UDP 1-65535",
            ]
        );
        assert_eq!(closed.len(), 3, "{closed:?}");
        assert!(
            closed[2].ends_with("=> shop/db : All Connections"),
            "{closed:?}"
        );
    }
}
