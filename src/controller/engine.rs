//! The leader's work: what operators and traffic say → state and record, on the disk first → plan, proposals,
//! answers and conditions. One task; [`Engine::cycle`] is its table of contents.

mod decide;
mod hear;
mod housekeeping;
mod judge;
mod ledger;
mod planning;
mod publish;
mod segments;
mod sight;
mod status;
mod tell;
mod wish;

pub use hear::take_up;
pub use ledger::{Ledger, LedgerError};
pub use sight::Sight;

use super::ahead::Ahead;
use super::plan::{Plan, Report};
use super::vitals::Vitals;
use crate::cluster::live::{Events, Kind, Watches, Writer};
use crate::flow::FlowBatch;
use crate::graph::Graph;
use crate::net::Timestamp;
use crate::review::record::Entry;
use crate::review::resources::PolicyProposal;
use crate::store::ReviewStore;
use hear::Troubles;
use housekeeping::Housekeeping;
use sight::News;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// How often what depends on time is looked at, and what could not be written is tried again.
const TICK: Duration = Duration::from_secs(1);
/// Nothing is looked at more often than that.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// The engine rests as long as its last cycle took, at most so long: then half of one core is its limit
/// where much happens.
const LONGEST_REST: Duration = Duration::from_secs(2);

/// What the engine works with.
pub struct Parts {
    pub watches: Arc<Watches>,
    pub writer: Writer,
    pub events: Events,
    pub store: ReviewStore,
    pub ledger: Ledger,
    pub sight: Sight,
    pub plan: watch::Sender<Option<Arc<Plan>>>,
    /// The number of the record's last line, for who publishes it.
    pub recorded: watch::Sender<u64>,
    /// The graph, each time that all of it was built, for who publishes it.
    pub graph: watch::Sender<Option<Arc<Graph>>>,
    pub reports: mpsc::UnboundedReceiver<Report>,
    pub heard: mpsc::Receiver<FlowBatch>,
    pub vitals: Arc<Vitals>,
    /// How long pods that are gone are kept.
    pub retention: Duration,
    pub now: fn() -> Timestamp,
}

/// See the module.
pub struct Engine {
    parts: Parts,
    housekeeping: Housekeeping,
    troubles: Troubles,
    /// Segmentations that cannot be understood, by namespace.
    errors: BTreeMap<String, String>,
    /// Why a namespace cannot be proposed for.
    problems: BTreeMap<String, String>,
    proposals_ahead: Ahead,
    decisions_ahead: Ahead,
    segmentations_ahead: Ahead,
    /// What of the watches was taken already.
    seen: Option<Seen>,
    /// The proposals that edits were last taken from.
    proposals: Vec<Arc<PolicyProposal>>,
    /// All namespaces are to be looked at when publishing.
    publish_all: bool,
    /// Something was not written, on the disk or in the cluster.
    unfinished: bool,
    /// When a namespace will have been watched for long enough.
    due: Option<Timestamp>,
}

