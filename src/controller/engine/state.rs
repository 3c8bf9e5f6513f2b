//! The state of all reviews: what the store has, what is new since the last commit, and the chain of the record.
//! Nothing of it reaches the cluster before [`EngineState::commit`] has put it on the disk.

use super::memories::Memories;
use crate::controller::pending_writes::key_of;
use crate::graph::{EnforcedPorts, OpenDirections, ServiceEnforcements};
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::record::{Chain, Connection, Entry, Head, Mode, RecordLine, legacy, to_line};
use crate::review::resources::{DecisionOutcome, ProposalDecision, ProposalDecisionSpec};
use crate::review::{SegmentationSettings, ViolationLedger, WorkloadState, service_enforcements};
use crate::store::{
    Commit, EndedReview, Loaded, ReviewStore, ReviewStoreError, StoredDecision, StoredSegment,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// Why the stored state cannot be read.
#[derive(Debug, Error)]
pub enum StateError {
    #[error(
        "failed to read the review of {workload}: {source}; the store was written by another nanoseg, or damaged"
    )]
    Review {
        workload: WorkloadId,
        source: serde_json::Error,
    },
    #[error(
        "failed to read the segment of {namespace}: {source}; the store was written by another nanoseg, or damaged"
    )]
    Segment {
        namespace: String,
        source: serde_json::Error,
    },
    #[error(
        "failed to read decision {name}: {source}; the store was written by another nanoseg, or damaged"
    )]
    Decision {
        name: String,
        source: serde_json::Error,
    },
    #[error(
        "failed to read what is remembered of {namespace}: {source}; the store was written by another nanoseg, or damaged"
    )]
    Memory {
        namespace: String,
        source: serde_json::Error,
    },
    #[error(transparent)]
    Store(#[from] ReviewStoreError),
}

/// The result of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionResult {
    pub spec: ProposalDecisionSpec,
    pub outcome: DecisionOutcome,
    pub message: Option<String>,
}

/// The state of a segmented namespace.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentState {
    pub observing_since: Timestamp,
    pub kept: KeptSegment,
    /// The Segmentation in the cluster; `None` after it was deleted, or if it could not be parsed since the start.
    pub segment: Option<SegmentationSettings>,
}

/// The part that is stored: it outlives the Segmentation object and the process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeptSegment {
    /// The mode when the Segmentation was last understood.
    pub mode: Mode,
    /// Policies are deleted together with the Segmentation.
    pub remove_on_delete: bool,
    /// The Segmentation was deleted, and the namespace is about to be forgotten.
    pub leaving: bool,
    /// Why break-glass is on; `None`: it is off.
    pub break_glass: Option<String>,
    /// Violations that the record has a line of, as earlier versions kept them: each connection by itself.
    #[serde(
        default,
        deserialize_with = "legacy::connections",
        skip_serializing_if = "BTreeSet::is_empty"
    )]
    pub violations: BTreeSet<Connection>,
    /// Violations that the record has a line of, by kind.
    #[serde(default)]
    pub ledger: ViolationLedger,
    /// It was enforced at some time.
    #[serde(default)]
    pub was_enforced: bool,
}

impl KeptSegment {
    /// The number of violations: what every page, metric and report shows (rule: violations-are-counted-by-kind).
    pub fn violations(&self) -> usize {
        self.violations.len() + self.ledger.standing()
    }
}

/// The state of everything that is reviewed.
pub struct EngineState {
    states: BTreeMap<WorkloadId, WorkloadState>,
    pub segments: BTreeMap<String, SegmentState>,
    /// Workloads whose stored review was altered, and how, until a policy of theirs is approved.
    pub altered: BTreeMap<WorkloadId, String>,
    pub memories: Memories,
    /// Results of decisions, by UID.
    pub decided: BTreeMap<String, DecisionResult>,
    chain: Chain,
    entries: Vec<Entry>,
    decisions: Vec<StoredDecision>,
    /// Break-glass log entries whose line of the record is not committed yet.
    recorded_break_glass: Vec<(String, Timestamp)>,
    /// Reviews that ended and are not committed yet.
    ended: Vec<WorkloadState>,
    /// Workloads whose state may differ from the stored one.
    touched: BTreeSet<WorkloadId>,
    /// Namespaces with changes that may not be published yet.
    unpublished: BTreeSet<String>,
    stored_segments: BTreeMap<String, (Timestamp, String)>,
    /// The directions that no proposal isolates, as of the last cycle that looked at each workload.
    open: OpenDirections,
}

