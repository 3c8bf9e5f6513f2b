//! Which pods there were in which snapshot, so that a pod that is gone in a later one is known to be gone
//! (rule: owner-at-that-time).

use super::Objects;
use super::owners::namespace_of;
use super::snapshots::{LastSeen, ListedPod, Snapshot, SnapshotMark};
use crate::kubernetes::Pod;
use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use nanoseg_net::Timestamp;
use std::collections::BTreeMap;

/// A key that identifies a pod over time.
pub(super) fn identity(metadata: &ObjectMeta) -> String {
    match metadata.uid.as_deref().filter(|uid| !uid.is_empty()) {
        Some(uid) => uid.to_owned(),
        None => format!(
            "{}/{}",
            namespace_of(metadata),
            metadata.name.as_deref().unwrap_or_default()
        ),
    }
}

impl Objects {
    /// The place before a list that is to be read. Forgets the heartbeats of earlier lists.
    pub fn mark(&mut self) -> SnapshotMark {
        self.heartbeat = None;
        SnapshotMark([
            self.pods.len(),
            self.nodes.len(),
            self.namespaces.len(),
            self.deployments.len(),
            self.replica_sets.len(),
            self.stateful_sets.len(),
            self.daemon_sets.len(),
            self.jobs.len(),
            self.cron_jobs.len(),
        ])
    }

    /// Notes which pods the list had that was read since `mark`.
    pub fn note_snapshot(&mut self, mark: SnapshotMark) {
        let [
            pods,
            nodes,
            namespaces,
            deployments,
            replicas,
            stateful,
            daemons,
            jobs,
            crons,
        ] = mark.0;
        let mut snapshot = Snapshot {
            shows: self.heartbeat,
            timed: self.heartbeat.is_some(),
            ..Snapshot::default()
        };
        for pod in self.pods.get(pods..).unwrap_or_default() {
            snapshot.shows = snapshot.shows.max(latest_time(pod));
            let namespace = namespace_of(&pod.metadata);
            snapshot.namespaces.insert(namespace.clone());
            let listed = snapshot.pods.entry(identity(&pod.metadata)).or_default();
            listed.namespace = namespace;
            listed.start = start_time(pod);
            listed.alive |= has_address(pod);
        }
        snapshot.note("Node", &self.nodes, nodes, false);
        snapshot.note("Namespace", &self.namespaces, namespaces, false);
        snapshot.note("Deployment", &self.deployments, deployments, true);
        snapshot.note("ReplicaSet", &self.replica_sets, replicas, true);
        snapshot.note("StatefulSet", &self.stateful_sets, stateful, true);
        snapshot.note("DaemonSet", &self.daemon_sets, daemons, true);
        snapshot.note("Job", &self.jobs, jobs, true);
        snapshot.note("CronJob", &self.cron_jobs, crons, true);
        if !snapshot.pods.is_empty() {
            self.lists.push(snapshot);
        }
    }

    /// When each pod was last seen, by [`identity`]. Pods of single objects are in no list and are never gone.
    pub(super) fn last_seen(&self) -> BTreeMap<&str, LastSeen> {
        let mut lists: Vec<&Snapshot> = self.lists.iter().collect();
        lists.sort_by_key(|list| list.shows);
        let mut seen: BTreeMap<&str, LastSeen> = BTreeMap::new();
        for (place, list) in lists.iter().enumerate() {
            for (pod, listed) in list.pods.iter().filter(|(_, listed)| listed.alive) {
                let later = lists.get(place + 1..).unwrap_or_default();
                // A list that is of a time after the pod's start and lacks it is of a time after its end, whatever
                // place its own times give it: they only say that it was taken then or later.
                let is_after_its_end =
                    |other: &&&Snapshot| listed.start.is_some() && listed.start <= other.shows;
                let earlier = lists.iter().take(place).filter(is_after_its_end);
                let without: Vec<&&Snapshot> = later
                    .iter()
                    .chain(earlier)
                    .filter(|other| other.lacks(pod, listed, list))
                    .collect();
                let known_as_later = |other: &&&Snapshot| {
                    other.shows > list.shows || list.timed && is_after_its_end(other)
                };
                let ordered = without.is_empty() || without.iter().any(known_as_later);
                let last = LastSeen {
                    at: list.shows,
                    timed: list.timed && ordered,
                    ordered,
                    gone: !without.is_empty(),
                };
                // A later list that has it replaces this.
                seen.insert(pod, last);
            }
        }
        seen
    }
}

impl Snapshot {
    fn note<K: Metadata<Ty = ObjectMeta>>(
        &mut self,
        kind: &str,
        all: &[K],
        from: usize,
        owns_pods: bool,
    ) {
        for object in all.get(from..).unwrap_or_default() {
            let metadata = object.metadata();
            let namespace = namespace_of(metadata);
            let name = metadata.name.as_deref().unwrap_or_default();
            self.others.insert(format!("{kind} {namespace}/{name}"));
            if owns_pods {
                self.namespaces.insert(namespace);
            }
        }
    }

    /// Returns true if this is a later view than `earlier` of the same part of the cluster, and the pod is not in it
    /// any more.
    fn lacks(&self, pod: &str, listed: &ListedPod, earlier: &Snapshot) -> bool {
        if let Some(known) = self.pods.get(pod) {
            return !known.alive;
        }
        let is_later_view = self.pods.keys().any(|pod| earlier.pods.contains_key(pod))
            || !self.others.is_disjoint(&earlier.others);
        // Lists of other namespaces are no later view of this one; but all of a namespace may be gone.
        let has_namespace = self.namespaces.contains(&listed.namespace)
            || self.namespaces.len() + 1 == earlier.namespaces.len()
                && self.namespaces.is_subset(&earlier.namespaces);
        is_later_view && has_namespace
    }
}

fn has_address(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(|status| {
        let over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        let listed = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str());
        !over
            && listed
                .chain(status.pod_ip.as_deref())
                .any(|ip| !ip.is_empty())
    })
}

fn start_time(pod: &Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref().and_then(|s| s.start_time.as_ref());
    let start = status.or(pod.metadata.creation_timestamp.as_ref());
    start.map(|time| Timestamp::from(time.0))
}

/// The latest time in a pod that has passed.
fn latest_time(pod: &Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref();
    let containers = status.into_iter().flat_map(|s| {
        s.container_statuses
            .iter()
            .chain(&s.init_container_statuses)
            .flatten()
    });
    let states = containers
        .filter_map(|status| status.state.as_ref())
        .flat_map(|state| {
            let running = state.running.as_ref().and_then(|r| r.started_at.as_ref());
            let ended = state
                .terminated
                .as_ref()
                .and_then(|t| t.finished_at.as_ref());
            [running, ended]
        });
    let conditions = status
        .into_iter()
        .flat_map(|s| s.conditions.iter().flatten());
    let all: Vec<&Time> = states
        .chain(conditions.map(|c| c.last_transition_time.as_ref()))
        .chain([
            status.and_then(|s| s.start_time.as_ref()),
            pod.metadata.creation_timestamp.as_ref(),
        ])
        .flatten()
        .collect();
    all.into_iter().map(|time| Timestamp::from(time.0)).max()
}