/// Generations of what people write.
#[derive(Debug, Clone, Copy)]
struct Seen {
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
            proposals_ahead: Ahead::default(),
            decisions_ahead: Ahead::default(),
            segmentations_ahead: Ahead::default(),
            seen: None,
            proposals: Vec::new(),
            publish_all: true,
            unfinished: true,
            due: None,
        }
    }

    /// Works until `stop` turns true.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut changed = self.parts.watches.changed();
        while !*stop.borrow() {
            let pause = self.pause();
            let is_due = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                changed = changed.changed() => match changed { Ok(()) => true, Err(_) => return },
                batch = self.parts.heard.recv() => match batch {
                    Some(batch) => { self.parts.sight.hear(batch); true }
                    None => return,
                },
                report = self.parts.reports.recv() => match report {
                    Some(report) => { self.hear(&report); true }
                    None => return,
                },
                () = tokio::time::sleep(pause) => self.is_due(),
            };
            if is_due {
                let began = Instant::now();
                self.take_what_waits();
                self.cycle().await;
                let took = began.elapsed();
                self.parts.vitals.cycle(took);
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => return,
                    () = tokio::time::sleep(took.min(LONGEST_REST)) => {}
                }
            }
        }
    }

    /// How long to wait for news before looking at what was put off.
    fn pause(&self) -> Duration {
        let put_off = self.parts.sight.due_in(&self.parts.watches);
        put_off.map_or(TICK, |rest| rest.clamp(SHORTEST_PAUSE, TICK))
    }

    fn is_due(&self) -> bool {
        let now = (self.parts.now)();
        let put_off = self.parts.sight.due_in(&self.parts.watches);
        self.unfinished
            || put_off == Some(Duration::ZERO)
            || self.due.is_some_and(|due| now >= due)
            || self.housekeeping.is_due(now)
    }

    /// All batches and reports that wait already: one cycle for all of them.
    fn take_what_waits(&mut self) {
        while let Ok(batch) = self.parts.heard.try_recv() {
            self.parts.sight.hear(batch);
        }
        while let Ok(report) = self.parts.reports.try_recv() {
            self.hear(&report);
        }
    }

    fn hear(&mut self, report: &Report) {
        self.parts.vitals.heard(report);
        hear::hear(&mut self.parts.ledger, &mut self.troubles, report);
    }

    async fn cycle(&mut self) {
        let now = (self.parts.now)();
        let stale = self.parts.watches.check();
        self.parts.vitals.stale(stale.is_err());
        self.unfinished = false;
        if let Err(stale) = stale {
            // What the enforcer did is kept; nothing is concluded from what may not be true any more.
            tracing::debug!("no cycle: {stale}");
            self.unfinished = true;
            self.commit(now);
            return;
        }
        // What people decided is carried out before what they may decide next is worked out.
        let (decided, entries) = tokio::task::block_in_place(|| {
            let decided = self.take_decisions(now);
            (decided, self.commit(now))
        });
        let Some(mut entries) = entries else { return };
        self.publish_plan();
        let more = tokio::task::block_in_place(|| {
            self.conclude(decided, now);
            self.housekeeping.run(&mut self.parts, now);
            self.commit(now)
        });
        // Nothing reaches the cluster that is not on the disk.
        let Some(more) = more else { return };
        entries.extend(more);
        self.publish_plan();
        self.publish(now).await;
        tell::tell(&entries, &self.parts.watches, &self.parts.events).await;
    }

    /// Takes what people wrote: Segmentations, edits, decisions. Tells what that is about.
    fn take_decisions(&mut self, now: Timestamp) -> News {
        let Parts {
            watches, ledger, ..
        } = &mut self.parts;
        let seen = Seen {
            segmentations: watches.generation_of(Kind::Segmentation),
            proposals: watches.generation_of(Kind::PolicyProposal),
            decisions: watches.generation_of(Kind::ProposalDecision),
        };
        let known = self.seen.replace(seen);
        let is_new = |of: fn(&Seen) -> u64| known.is_none_or(|known| of(&known) != of(&seen));
        let (mut resegmented, mut changed) = (false, false);
        if is_new(|seen| seen.segmentations) {
            let segmentations = watches.segmentations();
            (self.errors, resegmented) = segments::take_segments(ledger, &segmentations, now);
            self.publish_all |= resegmented;
        }
        let proposals = watches.proposals();
        if is_new(|seen| seen.proposals) {
            changed |= decide::take_edits(ledger, &proposals) > 0;
            self.publish_all = true;
        }
        if is_new(|seen| seen.decisions) {
            let decisions = watches.decisions();
            changed |= decide::take_decisions(ledger, &decisions, &proposals, now) > 0;
        }
        self.proposals = proposals;
        match (resegmented, changed) {
            (true, _) => News::Everything,
            // Whom decisions are about: what waits may be settled by them.
            (false, true) => News::Edges(ledger.touched().clone()),
            (false, false) => News::Nothing,
        }
    }

    /// The traffic, and what was decided → what is proposed and what is taken back.
    fn conclude(&mut self, decided: News, now: Timestamp) {
        let Parts {
            watches,
            ledger,
            sight,
            vitals,
            graph,
            ..
        } = &mut self.parts;
        let began = Instant::now();
        let is_due = self.due.is_some_and(|due| now >= due);
        let watched = match sight.has_heard() {
            true => judge::closely_watched(ledger, now),
            false => BTreeSet::new(),
        };
        let watched = match watched.is_empty() {
            true => News::Nothing,
            false => News::Edges(watched),
        };
        let only = match sight.look(watches).and(decided).and(watched) {
            _ if is_due => None,
            News::Everything => None,
            News::Edges(touched) => Some(touched),
            News::Nothing => {
                segments::forget_left(ledger, now);
                return;
            }
        };
        let view = sight.view(only);
        let mut in_force = judge::InForce::build(ledger, sight);
        let violations = judge::find_violations(ledger, sight, &view, &in_force);
        let undone = judge::undo_harmful(ledger, sight, &in_force, view.only.as_ref(), now);
        if !undone.is_empty() {
            in_force = judge::InForce::build(ledger, sight);
        }
        let problems = wish::propose(ledger, sight, &view, &in_force, &violations, now);
        match &view.only {
            None => {
                self.problems = problems;
                segments::retire_gone(ledger, &sight.inventory, now);
                self.due = segments::next_due(ledger, now);
                self.publish_all = true;
                vitals.concluded(ledger, sight, &violations);
                sight.also_cost(began.elapsed());
                graph.send_replace(Some(Arc::new(view.graph)));
            }
            Some(only) => {
                self.problems.extend(problems);
                only.iter()
                    .for_each(|id| ledger.mark_unpublished(&id.namespace));
            }
        }
        segments::forget_left(ledger, now);
    }

    /// Everything new onto the disk. `None` if it refuses: it is tried again.
    fn commit(&mut self, now: Timestamp) -> Option<Vec<Entry>> {
        match self.parts.ledger.commit(&mut self.parts.store, now) {
            Ok(entries) => {
                self.parts.vitals.committed(&entries);
                if let Some(last) = entries.last() {
                    self.parts.recorded.send_replace(last.sequence);
                }
                Some(entries)
            }
            Err(error) => {
                tracing::error!("{error}");
                self.parts.vitals.commit_failed(error.to_string());
                self.unfinished = true;
                None
            }
        }
    }

    fn publish_plan(&mut self) {
        let plan = planning::build_plan(&self.parts.ledger);
        self.parts.plan.send_if_modified(|known| {
            let is_new = known.as_deref() != Some(&plan);
            if is_new {
                *known = Some(Arc::new(plan));
            }
            is_new
        });
    }

    /// Proposals, answers and conditions into the cluster.
    async fn publish(&mut self, now: Timestamp) {
        let mut namespaces = self.parts.ledger.take_unpublished();
        // Not all of the parts may be looked at from two threads.
        let Parts {
            ledger,
            writer,
            watches,
            sight,
            ..
        } = &self.parts;
        let live = &self.proposals;
        let segmentations = watches.segmentations();
        if std::mem::take(&mut self.publish_all) {
            namespaces.extend(ledger.segments.keys().cloned());
            let places = live.iter().map(|p| &p.metadata);
            let places = places.chain(segmentations.iter().map(|s| &s.metadata));
            namespaces.extend(places.filter_map(|meta| meta.namespace.clone()));
        }
        let (proposals, decisions) = (&mut self.proposals_ahead, &mut self.decisions_ahead);
        let mut done =
            publish::publish_proposals(ledger, live, &namespaces, writer, proposals).await;
        let all = watches.decisions();
        done.merge(publish::publish_answers(ledger, &all, writer, decisions).await);
        let around = status::Circumstances {
            sight,
            troubles: &self.troubles,
            errors: &self.errors,
            problems: &self.problems,
            now,
        };
        let ahead = &mut self.segmentations_ahead;
        done.merge(
            status::publish(ledger, &segmentations, &namespaces, &around, writer, ahead).await,
        );
        self.unfinished |= done.failed;
        for namespace in done.again {
            self.parts.ledger.mark_unpublished(&namespace);
        }
    }
}
