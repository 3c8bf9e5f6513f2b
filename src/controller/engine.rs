//! The leader's work: operators' objects and traffic → state and record, on the disk first → plan, proposals,
//! results of decisions and conditions. One task; [`Engine::cycle`] lists the steps.

mod adopt;
mod auto_rollback;
mod conclude;
mod coverage;
mod decide;
mod default_deny;
mod enforcer_reports;
mod events;
mod exceptions;
mod housekeeping;
mod in_force;
mod malformed;
mod memories;
mod name_drifts;
mod observation;
mod open_directions;
mod openings;
mod planning;
mod propose;
mod proven;
mod publish;
mod refusals;
mod segments;
mod single;
mod state;
mod status;
mod trust;
mod unseen_lookups;
mod violations;
mod waiting;

pub use enforcer_reports::resume_break_glass;
pub use observation::{Observation, SaidOfPlugin};
pub use proven::keep_proven;
pub use state::{EngineState, StateError};

use super::controller_metrics::ControllerMetrics;
use super::folder::FoldNews;
use super::pending_writes::PendingWrites;
use super::plan::{EnforcerReport, Plan};
use crate::cluster::live::{Events, Kind, Malformed, Watches, Writer};
use crate::finding::Finding;
use crate::flow::FlowBatch;
use crate::graph::Graph;
use crate::inventory::{Inventory, WorkloadId};
use crate::net::{Outage, Outages, Timestamp};
use crate::record::RecordLine;
use crate::report::escape::terminal;
use crate::review::resources::PolicyProposal;
use crate::review::{Ceilings, PendingViolations, Uncovered};
use crate::store::ReviewStore;
use adopt::UnknownPolicies;
use enforcer_reports::Troubles;
use housekeeping::Housekeeping;
use observation::Touched;
use publish::Published;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// How often conditions that depend on time are checked and failed writes are tried again.
const TICK: Duration = Duration::from_secs(1);
/// The pause between two checks while something waits only for the watches to catch up.
const CATCHING_UP: Duration = Duration::from_millis(250);
/// The shortest pause between two checks.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// After a cycle the engine rests for as long as the cycle took, and for this long at most: so it uses half of a core
/// while much happens.
const LONGEST_REST: Duration = Duration::from_secs(2);

/// What the engine needs.
pub struct Parts {
    pub watches: Arc<Watches>,
    pub writer: Writer,
    pub events: Events,
    pub store: ReviewStore,
    pub engine_state: EngineState,
    pub observation: Observation,
    pub plan: watch::Sender<Option<Arc<Plan>>>,
    /// The sequence number of the record's last line, for the [`RecordPublisher`](super::record_publisher).
    pub recorded: watch::Sender<u64>,
    /// The graph after each full build, for the [`GraphPublisher`](super::graph_publisher).
    pub graph: watch::Sender<Option<Arc<Graph>>>,
    pub reports: mpsc::UnboundedReceiver<EnforcerReport>,
    pub heard: mpsc::Receiver<FlowBatch>,
    /// What the [`Folder`](super::folder) has folded, and the inventory for it.
    pub folded: mpsc::Receiver<FoldNews>,
    pub inventory: watch::Sender<Option<Arc<Inventory>>>,
    pub controller_metrics: Arc<ControllerMetrics>,
    /// How long deleted pods are remembered.
    pub retention: Duration,
    /// What automatic approval may do at most.
    pub ceilings: Ceilings,
    pub now: fn() -> Timestamp,
}

