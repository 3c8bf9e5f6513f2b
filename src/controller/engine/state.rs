//! The engine's memory of reviews: what the store has, what is new since, and the chain of the record.
//! Nothing of it reaches the cluster before [`EngineState::commit`] has put it on the disk.

use crate::controller::pending_writes::key_of;
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::review::record::{Chain, Draft, Entry, Head, parse_line, to_line};
use crate::review::resources::{DecisionOutcome, ProposalDecision, ProposalDecisionSpec};
use crate::review::{SegmentationSettings, WorkloadState};
use crate::store::{
    Commit, EndedReview, Loaded, ReviewStore, ReviewStoreError, StoredDecision, StoredSegment,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// Why the engine_state cannot be read.
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
    #[error("failed to read the last line of the record: {0}; the store was damaged")]
    Record(String),
    #[error(transparent)]
    Store(#[from] ReviewStoreError),
}

/// What became of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionResult {
    pub spec: ProposalDecisionSpec,
    pub outcome: DecisionOutcome,
    pub message: Option<String>,
}

/// What is remembered of a segmented namespace.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentState {
    pub observing_since: Timestamp,
    pub kept: KeptSegment,
    /// As it is in the cluster now; `None` while it cannot be understood, or after it went.
    pub segment: Option<SegmentationSettings>,
}

/// What outlives the Segmentation object and the process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeptSegment {
    /// The mode, as a word; for telling that it changed.
    pub mode: String,
    /// Policies go with the Segmentation.
    pub remove_on_delete: bool,
    /// The Segmentation went, and its policies are to go too.
    pub leaving: bool,
    /// Why the glass is broken.
    pub break_glass: Option<String>,
    /// Violations that the record has a line of: client, server, port.
    #[serde(default)]
    pub violations: BTreeSet<String>,
}

/// Everything that is decided.
pub struct EngineState {
    states: BTreeMap<WorkloadId, WorkloadState>,
    pub segments: BTreeMap<String, SegmentState>,
    /// What became of decisions, by uid.
    pub decided: BTreeMap<String, DecisionResult>,
    chain: Chain,
    drafts: Vec<Draft>,
    decisions: Vec<StoredDecision>,
    /// Glasses that were broken and that the store is not told of yet.
    recorded_break_glass: Vec<(String, Timestamp)>,
    /// States that ended and that the store does not know of yet.
    ended: Vec<WorkloadState>,
    /// Workloads whose state may differ from what the store has.
    touched: BTreeSet<WorkloadId>,
    /// Namespaces of which something may have changed since it was last published.
    unpublished: BTreeSet<String>,
    stored_segments: BTreeMap<String, (Timestamp, String)>,
}

impl EngineState {
    /// # Errors
    /// If the store holds what this program does not understand.
    pub fn load(loaded: Loaded) -> Result<EngineState, StateError> {
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
        let chain = match loaded.record_head {
            None => Chain::default(),
            Some((_, line)) => {
                let entry = parse_line(&line).map_err(|e| StateError::Record(e.to_string()))?;
                Chain::after(Head {
                    sequence: entry.sequence,
                    digest: entry.digest,
                })
            }
        };
        Ok(EngineState {
            states,
            segments,
            decided: answers,
            chain,
            drafts: Vec::new(),
            decisions: Vec::new(),
            recorded_break_glass: Vec::new(),
            ended: Vec::new(),
            touched: BTreeSet::new(),
            unpublished: BTreeSet::new(),
            stored_segments,
        })
    }

    /// Notes a line for the record.
    pub fn note(&mut self, draft: Draft) {
        self.unpublished.insert(draft.namespace.clone());
        self.drafts.push(draft);
    }

    /// The line of a glass that was broken is among those noted, or none is due.
    pub fn recorded_break_glass(&mut self, namespace: &str, at: Timestamp) {
        self.recorded_break_glass.push((namespace.to_owned(), at));
    }

    /// Changes a workload's state, if there is one; what it says for the record is kept.
    pub fn change<T>(
        &mut self,
        workload: &WorkloadId,
        change: impl FnOnce(&mut WorkloadState, &mut Vec<Draft>) -> T,
    ) -> Option<T> {
        let state = self.states.get_mut(workload)?;
        self.unpublished.insert(workload.namespace.clone());
        self.touched.insert(workload.clone());
        Some(change(state, &mut self.drafts))
    }

    /// Why the glass of namespaces is broken.
    pub fn broken(&self) -> BTreeMap<String, String> {
        let segments = self.segments.iter();
        let broken = segments.filter_map(|(namespace, segment)| {
            Some((namespace.clone(), segment.kept.break_glass.clone()?))
        });
        broken.collect()
    }

    /// All workloads that were ever proposed for.
    pub fn states(&self) -> &BTreeMap<WorkloadId, WorkloadState> {
        &self.states
    }

    /// Those of one namespace, in order.
    pub fn states_of(&self, namespace: &str) -> impl Iterator<Item = &WorkloadState> {
        let first = WorkloadId {
            namespace: namespace.to_owned(),
            name: String::new(),
            kind: String::new(),
        };
        let from = self.states.range(first..).map(|(_, state)| state);
        from.take_while(move |state| state.workload.namespace == namespace)
    }

    /// The workloads whose state may differ from what the store has.
    pub fn touched(&self) -> &BTreeSet<WorkloadId> {
        &self.touched
    }

    /// Something of a namespace may have changed that the cluster is to be told of.
    pub fn mark_unpublished(&mut self, namespace: &str) {
        if !self.unpublished.contains(namespace) {
            self.unpublished.insert(namespace.to_owned());
        }
    }

    /// The namespaces of which something may have changed since this was last asked.
    pub fn take_unpublished(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.unpublished)
    }

    /// Begins a workload's review.
    pub fn begin(&mut self, state: WorkloadState) {
        self.unpublished.insert(state.workload.namespace.clone());
        self.touched.insert(state.workload.clone());
        self.states.insert(state.workload.clone(), state);
    }

    /// Ends a workload's review: nothing of it is kept here, and in the store only for reports.
    pub fn end(&mut self, workload: &WorkloadId) {
        self.unpublished.insert(workload.namespace.clone());
        self.touched.insert(workload.clone());
        self.ended.extend(self.states.remove(workload));
    }

    /// A decision was carried out, or refused.
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

    /// Puts everything that is new on the disk, all of it or nothing. Tells the new lines of the record.
    ///
    /// # Errors
    /// If the disk refuses: then it is tried again with the next commit.
    pub fn commit(
        &mut self,
        store: &mut ReviewStore,
        now: Timestamp,
    ) -> Result<Vec<Entry>, ReviewStoreError> {
        let mut chain = self.chain.clone();
        let entries: Vec<Entry> = self
            .drafts
            .iter()
            .cloned()
            .map(|draft| chain.append(draft, now))
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
            record_lines: entries
                .iter()
                .map(|entry| (entry.sequence, to_line(entry)))
                .collect(),
            ..Commit::default()
        };
        if commit.is_empty() {
            return Ok(entries);
        }
        store.commit(&commit)?;
        self.chain = chain;
        self.drafts.clear();
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
        Ok(entries)
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
