//! The second half of the proof: what is allowed with managed workloads although no requirement needs it.

use super::{Excess, ExcessList, Managed, Names, Required, Span, Tables};
use crate::connection_set_pool::SetId;
use crate::evaluation::{address_map, pair};
use crate::pod_classes::PodClasses;
use crate::rules::Policy;
use crate::tables::{addresses_of_one, allowed_by_one};
use crate::{AddressMap, ClassId};
use nanoseg_inventory::WorkloadId;
use nanoseg_net::{AddressSet, ConnectionSet, Direction};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeSet;

/// Finds the excess. What both tables allow is excess of the generated policies; what only `all` allows is excess
/// of the existing ones.
pub struct ExcessSearch<'a> {
    pub pod_classes: &'a PodClasses,
    pub names: &'a mut Names,
    pub policies: &'a [Policy],
    /// The indices of the existing policies that select a class.
    pub existing_at: FxHashMap<ClassId, Vec<usize>>,
    /// Generated and existing policies.
    pub all: &'a Tables,
    /// Generated policies only; `None` if there are no others.
    pub alone: Option<&'a Tables>,
    pub required: &'a Required,
    pub managed: Managed<'a>,
    /// The indices of the workloads that are managed for ingress.
    pub is_managed_server: FxHashSet<u32>,
    /// The workloads by their index.
    pub ids: Vec<&'a WorkloadId>,
    /// Every address of the families in use.
    pub everywhere: AddressSet,
}

/// Excess of one workload with another.
struct PairExcess {
    generated: SetId,
    existing: SetId,
    policies: BTreeSet<usize>,
}

/// Excess of one workload with addresses.
#[derive(Default)]
struct AddressExcess {
    generated: AddressMap,
    existing: AddressMap,
}

impl<'a> ExcessSearch<'a> {
    /// Returns the excess of the generated and of the existing policies.
    pub fn run(mut self) -> (ExcessList, ExcessList) {
        let (mut generated, mut existing) = (ExcessList::default(), ExcessList::default());
        let managed = self.managed;
        for workload in managed.ingress.union(managed.egress) {
            for direction in [Direction::Ingress, Direction::Egress] {
                if managed.of(direction).contains(workload) {
                    self.workload(workload, direction, &mut generated, &mut existing);
                }
            }
        }
        generated.entries.sort_unstable();
        existing.entries.sort_unstable();
        (generated, existing)
    }

    fn workload(
        &mut self,
        workload: &WorkloadId,
        direction: Direction,
        generated: &mut ExcessList,
        existing: &mut ExcessList,
    ) {
        let pod_classes = self.pod_classes;
        let Some(classes) = pod_classes.workloads.get(workload) else {
            return;
        };
        let mut pairs: FxHashMap<u32, PairExcess> = FxHashMap::default();
        let mut outside = AddressExcess::default();
        let mut open = false;
        for class in classes
            .iter()
            .filter(|class| !pod_classes.classes[class.index()].host_network)
        {
            let table = self.all.of(*class, direction);
            if table.is_none_or(|table| !table.closed) {
                open = true;
                continue;
            }
            self.pairs(*class, direction, &mut pairs);
            self.addresses(*class, direction, &mut outside);
        }
        let own = || Span::Workload(workload.clone());
        if open {
            let all = ConnectionSet::all();
            generated.push_with(|| excess(direction, own(), Span::Anything, all));
        }
        let mut pairs: Vec<(u32, PairExcess)> = pairs.into_iter().collect();
        pairs.sort_unstable_by_key(|(peer, _)| *peer);
        for (peer, pair) in pairs {
            self.push_pair(direction, workload, peer, &pair, generated, existing);
        }
        let far = |addresses: &AddressSet| Span::Addresses(addresses.clone());
        for (addresses, connections) in outside.generated.iter() {
            generated.push_with(|| excess(direction, own(), far(addresses), connections.clone()));
        }
        for (addresses, connections) in outside.existing.iter() {
            existing.push_with(|| {
                let mut entry = excess(direction, own(), far(addresses), connections.clone());
                entry.policies = self.address_policies(classes, direction, addresses, connections);
                entry
            });
        }
    }

    fn push_pair(
        &self,
        direction: Direction,
        workload: &WorkloadId,
        peer: u32,
        pair: &PairExcess,
        generated: &mut ExcessList,
        existing: &mut ExcessList,
    ) {
        let entry = |set: SetId| {
            let peer = self.ids.get(peer as usize).map(|id| (*id).clone());
            let far = peer.map_or(Span::Anything, Span::Workload);
            let near = Span::Workload(workload.clone());
            excess(direction, near, far, self.names.pool.get(set).clone())
        };
        if pair.generated != SetId::NONE {
            generated.push_with(|| entry(pair.generated));
        }
        if pair.existing != SetId::NONE {
            existing.push_with(|| {
                let names = pair
                    .policies
                    .iter()
                    .filter_map(|index| self.policies.get(*index));
                let policies = names.map(|policy| policy.name.clone()).collect();
                Excess {
                    policies,
                    ..entry(pair.existing)
                }
            });
        }
    }