/// The leader's task. See the module.
pub struct Engine {
    parts: Parts,
    housekeeping: Housekeeping,
    troubles: Troubles,
    /// What is wrong with Segmentations that cannot be parsed, by namespace.
    errors: BTreeMap<String, String>,
    /// Why no proposals can be made, by namespace.
    problems: BTreeMap<String, String>,
    /// The pods that no policy selects, by enforced namespace.
    uncovered: BTreeMap<String, Uncovered>,
    /// Policies with our label that the state does not know.
    unknown: UnknownPolicies,
    /// Pods that the policies in force select and that are not of their workloads.
    foreign_pods: Vec<Finding>,
    /// Connections that the policies deny and that cannot be judged yet.
    pending_violations: PendingViolations,
    /// The objects that cannot be read.
    malformed: Vec<Malformed>,
    /// What the owners of Segmentations that cannot be read were told, by namespace.
    told_malformed: BTreeMap<String, String>,
    pending_proposals: PendingWrites,
    pending_decisions: PendingWrites,
    pending_segmentations: PendingWrites,
    /// The generations of the watches that were processed already.
    seen: Option<Generations>,
    /// The proposals that edits were last read from.
    proposals: Vec<Arc<PolicyProposal>>,
    /// The next publishing has to look at all namespaces.
    publish_all: bool,
    /// A write to the disk or to the cluster is left to do.
    unfinished: bool,
    /// Whether the disk takes the state.
    disk: Outage,
    /// Whether objects can be written, by namespace.
    objects: Outages,
    /// When the next namespace will have been observed for its minimum duration.
    due: Option<Timestamp>,
    /// The nodes with pods whose agent was not connected in the last cycle that looked at everything.
    without_agent: BTreeSet<String>,
    /// Decisions wait until the traffic is known.
    put_off: bool,
}

/// Generations of the kinds that people write.
#[derive(Debug, Clone, Copy)]
struct Generations {
    segmentations: u64,
    proposals: u64,
    decisions: u64,
}

impl Engine {
    pub fn new(parts: Parts) -> Engine {
        Engine {
            housekeeping: Housekeeping::new(parts.retention),
            parts,
            troubles: Troubles::default(),
            errors: BTreeMap::new(),
            problems: BTreeMap::new(),
            uncovered: BTreeMap::new(),
            unknown: UnknownPolicies::new(),
            foreign_pods: Vec::new(),
            pending_violations: PendingViolations::default(),
            malformed: Vec::new(),
            told_malformed: BTreeMap::new(),
            pending_proposals: PendingWrites::default(),
            pending_decisions: PendingWrites::default(),
            pending_segmentations: PendingWrites::default(),
            seen: None,
            proposals: Vec::new(),
            publish_all: true,
            unfinished: true,
            disk: Outage::default(),
            objects: Outages::default(),
            due: None,
            without_agent: BTreeSet::new(),
            put_off: false,
        }
    }