impl EngineState {
    /// # Errors
    /// If the store holds something that this version cannot read.
    ///
    /// `head`: what the next line of the record follows.
    pub fn load(loaded: Loaded, head: Head) -> Result<EngineState, StateError> {
        let mut states = BTreeMap::new();
        for (workload, body) in loaded.reviews {
            let state: WorkloadState =
                serde_json::from_str(&body).map_err(|source| StateError::Review {
                    workload: workload.clone(),
                    source,
                })?;
            states.insert(workload, state);
        }
        let mut segments = BTreeMap::new();
        let mut stored_segments = BTreeMap::new();
        for StoredSegment {
            namespace,
            observing_since,
            body,
        } in loaded.segments
        {
            let kept = serde_json::from_str(&body).map_err(|source| StateError::Segment {
                namespace: namespace.clone(),
                source,
            })?;
            stored_segments.insert(namespace.clone(), (observing_since, body));
            segments.insert(
                namespace,
                SegmentState {
                    observing_since,
                    kept,
                    segment: None,
                },
            );
        }
        let mut answers = BTreeMap::new();
        for decision in loaded.decisions {
            let answer = serde_json::from_str(&decision.body);
            let answer = answer.map_err(|source| StateError::Decision {
                name: decision.name,
                source,
            })?;
            answers.insert(decision.uid, answer);
        }
        Ok(EngineState {
            states,
            segments,
            altered: BTreeMap::new(),
            memories: Memories::load(loaded.memories)?,
            decided: answers,
            chain: Chain::after(head),
            entries: Vec::new(),
            decisions: Vec::new(),
            recorded_break_glass: Vec::new(),
            ended: Vec::new(),
            touched: BTreeSet::new(),
            unpublished: BTreeSet::new(),
            stored_segments,
            open: OpenDirections::default(),
        })
    }

    /// The end of the record on the disk.
    pub fn record_head(&self) -> &Head {
        self.chain.head()
    }

    /// Adds a line to the record with the next commit.
    pub fn note(&mut self, entry: Entry) {
        self.unpublished.insert(entry.namespace.clone());
        self.entries.push(entry);
    }

    /// Notes which directions no proposal isolates, of these workloads or of all.
    pub fn note_open(&mut self, only: Option<&BTreeSet<WorkloadId>>, open: &OpenDirections) {
        self.open
            .retain(|id, _| only.is_some_and(|only| !only.contains(id)));
        self.open.merge(open.clone());
    }

    /// Returns the directions that no proposal isolates.
    pub fn open_directions(&self) -> &OpenDirections {
        &self.open
    }

    /// Marks an entry of the break-glass log as recorded: its line was added, or none is needed.
    pub fn recorded_break_glass(&mut self, namespace: &str, at: Timestamp) {
        self.recorded_break_glass.push((namespace.to_owned(), at));
    }

    /// Changes a workload's state, if there is one, and keeps the lines that this adds to the record.
    pub fn change<T>(
        &mut self,
        workload: &WorkloadId,
        change: impl FnOnce(&mut WorkloadState, &mut Vec<Entry>) -> T,
    ) -> Option<T> {
        let state = self.states.get_mut(workload)?;
        self.unpublished.insert(workload.namespace.clone());
        self.touched.insert(workload.clone());
        Some(change(state, &mut self.entries))
    }

    /// Puts another state in the place of a workload's, if it differs.
    pub fn replace(&mut self, workload: &WorkloadId, state: WorkloadState) {
        if self.states.get(workload) != Some(&state) {
            self.unpublished.insert(workload.namespace.clone());
            self.touched.insert(workload.clone());
            self.states.insert(workload.clone(), state);
        }
    }

    /// Returns why break-glass is on, by namespace.
    pub fn break_glass_reasons(&self) -> BTreeMap<String, String> {
        let segments = self.segments.iter();
        let reasons = segments.filter_map(|(namespace, segment)| {
            Some((namespace.clone(), segment.kept.break_glass.clone()?))
        });
        reasons.collect()
    }

    /// Returns the service enforcement of each segmented namespace, with `default` where none is set.
    pub fn service_enforcements(&self, default: Option<EnforcedPorts>) -> ServiceEnforcements {
        let segments = self.segments.values();
        service_enforcements(default, segments.filter_map(|state| state.segment.as_ref()))
    }

    /// Returns the state of all workloads that ever had a proposal.
    pub fn states(&self) -> &BTreeMap<WorkloadId, WorkloadState> {
        &self.states
    }

    /// Returns those of one namespace, in order.
    pub fn states_of(&self, namespace: &str) -> impl Iterator<Item = &WorkloadState> {
        let first = WorkloadId {
            namespace: namespace.to_owned(),
            name: String::new(),
            kind: String::new(),
        };
        let from = self.states.range(first..).map(|(_, state)| state);
        from.take_while(move |state| state.workload.namespace == namespace)
    }

    /// Returns the workloads whose state may differ from the stored one.
    pub fn touched(&self) -> &BTreeSet<WorkloadId> {
        &self.touched
    }

