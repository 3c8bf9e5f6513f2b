//! What is known of the cluster and its traffic. Everything is built anew when the cluster changed. What agents send is
//! added edge by edge, and a full build counts it from time to time.

use super::malformed;
use crate::cluster::live::Watches;
use crate::controller::folder::{FoldNews, KEPT_HOURS};
use crate::finding::{Code, Finding};
use crate::flow::{Aggregate, FlowBatch};
use crate::graph::{
    Built, Graph, GraphOptions, Learning, NameDrifts, Requirement, ServiceEnforcements, Views,
    estimate, requirements,
};
use crate::inventory::{
    Inventory, OwnerRule, UnlistedKind, WorkloadId, foreign_policies, is_ours,
    judged_policy_findings, other_policy_findings,
};
use crate::net::{TimeSpans, Timestamp};
use crate::pipeline::{LiveGraph, network_plugin_findings};
use crate::plugin::{EnforcedPorts, Profile};
use crate::review::PluginLag;
use crate::risk::{Approved, SharedFindings, standing_warnings};
use crate::store::StoreLimits;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A full build that takes no longer than this is made with every batch.
const CHEAP: Duration = Duration::from_millis(50);
/// After a full build the next one waits for so many times its duration, so that building takes a quarter of the time
/// where the cluster changes all the time.
const SHARE: u32 = 3;
/// Counts of known edges are updated this often, or less often if a full build takes long (`COUNT_SHARE` times its
/// duration).
const COUNT_EVERY: Duration = Duration::from_secs(30);
const COUNT_SHARE: u32 = 20;
/// The plugin's lag is measured by what began in so many seconds.
const LAG_MEASURED: i64 = 300;

/// What has changed since the last cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touched {
    Nothing,
    /// Edges of these workloads.
    Edges(BTreeSet<WorkloadId>),
    /// Perhaps everything.
    Everything,
}

impl Touched {
    /// The edges of these workloads; nothing if there are none.
    pub fn edges(workloads: BTreeSet<WorkloadId>) -> Touched {
        if workloads.is_empty() {
            Touched::Nothing
        } else {
            Touched::Edges(workloads)
        }
    }

    /// Returns the union of both.
    pub fn and(self, other: Touched) -> Touched {
        match (self, other) {
            (Touched::Everything, _) | (_, Touched::Everything) => Touched::Everything,
            (Touched::Nothing, other) => other,
            (one, Touched::Nothing) => one,
            (Touched::Edges(mut one), Touched::Edges(other)) => {
                one.extend(other);
                Touched::Edges(one)
            }
        }
    }
}

/// The part of the graph that a cycle looks at, with its requirements and findings.
pub struct ClusterView {
    pub graph: Graph,
    pub requirements: Vec<Requirement>,
    /// Findings about the inventory and about these edges.
    pub findings: Vec<Finding>,
    /// The workloads whose edges these are; `None`: all.
    pub only: Option<BTreeSet<WorkloadId>>,
}

/// The cluster and its traffic.
pub struct Observation {
    live: LiveGraph,
    /// Where the network plugin checks connections through Services.
    pub enforcement: ServiceEnforcements,
    /// The network plugin, if it is not the one that the cluster's objects show.
    network_plugin: Option<Profile>,
    /// Images that may run in every namespace.
    pub approved: Approved,
    pub inventory: Arc<Inventory>,
    inventory_findings: Vec<Finding>,
    /// Why the pods of a namespace are not fully known, by namespace.
    pub not_known: BTreeMap<String, String>,
    /// NetworkPolicies in the cluster that nanoseg does not manage.
    pub foreign_policies: Vec<NetworkPolicy>,
    /// Policies with our label.
    labelled_ours: Vec<Arc<NetworkPolicy>>,
    /// The generation of the watched objects that the inventory was built from.
    generation: Option<u64>,
    /// Everything that was in the cluster then is in the inventory, and in what the graph was built with.
    caught_up: Timestamp,
    /// Batches came that the graph does not have.
    has_new: bool,
    /// An agent told other addresses of its node than before.
    has_told: bool,
    /// Batches came that cannot be added edge by edge.
    incomplete: bool,
    /// Counts and times of known edges do not include the last batches.
    uncounted: bool,
    /// How long the last full build took, and when it ended.
    cost: Duration,
    built_at: Option<Instant>,
    /// When records were merged last.
    tidied: Option<Timestamp>,
    pub built: Built,
    pub learning: Option<Learning>,
    /// Which findings nearly all workloads share, as of the last full build.
    pub shared: SharedFindings,
    /// What the network plugin needed lately.
    pub plugin_lag: PluginLag,
    /// When that was measured last.
    lag_measured: Option<Timestamp>,
}