    /// Runs until `stop` turns true.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut changed = self.parts.watches.changed();
        while !*stop.borrow() {
            let needed = self.pending_violations.needed((self.parts.now)());
            if let Some(needed) = needed {
                self.parts.watches.catch_up(needed);
            }
            let tick = if needed.is_some() { CATCHING_UP } else { TICK };
            let pause = self.pause(tick);
            let is_due = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                changed = changed.changed() => match changed { Ok(()) => true, Err(_) => return },
                batch = self.parts.heard.recv() => match batch {
                    Some(batch) => { self.parts.observation.ingest(batch, (self.parts.now)()); true }
                    None => return,
                },
                Some(news) = self.parts.folded.recv() => { self.parts.observation.take_folded(news); true }
                report = self.parts.reports.recv() => match report {
                    Some(report) => { self.apply_report(&report); true }
                    None => return,
                },
                () = tokio::time::sleep(pause) => {
                    self.parts.observation.note_caught_up(&self.parts.watches);
                    self.is_due()
                }
            };
            if is_due {
                let began = Instant::now();
                self.take_what_waits();
                self.cycle().await;
                let took = began.elapsed();
                self.parts.controller_metrics.cycle(took);
                // A decision does not wait for the rest.
                let decided = self.is_decided(changed.clone());
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => return,
                    () = tokio::time::sleep(took.min(LONGEST_REST)) => {}
                    () = decided => {}
                }
            }
        }
    }

    /// Returns when there is a decision that no cycle has seen.
    fn is_decided(&self, mut changed: watch::Receiver<u64>) -> impl Future<Output = ()> + use<> {
        let watches = self.parts.watches.clone();
        let seen = self.seen.map(|seen| seen.decisions);
        async move {
            while Some(watches.generation_of(Kind::ProposalDecision)) == seen {
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// Returns how long to wait for changes before checking what was put off: at most `tick`.
    fn pause(&self, tick: Duration) -> Duration {
        let put_off = self.parts.observation.due_in(&self.parts.watches);
        put_off.map_or(tick, |rest| rest.clamp(SHORTEST_PAUSE, tick))
    }

    fn is_due(&self) -> bool {
        let now = (self.parts.now)();
        let put_off = self.parts.observation.due_in(&self.parts.watches);
        self.unfinished
            || put_off == Some(Duration::ZERO)
            || self.due.is_some_and(|due| now >= due)
            || openings::next_end(&self.parts.engine_state).is_some_and(|end| now >= end)
            || self.agents_changed(now)
            || !self.ripe().is_empty()
            || self.housekeeping.is_due(now)
    }

    /// The workloads of connections that were put off and can be judged now.
    fn ripe(&self) -> BTreeSet<WorkloadId> {
        let caught_up = self.parts.observation.caught_up();
        self.pending_violations.ripe(caught_up)
    }

    /// Returns true if an agent connected or fell silent since the last cycle that looked at everything.
    fn agents_changed(&self, now: Timestamp) -> bool {
        let observation = &self.parts.observation;
        self.without_agent != open_directions::nodes_without_agent(observation, now)
    }

    /// Takes all batches and reports that wait already, so that one cycle serves them all.
    fn take_what_waits(&mut self) {
        while let Ok(batch) = self.parts.heard.try_recv() {
            self.parts.observation.ingest(batch, (self.parts.now)());
        }
        while let Ok(news) = self.parts.folded.try_recv() {
            self.parts.observation.take_folded(news);
        }
        while let Ok(report) = self.parts.reports.try_recv() {
            self.apply_report(&report);
        }
    }

    fn apply_report(&mut self, report: &EnforcerReport) {
        self.parts.controller_metrics.count_report(report);
        enforcer_reports::apply_report(&mut self.parts.engine_state, &mut self.troubles, report);
    }

    async fn cycle(&mut self) {
        let now = (self.parts.now)();
        let stale = self.parts.watches.check();
        self.parts.controller_metrics.stale(stale.is_err());
        self.count_violations(now);
        self.note_malformed();
        self.unfinished = false;
        if let Err(stale) = stale {
            // What the enforcer did is kept; nothing is decided while the inventory may be out of date.
            tracing::debug!("no cycle: {stale}");
            self.unfinished = true;
            self.commit(now);
            return;
        }
        // Decisions are carried out before new proposals are made.
        let (decided, entries) = tokio::task::block_in_place(|| {
            let decided = self.take_decisions(now);
            (decided, self.commit(now))
        });
        let Some(mut entries) = entries else { return };
        self.publish_plan();
        let more = tokio::task::block_in_place(|| {
            self.conclude(decided, now);
            self.housekeep(now);
            self.commit(now)
        });
        // Nothing reaches the cluster before it is on the disk.
        let Some(more) = more else { return };
        entries.extend(more);
        self.publish_plan();
        self.count_violations(now);
        self.publish(now).await;
        events::publish_events(&entries, &self.parts.watches, &self.parts.events).await;
    }

    /// Counts the violations, and those that are not judged yet. Also while nothing can be judged.
    fn count_violations(&self, now: Timestamp) {
        let segments = self.parts.engine_state.segments.values();
        let recorded = segments.map(|segment| segment.kept.violations()).sum();
        let waiting = self.pending_violations.waiting();
        let since = waiting.clone().map(|(_, one)| one.since).min();
        let age = since.map_or(0, |since| now.secs_since(since).max(0));
        self.parts
            .controller_metrics
            .set_violations(recorded, waiting.count(), age);
    }

    /// Notes which objects cannot be read. What is said of them is published where that changed.
    fn note_malformed(&mut self) {
        let malformed = self.parts.watches.malformed();
        let counts = self.parts.watches.malformed_counts();
        self.parts.controller_metrics.malformed(&counts);
        self.publish_all |= malformed != self.malformed;
        self.malformed = malformed;
        let objects = self.parts.watches.objects();
        let others = objects.not_judged.iter();
        let partly = others.filter(|one| one.is_partly_judged).count();
        let none = objects.not_judged.len() - partly;
        let counts = [partly, none, objects.unlisted.len()];
        self.parts.controller_metrics.set_unjudged(counts);
    }

    /// Processes what people wrote: Segmentations, edits, decisions. Returns what that changes.
    fn take_decisions(&mut self, now: Timestamp) -> Touched {
        let Parts {
            watches,
            engine_state,
            observation,
            ceilings,
            ..
        } = &mut self.parts;
        let seen = Generations {
            segmentations: watches.generation_of(Kind::Segmentation),
            proposals: watches.generation_of(Kind::PolicyProposal),
            decisions: watches.generation_of(Kind::ProposalDecision),
        };
        let known = self.seen.replace(seen);
        let is_new =
            |of: fn(&Generations) -> u64| known.is_none_or(|known| of(&known) != of(&seen));
        let (mut resegmented, mut changed) = (false, false);
        changed |= openings::expire(engine_state, &observation.built.graph, now);
        if is_new(|seen| seen.segmentations) {
            let segmentations = watches.segmentations();
            (self.errors, resegmented) = segments::take_segments(
                engine_state,
                &segmentations,
                &self.malformed,
                ceilings,
                now,
            );
            observation.enforcement =
                engine_state.service_enforcements(observation.enforcement.default);
            self.publish_all |= resegmented;
        }
        let proposals = watches.proposals();
        if is_new(|seen| seen.proposals) {
            changed |= decide::take_edits(engine_state, &proposals) > 0;
            self.publish_all = true;
        }
        if is_new(|seen| seen.decisions) || self.put_off {
            let decisions = watches.decisions();
            let taken =
                decide::take_decisions(engine_state, observation, &decisions, &proposals, now);
            changed |= taken.carried_out > 0;
            self.put_off = taken.put_off > 0;
            self.unfinished |= self.put_off;
        }
        self.publish_all |= memories::note_unguarded(engine_state, now);
        self.proposals = proposals;
        match (resegmented, changed) {
            (true, _) => Touched::Everything,
            // The workloads of the decisions: their open proposals may be settled now.
            (false, true) => {
                let mut touched = engine_state.touched().clone();
                touched.extend(engine_state.memories.take_concerned());
                Touched::Edges(touched)
            }
            (false, false) => Touched::Nothing,
        }
    }

    fn housekeep(&mut self, now: Timestamp) {
        let Parts {
            watches,
            store,
            observation,
            controller_metrics,
            ..
        } = &mut self.parts;
        observation.tidy(now);
        if let Err(error) = self.housekeeping.run(watches, store, now) {
            let why = error.to_string();
            if self.disk.failed(&why, now) {
                tracing::error!("{why}; it is tried again");
            }
            controller_metrics.commit_failed(why);
        }
    }

    /// Writes everything new to the disk and returns the new entries of the record. `None` if the disk refuses: then
    /// it is tried again.
    fn commit(&mut self, now: Timestamp) -> Option<Vec<RecordLine>> {
        match self.parts.engine_state.commit(&mut self.parts.store, now) {
            Ok(entries) => {
                self.parts.controller_metrics.committed(&entries);
                entries.iter().for_each(log_line);
                if let Some(over) = self.disk.worked(now) {
                    tracing::info!("the state can be written again {over}");
                }
                if let Some(last) = entries.last() {
                    self.parts.recorded.send_replace(last.sequence);
                }
                Some(entries)
            }
            Err(error) => {
                // (rule: logs-tell-changes)
                let why = error.to_string();
                if self.disk.failed(&why, now) {
                    tracing::error!(
                        "{why}; nothing is written to the cluster until it works again"
                    );
                }
                self.parts.controller_metrics.commit_failed(why);
                self.unfinished = true;
                None
            }
        }
    }

    fn publish_plan(&mut self) {
        let plan = planning::build_plan(&self.parts.engine_state);
        self.parts.plan.send_if_modified(|known| {
            let is_new = known.as_deref() != Some(&plan);
            if is_new {
                *known = Some(Arc::new(plan));
            }
            is_new
        });
    }

    /// Logs in which namespaces objects cannot be written, and where they can again (rule: logs-tell-changes).
    fn log_writes(&mut self, namespaces: &BTreeSet<String>, done: &Published, now: Timestamp) {
        for (namespace, why) in &done.problems {
            if self.objects.failed(namespace, why, now) {
                tracing::warn!(namespace, "{why}; it is tried again");
            }
        }
        let written = namespaces.iter();
        for namespace in written.filter(|one| !done.problems.contains_key(*one)) {
            if let Some(over) = self.objects.worked(namespace, now) {
                tracing::info!(namespace, "objects are written again {over}");
            }
        }
    }

    /// Writes proposals, results of decisions and conditions to the cluster.
    async fn publish(&mut self, now: Timestamp) {
        let mut namespaces = self.parts.engine_state.take_unpublished();
        // Not all of the parts are `Sync`.
        let Parts {
            engine_state,
            writer,
            watches,
            observation,
            ..
        } = &self.parts;
        let live = &self.proposals;
        let segmentations = watches.segmentations();
        if std::mem::take(&mut self.publish_all) {
            namespaces.extend(engine_state.segments.keys().cloned());
            let places = live.iter().map(|p| &p.metadata);
            let places = places.chain(segmentations.iter().map(|s| &s.metadata));
            namespaces.extend(places.filter_map(|meta| meta.namespace.clone()));
        }
        let (proposals, decisions) = (&mut self.pending_proposals, &mut self.pending_decisions);
        let mut done = publish::publish_proposals(
            engine_state,
            live,
            &self.malformed,
            &namespaces,
            writer,
            proposals,
        )
        .await;
        let all = watches.decisions();
        done.merge(publish::publish_answers(engine_state, &all, writer, decisions).await);
        let around = status::Circumstances {
            observation,
            troubles: &self.troubles,
            errors: &self.errors,
            problems: &self.problems,
            uncovered: &self.uncovered,
            unknown: &self.unknown,
            foreign_pods: &self.foreign_pods,
            pending_violations: &self.pending_violations,
            malformed: &self.malformed,
            without_agent: &self.without_agent,
            now,
        };
        let pending = &mut self.pending_segmentations;
        done.merge(
            status::publish(
                engine_state,
                &segmentations,
                &namespaces,
                &around,
                writer,
                pending,
            )
            .await,
        );
        let told = &mut self.told_malformed;
        done.merge(malformed::tell(&self.malformed, told, writer, now).await);
        self.unfinished |= done.failed;
        self.log_writes(&namespaces, &done, now);
        for namespace in done.again {
            self.parts.engine_state.mark_unpublished(&namespace);
        }
    }
}

/// Logs a line of the record. Names and reasons come from whoever may write objects, so they must not break the line
/// (rule: logs-tell-changes).
fn log_line(line: &RecordLine) {
    let entry = &line.entry;
    let object = match entry.namespace.as_str() {
        "" => entry.object.clone(),
        namespace => format!("{namespace}/{}", entry.object),
    };
    tracing::info!(
        line = line.sequence,
        actor = %terminal(&entry.actor.to_string()),
        "{} {}: {}",
        entry.action.kind().name(),
        terminal(&object),
        terminal(&entry.reason)
    );
}
