//! What is allowed to each class. All classes that the same policies select share one table.

use super::address_map::AddressMap;
use super::connection_set_pool::SetId;
use super::pod_classes::{ClassId, PodClasses};
use super::rule_terms::Action;
use super::rules::{Names, PodsId, Policy, PortsId, Rule};
use super::staged_table::staged_table;
use super::stages::Tiers;
use super::table::Table;
use nanoseg_net::{AddressSet, Direction};
use rustc_hash::FxHashMap;
use std::rc::Rc;

/// The tables of all classes for one selection of policies. No policy selects a class without a table.
#[derive(Debug)]
pub(super) struct Tables {
    tables: Vec<Table>,
    ingress: Vec<Option<u32>>,
    egress: Vec<Option<u32>>,
}

impl Tables {
    /// Returns the table of a class, or `None` if no policy selects it in that direction.
    pub fn of(&self, class: ClassId, direction: Direction) -> Option<&Table> {
        let tables = match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        };
        tables[class.index()].and_then(|index| self.tables.get(index as usize))
    }

    /// Builds the tables from the rules of the policies that `chosen` accepts by their [`Policy::source`].
    pub fn build(
        pod_classes: &PodClasses,
        (tiers, policies): (&Tiers, &[Policy]),
        names: &mut Names,
        chosen: impl Fn(u32) -> bool,
    ) -> Tables {
        let classes = pod_classes.classes.len();
        let mut builder = Builder {
            pod_classes,
            tiers,
            policies,
            names,
            scratch: vec![SetId::NONE; classes],
            touched: Vec::new(),
            expansions: FxHashMap::default(),
            tables: Vec::new(),
        };
        let ingress = builder.direction(Direction::Ingress, &chosen);
        let egress = builder.direction(Direction::Egress, &chosen);
        Tables {
            tables: builder.tables,
            ingress,
            egress,
        }
    }
}

/// Classes and what is allowed with each.
type Expansion = Rc<[(ClassId, SetId)]>;

/// What a table depends on: the policies, and of the class its named ports and its node where a rule asks for them.
type TableKey<'a> = (Vec<u32>, Option<u32>, Option<&'a str>);

struct Builder<'a> {
    pod_classes: &'a PodClasses,
    tiers: &'a Tiers,
    policies: &'a [Policy],
    names: &'a mut Names,
    /// What the table under construction allows with each class, in addition to `every_pod`.
    scratch: Vec<SetId>,
    /// The classes that have a scratch entry, each once.
    touched: Vec<ClassId>,
    /// The connections of an egress rule with named ports, for each class that it matches; `None`: for all.
    expansions: FxHashMap<(Option<PodsId>, PortsId), Expansion>,
    tables: Vec<Table>,
}

