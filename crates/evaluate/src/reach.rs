//! The blast radius: the workloads that an attacker in one workload reaches, hop by hop, over connections that
//! the policies allow.

mod closure;

use super::ClassId;
use super::connection_set_pool::SetId;
use super::evaluation::{Evaluation, pair};
use fixedbitset::FixedBitSet;
use nanoseg_inventory::WorkloadId;
use nanoseg_net::Direction;
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The number of other workloads that an attacker in one workload reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlastRadius {
    /// Within one, two and three hops; each number includes those of fewer hops.
    pub hops: [usize; 3],
    /// Over any number of hops.
    pub all: usize,
}

/// The reachability of workloads: which workload may open a connection, on any port, to which.
///
/// A pair counts if some connection between any of their pods is allowed. A workload that uses the host network is
/// represented by the addresses of its nodes, as policies match it. Paths over a node itself, or over
/// addresses outside of the cluster, do not count.
#[derive(Debug)]
pub struct Reach {
    ids: Vec<WorkloadId>,
    /// The servers of each client.
    rows: Vec<FixedBitSet>,
    /// The number of workloads that each reaches over any number of hops.
    all: Vec<usize>,
}

impl Reach {
    /// Computes the reachability of all workloads. Needs one bit of memory per pair of workloads.
    pub fn of(evaluation: &Evaluation) -> Reach {
        let ids: Vec<WorkloadId> = evaluation.pod_classes.workloads.keys().cloned().collect();
        let mut numbers = vec![0; evaluation.pod_classes.classes.len()];
        for (number, classes) in evaluation.pod_classes.workloads.values().enumerate() {
            for class in classes {
                numbers[class.index()] = number;
            }
        }
        let mut rows = vec![FixedBitSet::with_capacity(ids.len()); ids.len()];
        let mut talk = Talk {
            evaluation,
            known: FxHashMap::default(),
        };
        let all: Vec<ClassId> = evaluation.classes().map(|(id, _)| id).collect();
        let hosts: Vec<ClassId> = all
            .iter()
            .copied()
            .filter(|id| evaluation.class(*id).host_network)
            .collect();
        for client in &all {
            let row = &mut rows[numbers[client.index()]];
            let mut visit = |server: ClassId| {
                let number = numbers[server.index()];
                if !row.contains(number) && talk.may(*client, server) {
                    row.insert(number);
                }
            };
            match evaluation.tables.of(*client, Direction::Egress) {
                Some(table) if table.every_pod == SetId::NONE => {
                    let named = table.pods.iter().map(|(server, _)| *server);
                    named.chain(hosts.iter().copied()).for_each(&mut visit);
                }
                _ => all.iter().copied().for_each(&mut visit),
            }
        }
        // The attacker is in this workload already.
        for (number, row) in rows.iter_mut().enumerate() {
            row.set(number, false);
        }
        let all = closure::reached(&rows);
        Reach { ids, rows, all }
    }

    /// Returns the workloads, sorted.
    pub fn workloads(&self) -> &[WorkloadId] {
        &self.ids
    }

    /// Returns the workloads to which `from` may open connections.
    pub fn servers(&self, from: &WorkloadId) -> impl Iterator<Item = &WorkloadId> {
        let row = self.ids.binary_search(from).ok().map(|at| &self.rows[at]);
        row.into_iter()
            .flat_map(|row| row.ones().map(|at| &self.ids[at]))
    }

    /// Returns the blast radius of one workload; zero for an unknown workload.
    pub fn radius(&self, from: &WorkloadId) -> BlastRadius {
        match self.ids.binary_search(from) {
            Ok(at) => self.radius_at(at),
            Err(_) => BlastRadius::default(),
        }
    }

    fn radius_at(&self, from: usize) -> BlastRadius {
        let mut walk = Walk::start(self, [from]);
        let mut radius = BlastRadius {
            all: self.all[from],
            ..BlastRadius::default()
        };
        for hop in &mut radius.hops {
            if walk.reached() < radius.all {
                walk.hop();
            }
            *hop = walk.reached();
        }
        radius
    }

    /// Returns the blast radius of every workload, in the order of [`Reach::workloads`].
    pub fn radii(&self) -> Vec<(&WorkloadId, BlastRadius)> {
        let each = self.ids.iter().enumerate();
        each.map(|(at, id)| (id, self.radius_at(at))).collect()
    }

    /// Returns the distance of each workload from the nearest of `from`, in hops; 0 for those themselves. Workloads
    /// that cannot be reached are left out.
    pub fn distances<'a>(
        &self,
        from: impl IntoIterator<Item = &'a WorkloadId>,
    ) -> BTreeMap<WorkloadId, usize> {
        let starts: BTreeSet<usize> = from
            .into_iter()
            .filter_map(|id| self.ids.binary_search(id).ok())
            .collect();
        let mut walk = Walk::start(self, starts);
        let mut found = BTreeMap::new();
        let mut hops = 0;
        loop {
            let frontier = walk.frontier.iter();
            found.extend(frontier.map(|at| (self.ids[*at].clone(), hops)));
            hops += 1;
            if !walk.hop() {
                return found;
            }
        }
    }
}

/// Decides whether any connection between two classes is allowed, and caches the result by the two sets of
/// connections that it depends on.
struct Talk<'a> {
    evaluation: &'a Evaluation,
    known: FxHashMap<(SetId, SetId), bool>,
}

