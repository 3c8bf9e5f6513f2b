//! What is allowed with managed workloads that no requirement asks for.

use super::{Excess, ExcessList, Names, Required, Span, Tables};
use crate::evaluate::evaluation::{address_map, pair};
use crate::evaluate::pool::SetId;
use crate::evaluate::rules::Policy;
use crate::evaluate::tables::{addresses_of_one, allowed_by_one};
use crate::evaluate::world::World;
use crate::evaluate::{AddressMap, ClassId, Direction};
use crate::inventory::WorkloadId;
use crate::net::{AddressSet, ConnectionSet};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that the judgement needs. Whatever both tables allow is the generated policies' doing;
/// what only `all` allows is that of the existing ones.
pub struct Judge<'a> {
    pub world: &'a World,
    pub names: &'a mut Names,
    pub policies: &'a [Policy],
    /// Index of the first policy that was there before.
    pub existing_from: usize,
    /// Generated and existing policies.
    pub all: &'a Tables,
    /// Generated policies only; `None` if there are no others.
    pub alone: Option<&'a Tables>,
    pub required: &'a Required<'a>,
    pub managed: &'a BTreeSet<WorkloadId>,
    /// Every address of the families in use.
    pub everywhere: AddressSet,
}

/// Excess of one workload with another.
#[derive(Default)]
struct Pair {
    generated: ConnectionSet,
    existing: ConnectionSet,
    policies: BTreeSet<usize>,
}

/// Excess of one workload with addresses.
#[derive(Default)]
struct Outside {
    generated: AddressMap,
    existing: AddressMap,
}