    /// Adds the excess of `class` with the pods of other classes. A pair whose server is managed is counted with
    /// the server only.
    fn pairs(
        &mut self,
        class: ClassId,
        direction: Direction,
        pairs: &mut FxHashMap<u32, PairExcess>,
    ) {
        let (pod_classes, all) = (self.pod_classes, self.all);
        let Some(table) = all.of(class, direction) else {
            return;
        };
        if table.every_pod == SetId::NONE {
            for (peer, _) in &table.pods {
                self.pair(class, direction, *peer, pairs);
            }
        } else {
            for peer in pod_classes.selectable_classes() {
                self.pair(class, direction, peer, pairs);
            }
        }
    }

    fn pair(
        &mut self,
        class: ClassId,
        direction: Direction,
        peer: ClassId,
        pairs: &mut FxHashMap<u32, PairExcess>,
    ) {
        let number = |class: ClassId| self.pod_classes.classes[class.index()].workload_number;
        let far = number(peer);
        if direction == Direction::Egress && self.is_managed_server.contains(&far) {
            return;
        }
        let (client, server) = ordered(direction, class, peer);
        let required = self.required.pair(number(client), number(server));
        let pool = &mut self.names.pool;
        let (egress, ingress) = pair(self.all, client, server);
        let allowed = pool.intersection(egress, ingress);
        let rest = pool.difference(allowed, required);
        if rest == SetId::NONE {
            return;
        }
        let generated = match self.alone {
            Some(alone) => {
                let (egress, ingress) = pair(alone, client, server);
                let alone = pool.intersection(egress, ingress);
                pool.intersection(rest, alone)
            }
            None => rest,
        };
        let existing = pool.difference(rest, generated);
        let entry = pairs.entry(far).or_insert_with(|| PairExcess {
            generated: SetId::NONE,
            existing: SetId::NONE,
            policies: BTreeSet::new(),
        });
        entry.generated = pool.union(entry.generated, generated);
        entry.existing = pool.union(entry.existing, existing);
        if existing != SetId::NONE {
            let policies = self.pair_policies(client, server, existing);
            pairs
                .entry(far)
                .and_modify(|entry| entry.policies.extend(policies));
        }
    }

    /// Returns the existing policies, at either end, that allow some of `connections`.
    fn pair_policies(
        &mut self,
        client: ClassId,
        server: ClassId,
        connections: SetId,
    ) -> Vec<usize> {
        let ends = [
            (Direction::Egress, client, server),
            (Direction::Ingress, server, client),
        ];
        let mut found = Vec::new();
        for (direction, own, peer) in ends {
            for index in self.existing_at.get(&own).into_iter().flatten() {
                let policy = &self.policies[*index];
                let allowed =
                    allowed_by_one(policy, direction, own, peer, self.pod_classes, self.names);
                if self.names.pool.intersection(allowed, connections) != SetId::NONE {
                    found.push(*index);
                }
            }
        }
        found
    }

    /// Adds the excess of `class` with addresses.
    fn addresses(&mut self, class: ClassId, direction: Direction, outside: &mut AddressExcess) {
        let workload = self.pod_classes.classes[class.index()].workload_number;
        let required = self.required.addresses(workload, direction);
        let everywhere = &self.everywhere;
        let all = address_map(self.names, self.all.of(class, direction), everywhere);
        let rest = all.difference(required);
        if rest.is_empty() {
            return;
        }
        let generated = match self.alone {
            Some(alone) => {
                let alone = address_map(self.names, alone.of(class, direction), everywhere);
                rest.intersection(&alone)
            }
            None => rest.clone(),
        };
        let existing = rest.difference(&generated);
        existing
            .iter()
            .for_each(|(set, connections)| outside.existing.add(set, connections));
        generated
            .iter()
            .for_each(|(set, connections)| outside.generated.add(set, connections));
    }

    fn address_policies(
        &self,
        classes: &[ClassId],
        direction: Direction,
        addresses: &AddressSet,
        connections: &ConnectionSet,
    ) -> Vec<String> {
        let mut wanted = AddressMap::default();
        wanted.add(addresses, connections);
        let mut found = BTreeSet::new();
        for class in classes {
            for index in self.existing_at.get(class).into_iter().flatten() {
                let policy = &self.policies[*index];
                let everywhere = &self.everywhere;
                let allowed = addresses_of_one(
                    policy,
                    direction,
                    *class,
                    everywhere,
                    self.pod_classes,
                    self.names,
                );
                if !allowed.intersection(&wanted).is_empty() {
                    found.insert(*index);
                }
            }
        }
        found
            .into_iter()
            .map(|index| self.policies[index].name.clone())
            .collect()
    }
}

/// Returns (client, server) for the near and the far end of a direction.
fn ordered<T>(direction: Direction, near: T, far: T) -> (T, T) {
    match direction {
        Direction::Ingress => (far, near),
        Direction::Egress => (near, far),
    }
}

pub(super) fn excess(
    direction: Direction,
    near: Span,
    far: Span,
    connections: ConnectionSet,
) -> Excess {
    let (client, server) = ordered(direction, near, far);
    Excess {
        client,
        server,
        connections,
        policies: Vec::new(),
    }
}