    /// Marks a namespace as changed, so that it is published.
    pub fn mark_unpublished(&mut self, namespace: &str) {
        if !self.unpublished.contains(namespace) {
            self.unpublished.insert(namespace.to_owned());
        }
    }

    /// Returns the namespaces that were marked as changed since the last call.
    pub fn take_unpublished(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.unpublished)
    }

    /// Begins a workload's review.
    pub fn begin(&mut self, state: WorkloadState) {
        self.unpublished.insert(state.workload.namespace.clone());
        self.touched.insert(state.workload.clone());
        self.states.insert(state.workload.clone(), state);
    }

    /// Ends a workload's review. It is removed here and kept in the store for reports.
    pub fn end(&mut self, workload: &WorkloadId) {
        self.unpublished.insert(workload.namespace.clone());
        self.touched.insert(workload.clone());
        self.ended.extend(self.states.remove(workload));
    }

    /// Keeps the result of a decision.
    pub fn decided(&mut self, decision: &ProposalDecision, answer: DecisionResult, at: Timestamp) {
        let uid = decision.metadata.uid.clone().unwrap_or_default();
        let (namespace, name) = key_of(&decision.metadata);
        self.decisions.push(StoredDecision {
            uid: uid.clone(),
            namespace,
            name,
            at,
            outcome: match answer.outcome {
                DecisionOutcome::Accepted => "accepted".into(),
                DecisionOutcome::Refused => "refused".into(),
            },
            body: serde_json::to_string(&answer).unwrap_or_default(),
        });
        self.decided.insert(uid, answer);
    }

    /// Writes everything new to the disk, all of it or nothing. Returns the new entries of the record.
    ///
    /// # Errors
    /// If the disk refuses: then the next commit tries it again.
    pub fn commit(
        &mut self,
        store: &mut ReviewStore,
        now: Timestamp,
    ) -> Result<Vec<RecordLine>, ReviewStoreError> {
        let mut chain = self.chain.clone();
        let lines: Vec<RecordLine> = self
            .entries
            .iter()
            .cloned()
            .map(|entry| chain.append(entry, now))
            .collect();
        let segments = self.changed_segments();
        let removed_segments: Vec<String> = self
            .stored_segments
            .keys()
            .filter(|ns| !self.segments.contains_key(*ns))
            .cloned()
            .collect();
        let commit = Commit {
            reviews: self.touched_reviews(),
            ended_reviews: self.ended_reviews(now),
            segments: segments.clone(),
            removed_segments: removed_segments.clone(),
            decisions: self.decisions.clone(),
            recorded_break_glass: self.recorded_break_glass.clone(),
            memories: self.memories.to_store(),
            record_lines: lines
                .iter()
                .map(|line| (line.sequence, to_line(line)))
                .collect(),
            ..Commit::default()
        };
        if commit.is_empty() {
            return Ok(lines);
        }
        store.commit(&commit)?;
        self.chain = chain;
        let approved = lines.iter().filter(|line| line.entry.action.is_approval());
        for RecordLine { entry, .. } in approved {
            let states = &self.states;
            self.altered.retain(|id, _| {
                let policy = states.get(id).map(|state| &state.policy_name);
                id.namespace != entry.namespace || policy != Some(&entry.object)
            });
        }
        self.memories.stored();
        self.entries.clear();
        self.decisions.clear();
        self.recorded_break_glass.clear();
        self.ended.clear();
        self.touched.clear();
        for namespace in removed_segments {
            self.stored_segments.remove(&namespace);
        }
        let kept = segments
            .into_iter()
            .map(|s| (s.namespace, (s.observing_since, s.body)));
        self.stored_segments.extend(kept);
        Ok(lines)
    }

    fn ended_reviews(&self, now: Timestamp) -> Vec<EndedReview> {
        let ended = self.ended.iter();
        ended
            .filter_map(|state| {
                Some(EndedReview {
                    workload: state.workload.clone(),
                    ended_at: now,
                    body: serde_json::to_string(state).ok()?,
                })
            })
            .collect()
    }

    fn touched_reviews(&self) -> Vec<(WorkloadId, String)> {
        let states = self
            .touched
            .iter()
            .filter_map(|id| Some((id, self.states.get(id)?)));
        states
            .filter_map(|(id, state)| Some((id.clone(), serde_json::to_string(state).ok()?)))
            .collect()
    }

    fn changed_segments(&self) -> Vec<StoredSegment> {
        let bodies = self.segments.iter().filter_map(|(namespace, segment)| {
            Some(StoredSegment {
                namespace: namespace.clone(),
                observing_since: segment.observing_since,
                body: serde_json::to_string(&segment.kept).ok()?,
            })
        });
        bodies
            .filter(|new| {
                let stored = self.stored_segments.get(&new.namespace);
                stored
                    .is_none_or(|(since, body)| (*since, body) != (new.observing_since, &new.body))
            })
            .collect()
    }
}
