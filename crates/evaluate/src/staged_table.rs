//! The table of classes that policies of several stages select: what is allowed with each other end is decided stage by
//! stage.

use super::address_map::AddressMap;
use super::connection_set_pool::SetId;
use super::pod_classes::{ClassId, PodClasses};
use super::rules::{Names, Policy, Rule};
use super::stages::{Fold, Tiers};
use super::table::Table;
use nanoseg_net::{AddressSet, Direction};
use std::collections::{BTreeMap, BTreeSet};

/// Builds the table of `class` from the policies that select it in `direction`, in the order in which they are asked.
pub(super) fn staged_table(
    (class, direction): (ClassId, Direction),
    policies: &[&Policy],
    tiers: &Tiers,
    pod_classes: &PodClasses,
    names: &mut Names,
) -> Table {
    let mut builder = StagedTable {
        class,
        direction,
        policies,
        tiers,
        pod_classes,
        names,
    };
    let every_pod = builder.fold(&Other::SomePod);
    let mut pods = Vec::new();
    for peer in builder.named_classes() {
        let set = builder.fold(&Other::Class(peer));
        if set != every_pod {
            pods.push((peer, set));
        }
    }
    Table {
        closed: builder.is_closed(),
        everyone: SetId::NONE,
        every_pod,
        pods,
        addresses: builder.addresses(),
    }
}

/// The other end.
enum Other {
    /// A pod that no rule names.
    SomePod,
    Class(ClassId),
}

struct StagedTable<'a> {
    class: ClassId,
    direction: Direction,
    policies: &'a [&'a Policy],
    tiers: &'a Tiers,
    pod_classes: &'a PodClasses,
    names: &'a mut Names,
}

impl StagedTable<'_> {
    /// The classes for which something else may be allowed than for a pod that no rule names.
    fn named_classes(&self) -> BTreeSet<ClassId> {
        let mut found = BTreeSet::new();
        for rule in self.rules() {
            // A named port is another one in every pod.
            if self.direction == Direction::Egress && !self.names.ports(rule.ports).named.is_empty()
            {
                return self.pod_classes.selectable_classes().collect();
            }
            for pods in &rule.pods {
                let pods = self.names.pods(*pods);
                if pods.len() != self.pod_classes.selectable {
                    found.extend(pods);
                }
            }
        }
        found
    }

    fn rules(&self) -> impl Iterator<Item = &Rule> {
        let direction = self.direction;
        let policies = self.policies.iter();
        policies.flat_map(move |policy| policy.rules(direction).unwrap_or_default())
    }

    fn matches(&self, rule: &Rule, other: &Other) -> bool {
        let all = self.pod_classes.selectable;
        rule.everyone
            || rule.pods.iter().any(|pods| {
                let pods = self.names.pods(*pods);
                match other {
                    Other::SomePod => pods.len() == all,
                    Other::Class(peer) => pods.binary_search(peer).is_ok(),
                }
            })
    }

    /// What a rule's ports are towards another end; `None` for an address or a pod that no rule names.
    fn ports(&mut self, rule: &Rule, peer: Option<ClassId>) -> SetId {
        let server = match self.direction {
            Direction::Ingress => Some(self.class),
            Direction::Egress => peer,
        };
        match server {
            Some(server) => self.names.resolve(rule.ports, server, self.pod_classes),
            None => self.names.ports(rule.ports).fixed,
        }
    }

    /// Returns true if what no rule matches is denied.
    fn is_closed(&mut self) -> bool {
        let mut fold = Fold::default();
        let policies = self.policies;
        for stage in policies.chunk_by(|a, b| a.place.tier == b.place.tier) {
            let Some(first) = stage.first() else { continue };
            let kind = self.tiers.kind(first.place.tier);
            let closes = stage.iter().any(|policy| policy.closes(self.direction));
            fold.end(kind, closes, &mut self.names.pool);
        }
        fold.finish(&mut self.names.pool) == SetId::NONE
    }

    /// Goes through the stages for one other end.
    fn fold(&mut self, other: &Other) -> SetId {
        let mut fold = Fold::default();
        let policies = self.policies;
        for stage in policies.chunk_by(|a, b| a.place.tier == b.place.tier) {
            let Some(first) = stage.first() else { continue };
            let kind = self.tiers.kind(first.place.tier);
            for policy in stage {
                for rule in policy.rules(self.direction).unwrap_or_default() {
                    if self.matches(rule, other) {
                        let peer = match other {
                            Other::SomePod => None,
                            Other::Class(peer) => Some(*peer),
                        };
                        let set = self.ports(rule, peer);
                        fold.rule(kind, rule.action, set, &mut self.names.pool);
                    }
                }
            }
            let closes = stage.iter().any(|policy| policy.closes(self.direction));
            fold.end(kind, closes, &mut self.names.pool);
        }
        fold.finish(&mut self.names.pool)
    }

    /// Goes through the stages for all addresses at once: those for which the same was decided so far stay together.
    fn addresses(&mut self) -> AddressMap {
        let mut parts = BTreeMap::from([(Fold::default(), self.families())]);
        let policies = self.policies;
        for stage in policies.chunk_by(|a, b| a.place.tier == b.place.tier) {
            let Some(first) = stage.first() else { continue };
            let kind = self.tiers.kind(first.place.tier);
            for policy in stage {
                for rule in policy.rules(self.direction).unwrap_or_default() {
                    let set = self.ports(rule, None);
                    let matched = (!rule.everyone).then(|| self.matched(rule));
                    if set == SetId::NONE || matched.as_ref().is_some_and(AddressSet::is_empty) {
                        continue;
                    }
                    let mut next = BTreeMap::new();
                    for (fold, addresses) in parts {
                        let hit = match &matched {
                            None => addresses.clone(),
                            Some(matched) => addresses.intersection(matched),
                        };
                        let mut decided = fold;
                        decided.rule(kind, rule.action, set, &mut self.names.pool);
                        add(&mut next, fold, addresses.difference(&hit));
                        add(&mut next, decided, hit);
                    }
                    parts = next;
                }
            }
            let closes = stage.iter().any(|policy| policy.closes(self.direction));
            let mut next = BTreeMap::new();
            for (mut fold, addresses) in parts {
                fold.end(kind, closes, &mut self.names.pool);
                add(&mut next, fold, addresses);
            }
            parts = next;
        }
        let mut map = AddressMap::default();
        for (fold, addresses) in parts {
            let set = fold.finish(&mut self.names.pool);
            map.add(&addresses, self.names.pool.get(set));
        }
        map
    }

    /// Every address of the families that are in use or that some rule names.
    fn families(&self) -> AddressSet {
        let mut all = self.pod_classes.everywhere();
        for family in [AddressSet::all_v4(), AddressSet::all_v6()] {
            let mut blocks = self.rules().flat_map(|rule| &rule.addresses);
            if blocks.any(|block| !block.intersection(&family).is_empty()) {
                all = all.union(&family);
            }
        }
        all
    }

    /// The addresses that a rule matches.
    fn matched(&self, rule: &Rule) -> AddressSet {
        let near = self.pod_classes.near_addresses(self.class, rule.nodes);
        AddressSet::union_all(rule.addresses.iter().chain([&near]))
    }
}

fn add(parts: &mut BTreeMap<Fold, AddressSet>, fold: Fold, addresses: AddressSet) {
    if addresses.is_empty() {
        return;
    }
    let part = parts.entry(fold).or_default();
    *part = part.union(&addresses);
}