/// What the operator says of the network plugin.
#[derive(Debug, Clone, Copy, Default)]
pub struct SaidOfPlugin {
    /// `None`: the one that the cluster's objects show.
    pub profile: Option<Profile>,
    /// Where it checks connections through Services; `None`: as its profile says.
    pub ports: Option<EnforcedPorts>,
}

impl Observation {
    pub fn new(live: LiveGraph, said: SaidOfPlugin, approved: Approved) -> Self {
        Observation {
            live,
            enforcement: ServiceEnforcements {
                default: said.ports,
                ..ServiceEnforcements::default()
            },
            network_plugin: said.profile,
            approved,
            inventory: Arc::new(Inventory::default()),
            inventory_findings: Vec::new(),
            not_known: BTreeMap::new(),
            foreign_policies: Vec::new(),
            labelled_ours: Vec::new(),
            generation: None,
            caught_up: Timestamp::MIN,
            has_new: false,
            has_told: false,
            incomplete: true,
            uncounted: false,
            cost: Duration::ZERO,
            built_at: None,
            tidied: None,
            built: Built::default(),
            learning: None,
            shared: SharedFindings::default(),
            plugin_lag: PluginLag::default(),
            lag_measured: None,
        }
    }

    /// Adds a batch of an agent.
    pub fn ingest(&mut self, batch: FlowBatch, now: Timestamp) {
        self.live.note_losses(&batch, now);
        let told = &batch.seen.node_addresses;
        let known = self.live.hot().node_addresses().of(&batch.node);
        let is_known = known.is_some_and(|(_, known)| known == told);
        self.has_told |= !told.is_empty() && !is_known;
        self.live.apply(batch);
        self.has_new = true;
    }

    /// Returns true if the traffic is known: the graph was built once.
    pub fn is_built(&self) -> bool {
        self.built_at.is_some()
    }

    /// Returns true if batches came since the last refresh.
    pub fn has_new_batches(&self) -> bool {
        self.has_new
    }

    /// Returns how long to wait until the next refresh has something to do; `None`: nothing is waiting.
    pub fn due_in(&self, watches: &Watches) -> Option<Duration> {
        if self.has_new {
            return Some(Duration::ZERO);
        }
        let changed = self.generation != Some(watches.inventory_generation());
        self.build_due_in(changed || self.has_told)
    }

    /// Everything that was in the cluster then is known, and who had which address by it: traffic until then can be
    /// judged (rule: judge-late-rather-than-wrong).
    pub fn caught_up(&self) -> Timestamp {
        self.caught_up
    }

    /// Notes that nothing changed until now, if the inventory and the graph are of what is known now.
    pub fn note_caught_up(&mut self, watches: &Watches) {
        // Before the generation: what changes in between makes it another one.
        let until = watches.caught_up();
        let is_same = self.generation == Some(watches.inventory_generation());
        if let Some(until) = until.filter(|_| is_same && self.built_at.is_some()) {
            self.caught_up = self.caught_up.max(until);
        }
    }

    /// Updates everything that is due. Returns what has changed.
    pub fn refresh(&mut self, watches: &Watches) -> Touched {
        let changes = self.refresh_graph(watches);
        self.note_caught_up(watches);
        changes
    }

    fn refresh_graph(&mut self, watches: &Watches) -> Touched {
        let generation = watches.inventory_generation();
        let changed = self.generation != Some(generation) || self.has_told;
        let mut changes = Touched::Nothing;
        if std::mem::take(&mut self.has_new) {
            self.uncounted = true;
            if self.cost <= CHEAP || self.built_at.is_none() {
                self.incomplete = true;
            } else {
                changes = self.add_edges();
            }
        }
        if self.build_due_in(changed) == Some(Duration::ZERO) {
            if changed {
                self.take_objects(watches, generation);
            }
            self.build();
            return Touched::Everything;
        }
        changes
    }