impl Builder<'_> {
    fn direction(
        &mut self,
        direction: Direction,
        chosen: &impl Fn(u32) -> bool,
    ) -> Vec<Option<u32>> {
        let mut selecting: Vec<Vec<u32>> = vec![Vec::new(); self.pod_classes.classes.len()];
        for (index, policy) in self.policies.iter().enumerate() {
            if chosen(policy.source) && policy.rules(direction).is_some() {
                for class in &policy.selected {
                    selecting[class.index()].push(index as u32);
                }
            }
        }
        let mut known: FxHashMap<TableKey<'_>, u32> = FxHashMap::default();
        let mut tables = Vec::with_capacity(selecting.len());
        let pod_classes = self.pod_classes;
        for (index, policies) in selecting.into_iter().enumerate() {
            if policies.is_empty() {
                tables.push(None);
                continue;
            }
            let class = ClassId(index as u32);
            let named = |policy: &u32| self.policies[*policy as usize].named_ingress;
            let own_ports = direction == Direction::Ingress && policies.iter().any(named);
            let near = |policy: &u32| self.policies[*policy as usize].near_nodes;
            let own_node = pod_classes.classes[index].node.as_deref();
            let own_node = own_node.filter(|_| policies.iter().any(near));
            let key = (
                policies,
                own_ports.then_some(pod_classes.classes[index].ports),
                own_node,
            );
            let table = match known.get(&key) {
                Some(table) => *table,
                None => {
                    let table = self.table(class, direction, &key.0);
                    self.tables.push(table);
                    let table = (self.tables.len() - 1) as u32;
                    known.insert(key, table);
                    table
                }
            };
            tables.push(Some(table));
        }
        tables
    }

    fn table(&mut self, class: ClassId, direction: Direction, policies: &[u32]) -> Table {
        let all = self.policies;
        let chosen = policies.iter().map(|index| &all[*index as usize]);
        if !self.tiers.add_up(chosen.clone(), direction) {
            let mut chosen: Vec<&Policy> = chosen.collect();
            chosen.sort_by_key(|policy| policy.place);
            let end = (class, direction);
            return staged_table(end, &chosen, self.tiers, self.pod_classes, self.names);
        }
        let mut table = Table {
            closed: true,
            everyone: SetId::NONE,
            every_pod: SetId::NONE,
            pods: Vec::new(),
            addresses: AddressMap::default(),
        };
        let mut blocks: FxHashMap<SetId, Vec<&AddressSet>> = FxHashMap::default();
        for policy in policies.iter().map(|index| &all[*index as usize]) {
            for rule in policy.rules(direction).unwrap_or_default() {
                let towards_addresses = match direction {
                    Direction::Ingress => {
                        let set = self.names.resolve(rule.ports, class, self.pod_classes);
                        self.add_rule(rule, set, &mut table);
                        set
                    }
                    Direction::Egress => {
                        let set = self.names.ports(rule.ports).fixed;
                        self.add_rule(rule, set, &mut table);
                        self.add_named(rule);
                        set
                    }
                };
                blocks
                    .entry(towards_addresses)
                    .or_default()
                    .extend(&rule.addresses);
            }
        }
        for (set, blocks) in blocks {
            table
                .addresses
                .add(&AddressSet::union_all(blocks), self.names.pool.get(set));
        }
        self.collect(&mut table);
        table
    }

    /// Adds a rule whose ports resolve to `set` for every peer that it matches.
    fn add_rule(&mut self, rule: &Rule, set: SetId, table: &mut Table) {
        if rule.everyone {
            table.everyone = self.names.pool.union(table.everyone, set);
        }
        if set == SetId::NONE {
            return;
        }
        for pods in &rule.pods {
            if self.names.pods(*pods).len() == self.pod_classes.selectable {
                table.every_pod = self.names.pool.union(table.every_pod, set);
                continue;
            }
            for index in 0..self.names.pods(*pods).len() {
                let peer = self.names.pods(*pods)[index];
                self.add(peer, set);
            }
        }
    }

    /// Adds what the named ports of an egress rule resolve to in each pod that the rule matches.
    fn add_named(&mut self, rule: &Rule) {
        if self.names.ports(rule.ports).named.is_empty() {
            return;
        }
        let everyone = rule.everyone.then_some(None);
        for pods in rule.pods.iter().map(|pods| Some(*pods)).chain(everyone) {
            for (peer, set) in self.expansion(pods, rule.ports).iter() {
                self.add(*peer, *set);
            }
        }
    }

    fn expansion(&mut self, pods: Option<PodsId>, ports: PortsId) -> Expansion {
        if let Some(known) = self.expansions.get(&(pods, ports)) {
            return known.clone();
        }
        let peers: Vec<ClassId> = match pods {
            Some(pods) => self.names.pods(pods).to_vec(),
            None => self.pod_classes.selectable_classes().collect(),
        };
        let fixed = self.names.ports(ports).fixed;
        let resolved = peers.into_iter().filter_map(|peer| {
            let set = self.names.resolve(ports, peer, self.pod_classes);
            (set != fixed && set != SetId::NONE).then_some((peer, set))
        });
        let resolved: Expansion = resolved.collect();
        self.expansions.insert((pods, ports), resolved.clone());
        resolved
    }

    fn add(&mut self, peer: ClassId, set: SetId) {
        let slot = &mut self.scratch[peer.index()];
        if *slot == SetId::NONE {
            self.touched.push(peer);
        }
        *slot = self.names.pool.union(*slot, set);
    }

    /// Moves the scratch entries into the table.
    fn collect(&mut self, table: &mut Table) {
        table.every_pod = self.names.pool.union(table.every_pod, table.everyone);
        self.touched.sort_unstable();
        table.pods.reserve_exact(self.touched.len());
        for peer in self.touched.drain(..) {
            let own = std::mem::replace(&mut self.scratch[peer.index()], SetId::NONE);
            let set = self.names.pool.union(own, table.every_pod);
            if set != table.every_pod {
                table.pods.push((peer, set));
            }
        }
    }
}

/// The rules of a policy that allow.
fn allowing(policy: &Policy, direction: Direction) -> impl Iterator<Item = &Rule> {
    let rules = policy.rules(direction).unwrap_or_default().iter();
    rules.filter(|rule| rule.action == Action::Allow)
}

/// Returns what one policy alone allows `class` in `direction` with `peer`.
pub(super) fn allowed_by_one(
    policy: &Policy,
    direction: Direction,
    class: ClassId,
    peer: ClassId,
    pod_classes: &PodClasses,
    names: &mut Names,
) -> SetId {
    let server = if direction == Direction::Ingress {
        class
    } else {
        peer
    };
    let mut sum = SetId::NONE;
    for rule in allowing(policy, direction) {
        let with = |pods: &PodsId| names.pods(*pods).binary_search(&peer).is_ok();
        if rule.everyone || rule.pods.iter().any(with) {
            let set = names.resolve(rule.ports, server, pod_classes);
            sum = names.pool.union(sum, set);
        }
    }
    sum
}

/// Returns what one policy alone allows `class` in `direction` with addresses.
pub(super) fn addresses_of_one(
    policy: &Policy,
    direction: Direction,
    class: ClassId,
    everywhere: &AddressSet,
    pod_classes: &PodClasses,
    names: &Names,
) -> AddressMap {
    let mut map = AddressMap::default();
    for rule in allowing(policy, direction) {
        let mut set = names.pool.get(names.ports(rule.ports).fixed).clone();
        if direction == Direction::Ingress {
            set = set.union(&names.named(rule.ports, class, pod_classes));
        }
        let addresses = if rule.everyone {
            everywhere.clone()
        } else {
            let near = pod_classes.near_addresses(class, rule.nodes);
            AddressSet::union_all(rule.addresses.iter().chain([&near]))
        };
        map.add(&addresses, &set);
    }
    map
}