impl Talk<'_> {
    fn may(&mut self, client: ClassId, server: ClassId) -> bool {
        let evaluation = self.evaluation;
        if evaluation.class(client).host_network || evaluation.class(server).host_network {
            return !evaluation.between(client, server).is_empty();
        }
        match pair(&evaluation.tables, client, server) {
            (SetId::NONE, _) | (_, SetId::NONE) => false,
            (SetId::ALL, _) | (_, SetId::ALL) => true,
            (egress, ingress) => *self.known.entry((egress, ingress)).or_insert_with(|| {
                let pool = &evaluation.names.pool;
                let both = pool.get(egress).intersection(pool.get(ingress));
                !both.is_empty()
            }),
        }
    }
}

/// A breadth-first search, hop by hop.
struct Walk<'a> {
    reach: &'a Reach,
    seen: FixedBitSet,
    /// The workloads that the last hop added.
    frontier: Vec<usize>,
    starts: usize,
    count: usize,
}

impl<'a> Walk<'a> {
    fn start(reach: &'a Reach, starts: impl IntoIterator<Item = usize>) -> Self {
        let mut seen = FixedBitSet::with_capacity(reach.ids.len());
        let frontier: Vec<usize> = starts.into_iter().collect();
        frontier.iter().for_each(|at| seen.insert(*at));
        Walk {
            reach,
            seen,
            starts: frontier.len(),
            count: frontier.len(),
            frontier,
        }
    }

    /// Goes one hop further. Returns true if this reached a new workload.
    fn hop(&mut self) -> bool {
        let mut next = self.seen.clone();
        for at in &self.frontier {
            next.union_with(&self.reach.rows[*at]);
        }
        self.frontier = next.difference(&self.seen).collect();
        self.count += self.frontier.len();
        self.seen = next;
        !self.frontier.is_empty()
    }

    /// Returns the number of reached workloads, without the starts.
    fn reached(&self) -> usize {
        self.count - self.starts
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use nanoseg_inventory::Inventory;

    fn line() -> Inventory {
        let mut inventory = Inventory::default();
        namespace(&mut inventory, "shop", "");
        for name in ["a", "b", "c", "d", "e", "f"] {
            pod(
                &mut inventory,
                &format!("shop/{name}"),
                &format!("app={name}"),
            );
        }
        inventory
    }

    /// Everything is closed except a → b → c → d → e on port 80.
    fn chain() -> Evaluation {
        let rule = |from: &str| {
            format!(
                "{{from: [{{podSelector: {{matchLabels: {{app: {from}}}}}}}], ports: [{{port: 80}}]}}"
            )
        };
        let mut policies = vec![named_policy(
            "shop/deny",
            "{podSelector: {}, policyTypes: [Ingress]}",
        )];
        for (from, to) in [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")] {
            let spec = format!(
                "{{podSelector: {{matchLabels: {{app: {to}}}}}, ingress: [{}]}}",
                rule(from)
            );
            policies.push(named_policy(&format!("shop/{to}"), &spec));
        }
        evaluate(&line(), &policies)
    }

    #[test]
    fn a_chain_is_reached_hop_by_hop() {
        let reach = Reach::of(&chain());
        let radius = |name: &str| reach.radius(&id(&format!("shop/{name}")));
        let expect = |hops, all| BlastRadius { hops, all };
        assert_eq!(radius("a"), expect([1, 2, 3], 4));
        assert_eq!(radius("d"), expect([1, 1, 1], 1));
        assert_eq!(radius("f"), expect([0, 0, 0], 0));
        assert_eq!(radius("unknown"), expect([0, 0, 0], 0));
        let names: Vec<String> = reach
            .servers(&id("shop/b"))
            .map(ToString::to_string)
            .collect();
        assert_eq!(names, ["shop/c"]);
    }

    #[test]
    fn without_policies_one_hop_reaches_everything() {
        let reach = Reach::of(&evaluate(&line(), &[]));
        let all = BlastRadius {
            hops: [5, 5, 5],
            all: 5,
        };
        assert!(reach.radii().iter().all(|(_, radius)| *radius == all));
    }

    #[test]
    fn a_distance_is_that_from_the_nearest_start() {
        let reach = Reach::of(&chain());
        let starts = [id("shop/a"), id("shop/d")];
        let found: Vec<(String, usize)> = reach
            .distances(&starts)
            .iter()
            .map(|(id, hops)| (id.to_string(), *hops))
            .collect();
        let expected = [("a", 0), ("b", 1), ("c", 2), ("d", 0), ("e", 1)];
        let expected = expected.map(|(name, hops)| (format!("shop/{name}"), hops));
        assert_eq!(found, expected);
    }

    #[test]
    fn both_ends_must_allow_a_common_port() {
        let out = "{podSelector: {matchLabels: {app: a}}, policyTypes: [Egress], egress: [
            {to: [{podSelector: {}}], ports: [{port: 81}]}]}";
        let into = "{podSelector: {matchLabels: {app: b}}, ingress: [{ports: [{port: 80}]}]}";
        let policies = [named_policy("shop/a", out), named_policy("shop/b", into)];
        let reach = Reach::of(&evaluate(&line(), &policies));
        let names: Vec<String> = reach
            .servers(&id("shop/a"))
            .map(ToString::to_string)
            .collect();
        assert_eq!(names, ["shop/c", "shop/d", "shop/e", "shop/f"]);
    }
}