    fn build_due_in(&self, changed: bool) -> Option<Duration> {
        let Some(built_at) = self.built_at else {
            return Some(Duration::ZERO);
        };
        let rest = if changed || self.incomplete {
            self.cost * SHARE
        } else if self.uncounted {
            COUNT_EVERY.max(self.cost * COUNT_SHARE)
        } else {
            return None;
        };
        Some(rest.saturating_sub(built_at.elapsed()))
    }

    fn add_edges(&mut self) -> Touched {
        let update = self.live.update();
        self.incomplete |= !update.complete;
        if update.touched.is_empty() {
            return Touched::Nothing;
        }
        self.built
            .graph
            .replace_around(&update.touched, &update.graph);
        Touched::Edges(update.touched)
    }

    fn take_objects(&mut self, watches: &Watches, generation: u64) {
        let objects = watches.objects();
        // (rule: node-by-address)
        let told = self.live.hot().node_addresses().by_node();
        self.has_told = false;
        let (mut inventory, findings) = Inventory::build_with(&objects, OwnerRule::Infer, &told);
        inventory.take_network_plugin(self.network_plugin);
        let unread = watches.malformed();
        self.not_known = malformed::not_known(&unread);
        self.inventory_findings = findings;
        self.inventory_findings
            .extend(other_policy_findings(&objects.not_judged));
        self.inventory_findings
            .extend(judged_policy_findings(&inventory.other_kinds.policies));
        self.inventory_findings
            .extend(objects.unlisted.iter().map(UnlistedKind::finding));
        self.inventory_findings
            .extend(malformed::findings(&unread, &inventory));
        self.inventory = Arc::new(inventory);
        self.foreign_policies = foreign_policies(&objects);
        self.inventory_findings.extend(network_plugin_findings(
            &self.inventory,
            &self.foreign_policies,
        ));
        self.labelled_ours = watches.policies();
        self.labelled_ours
            .retain(|policy| is_ours(&policy.metadata));
        self.generation = Some(generation);
    }

    fn build(&mut self) {
        let began = Instant::now();
        self.built = self.live.build(&self.inventory, GraphOptions::default());
        if let Cow::Owned(named) = self.inventory.with_names(&self.built.graph.names) {
            self.inventory = Arc::new(named);
        }
        // Up to the last observation, not up to now: so an estimate does not change while nothing happens.
        let span = self.live.span();
        self.learning = span.map(|(begin, end)| estimate(&self.built.graph, begin, end));
        self.lessen_by_losses();
        self.shared = self.count_shared();
        self.incomplete = false;
        self.uncounted = false;
        self.cost = began.elapsed();
        self.built_at = Some(Instant::now());
    }

    /// Adds the time that the decisions after the last full build took to the cost of the build.
    pub fn add_cost(&mut self, took: Duration) {
        self.cost += took;
        self.built_at = Some(Instant::now());
    }

    /// Returns a view of everything, or of what concerns these workloads.
    pub fn view(&self, only: Option<BTreeSet<WorkloadId>>) -> ClusterView {
        let graph = match &only {
            None => self.built.graph.clone(),
            Some(workloads) => self.built.graph.around(workloads),
        };
        // Findings about single edges come with the next full build; those about what a client did stay until then.
        let of_clients = [Code::PortScan, Code::DnsNotObserved];
        let of_graph = self.built.findings.iter();
        let of_graph = of_graph.filter(|f| only.is_none() || of_clients.contains(&f.code));
        let findings = self.inventory_findings.iter().chain(of_graph).cloned();
        ClusterView {
            requirements: requirements(&graph, &self.inventory, &self.enforcement),
            findings: findings.collect(),
            graph,
            only,
        }
    }

    /// Returns the graph of connections that began after `since`.
    pub fn recent(&self, since: Timestamp) -> Graph {
        self.live.recent(since, &self.inventory)
    }

    /// Finds the names of outside servers that have other addresses than the edges of `graph` (rule: fqdn-drift).
    pub fn name_drifts(
        &self,
        graph: &Graph,
        is_asked: impl Fn(&WorkloadId) -> bool,
        now: Timestamp,
    ) -> NameDrifts {
        let names = self.live.hot().names();
        NameDrifts::find(graph, &self.inventory, names, is_asked, now)
    }