impl<'a> Judge<'a> {
    /// The excess of the generated and of the existing policies.
    pub fn judge(mut self) -> (ExcessList, ExcessList) {
        let (mut generated, mut existing) = (ExcessList::default(), ExcessList::default());
        let managed = self.managed;
        for workload in managed {
            for direction in [Direction::Ingress, Direction::Egress] {
                self.workload(workload, direction, &mut generated, &mut existing);
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
        let world = self.world;
        let Some(classes) = world.workloads.get(workload) else {
            return;
        };
        let mut pairs: BTreeMap<&WorkloadId, Pair> = BTreeMap::new();
        let mut outside = Outside::default();
        let mut open = false;
        for class in classes
            .iter()
            .filter(|class| !world.classes[class.index()].host_network)
        {
            if self.all.of(*class, direction).is_none() {
                open = true;
                continue;
            }
            self.pairs(*class, direction, &mut pairs);
            self.addresses(*class, direction, &mut outside);
        }
        if open {
            let (own, any) = (Span::Workload(workload.clone()), Span::Anything);
            generated.push(excess(direction, own, any, ConnectionSet::all()));
        }
        for (peer, pair) in pairs {
            let (own, peer) = (
                Span::Workload(workload.clone()),
                Span::Workload(peer.clone()),
            );
            if !pair.generated.is_empty() {
                generated.push(excess(direction, own.clone(), peer.clone(), pair.generated));
            }
            if !pair.existing.is_empty() {
                let mut entry = excess(direction, own, peer, pair.existing);
                let names = pair
                    .policies
                    .iter()
                    .filter_map(|index| self.policies.get(*index));
                entry.policies = names.map(|policy| policy.name.clone()).collect();
                existing.push(entry);
            }
        }
        let own = Span::Workload(workload.clone());
        for (addresses, connections) in outside.generated.iter() {
            let far = Span::Addresses(addresses.clone());
            generated.push(excess(direction, own.clone(), far, connections.clone()));
        }
        for (addresses, connections) in outside.existing.iter() {
            let far = Span::Addresses(addresses.clone());
            let mut entry = excess(direction, own.clone(), far, connections.clone());
            entry.policies = self.address_policies(classes, direction, addresses, connections);
            existing.push(entry);
        }
    }

    /// Adds the excess of `class` with the pods of other classes. A pair of two managed workloads
    /// is counted at the server.
    fn pairs(
        &mut self,
        class: ClassId,
        direction: Direction,
        pairs: &mut BTreeMap<&'a WorkloadId, Pair>,
    ) {
        let (world, all) = (self.world, self.all);
        let Some(table) = all.of(class, direction) else {
            return;
        };
        if table.every_pod == SetId::NONE {
            for (peer, _) in &table.pods {
                self.pair(class, direction, *peer, pairs);
            }
        } else {
            for peer in world.selectable_classes() {
                self.pair(class, direction, peer, pairs);
            }
        }
    }

    fn pair(
        &mut self,
        class: ClassId,
        direction: Direction,
        peer: ClassId,
        pairs: &mut BTreeMap<&'a WorkloadId, Pair>,
    ) {
        let world = self.world;
        let far = &world.classes[peer.index()].workload;
        if direction == Direction::Egress && self.managed.contains(far) {
            return;
        }
        let near = &world.classes[class.index()].workload;
        let (client, server) = ordered(direction, class, peer);
        let (client_id, server_id) = ordered(direction, near, far);
        let mut rest = pair(self.names, self.all, client, server);
        if let Some(required) = self.required.pair(client_id, server_id) {
            rest = rest.difference(required);
        }
        if rest.is_empty() {
            return;
        }
        let generated = match self.alone {
            Some(alone) => rest.intersection(&pair(self.names, alone, client, server)),
            None => rest.clone(),
        };
        let existing = rest.difference(&generated);
        let entry = pairs.entry(far).or_default();
        entry.generated = entry.generated.union(&generated);
        if !existing.is_empty() {
            entry.existing = entry.existing.union(&existing);
            entry
                .policies
                .extend(self.pair_policies(client, server, &existing));
        }
    }

    /// The existing policies, at either end, that allow some of `connections`.
    fn pair_policies(
        &mut self,
        client: ClassId,
        server: ClassId,
        connections: &ConnectionSet,
    ) -> Vec<usize> {
        let ends = [
            (Direction::Egress, client, server),
            (Direction::Ingress, server, client),
        ];
        let mut found = Vec::new();
        for (index, policy) in self.policies.iter().enumerate().skip(self.existing_from) {
            for (direction, own, peer) in ends {
                if policy.selected.binary_search(&own).is_err() {
                    continue;
                }
                let allowed = allowed_by_one(policy, direction, own, peer, self.world, self.names);
                if !allowed.intersection(connections).is_empty() {
                    found.push(index);
                }
            }
        }
        found
    }

    /// Adds the excess of `class` with addresses.
    fn addresses(&mut self, class: ClassId, direction: Direction, outside: &mut Outside) {
        let workload = &self.world.classes[class.index()].workload;
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
        &mut self,
        classes: &[ClassId],
        direction: Direction,
        addresses: &AddressSet,
        connections: &ConnectionSet,
    ) -> Vec<String> {
        let mut asked = AddressMap::default();
        asked.add(addresses, connections);
        let mut found = Vec::new();
        for policy in self.policies.iter().skip(self.existing_from) {
            let selects = |class: &&ClassId| policy.selected.binary_search(class).is_ok();
            let allows = classes.iter().filter(selects).any(|class| {
                let everywhere = &self.everywhere;
                let allowed = addresses_of_one(
                    policy, direction, *class, everywhere, self.world, self.names,
                );
                !allowed.intersection(&asked).is_empty()
            });
            if allows {
                found.push(policy.name.clone());
            }
        }
        found
    }
}

/// (client, server) of the near and the far end of a direction.
fn ordered<T>(direction: Direction, near: T, far: T) -> (T, T) {
    match direction {
        Direction::Ingress => (far, near),
        Direction::Egress => (near, far),
    }
}

fn excess(direction: Direction, near: Span, far: Span, connections: ConnectionSet) -> Excess {
    let (client, server) = ordered(direction, near, far);
    Excess {
        client,
        server,
        connections,
        policies: Vec::new(),
    }
}