    /// Returns the records of connections that began at `since` or later, as each observer reported them.
    pub fn attempts(&self, since: Timestamp) -> Aggregate {
        self.live.hot().since(since)
    }

    /// Measures what the network plugin needed in the last minutes, once a minute. `applied`: the workloads with a policy
    /// of ours, and since when (rule: plugin-lag-is-measured).
    pub fn measure_plugin_lag(
        &mut self,
        applied: &BTreeMap<WorkloadId, Timestamp>,
        now: Timestamp,
    ) {
        let is_due = self
            .lag_measured
            .is_none_or(|measured| now.secs_since(measured) >= 60);
        if applied.is_empty() || !is_due {
            return;
        }
        self.lag_measured = Some(now);
        let since = now.plus_secs(-LAG_MEASURED);
        let attempts = self.attempts(since);
        let records = attempts.records().map(|(_, record)| record);
        self.plugin_lag
            .measure(records, &self.inventory, applied, since);
    }

    /// Returns when each node's agent observed.
    pub fn views(&self) -> impl Iterator<Item = (&str, &TimeSpans)> {
        let views = self.live.hot().views();
        views.iter().map(|(node, times)| (&**node, times))
    }

    /// Returns when each node's agent observed, by node.
    pub fn views_by_node(&self) -> &Views {
        self.live.hot().views()
    }

    /// Returns the time of the first observation.
    pub fn begin(&self) -> Option<Timestamp> {
        self.live.span().map(|(begin, _)| begin)
    }

    /// Returns the policies in the cluster with our label.
    pub fn labelled_ours(&self) -> &[Arc<NetworkPolicy>] {
        &self.labelled_ours
    }

    /// Takes what the store has folded.
    pub fn take_folded(&mut self, news: FoldNews) {
        match news {
            FoldNews::Hours(hours) => {
                self.live.take_folded(&hours, most_edges());
                self.incomplete = true;
            }
            FoldNews::Until(hour) => self.live.forget_hours(hour),
        }
    }

    /// Merges older records and forgets older edges, once a minute.
    pub fn tidy(&mut self, now: Timestamp) {
        let is_due = self
            .tidied
            .is_none_or(|tidied| now.secs_since(tidied) >= 60);
        if is_due && self.generation.is_some() {
            let before = Timestamp::from_hour(now.hour() - KEPT_HOURS);
            self.live.tidy(&self.inventory, now, before, most_edges());
            self.tidied = Some(now);
        }
    }

    /// Counts the warnings of all workloads, so that what nearly all share is told from what one has.
    fn count_shared(&self) -> SharedFindings {
        let found = self.built.findings.iter();
        let unseen_lookups = found.filter(|one| one.code == Code::DnsNotObserved);
        let unseen_lookups: BTreeSet<&str> =
            unseen_lookups.map(|one| one.subject.as_str()).collect();
        let workloads = self.inventory.workloads.values().map(|workload| {
            let mut codes = standing_warnings(workload);
            if unseen_lookups.contains(workload.id.to_string().as_str()) {
                codes.insert(Code::DnsNotObserved);
            }
            (&workload.id, codes)
        });
        SharedFindings::count(workloads)
    }

    /// Lowers the estimates of workloads by what was lost of what the nodes of their pods sent.
    fn lessen_by_losses(&mut self) {
        let Some(learning) = &mut self.learning else {
            return;
        };
        let lost = self.live.lost();
        let mut shares: BTreeMap<&WorkloadId, f64> = BTreeMap::new();
        for pod in &self.inventory.pods {
            let share = pod.node.as_deref().map_or(0.0, |node| lost.share(node));
            if share > 0.0 {
                let known = shares.entry(&pod.workload).or_default();
                *known = known.max(share);
            }
        }
        let most = shares.values().copied().fold(0.0, f64::max);
        learning.overall.note_lost(most);
        for (id, share) in shares {
            if let Some(estimate) = learning.workloads.get_mut(id) {
                estimate.note_lost(share);
            }
        }
    }
}

/// How many edges of all time there may be.
fn most_edges() -> usize {
    usize::try_from(StoreLimits::default().edges).unwrap_or(usize::MAX)
}
