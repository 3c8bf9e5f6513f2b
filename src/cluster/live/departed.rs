//! Pods that are gone, or that lost an address. They are kept for a while: flow records of their time may
//! arrive later, and their labels still count (rule: owner-at-that-time, selector-is-exact).
//!
//! `inventory` reads the end of a pod's tenure from the pod itself: the time when its containers ended,
//! otherwise its `deletionTimestamp`. So a kept pod gets there the time when it really lost its addresses.

use crate::inventory::kubernetes::Pod;
use crate::net::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A pod that is gone. Numbers grow with each departure and are never used again.
#[derive(Debug, Clone, PartialEq)]
pub struct Departure {
    pub number: u64,
    pub pod: Arc<Pod>,
}

/// The pods that are gone. The current time is an argument.
#[derive(Debug)]
pub struct Departed {
    /// How long a pod is kept after it lost its addresses, in nanoseconds.
    retention: i64,
    /// The most pods that are kept; the ones that left first are dropped first.
    most: usize,
    next: u64,
    kept: BTreeMap<u64, Arc<Pod>>,
    /// The numbers of the kept pods, by [`identity`].
    numbers: BTreeMap<String, u64>,
    /// Restored pods that existed when they were saved: they are gone unless the first list contains them.
    expected: BTreeMap<String, Pod>,
    /// The time since which pods have addresses that they did not start with, by uid.
    readdressed: BTreeMap<String, Time>,
    forgotten: u64,
}

impl Departed {
    /// `retention` is in nanoseconds; at most `most` pods are kept.
    pub fn new(retention: i64, most: usize) -> Departed {
        Departed {
            retention,
            most,
            next: 1,
            kept: BTreeMap::new(),
            numbers: BTreeMap::new(),
            expected: BTreeMap::new(),
            readdressed: BTreeMap::new(),
            forgotten: 0,
        }
    }

    /// All kept pods, in the order in which they left.
    pub fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.kept.values()
    }

    /// The pods that left after number `after`, in order.
    pub fn since(&self, after: u64) -> Vec<Departure> {
        let later = self.kept.range(after.saturating_add(1)..);
        later
            .map(|(number, pod)| Departure {
                number: *number,
                pod: pod.clone(),
            })
            .collect()
    }

    /// How many pods were dropped early because there were too many.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Records that a pod exists, new or changed; `old` is the earlier object of that name. May correct `new`,
    /// so that its tenure is right.
    pub fn arrived(&mut self, old: Option<&Pod>, new: &mut Pod, now: Timestamp) {
        if let Some(old) = old {
            if old.metadata.uid != new.metadata.uid {
                self.left(Some(old), old.clone(), now);
            } else {
                self.readdress(old, new, now);
            }
        }
        self.correct_start(new);
        close(
            new,
            old.filter(|old| old.metadata.uid == new.metadata.uid),
            now,
        );
    }

    /// Records that a pod is gone: `last` is its last known state, `old` what was known before.
    pub fn left(&mut self, old: Option<&Pod>, last: Pod, now: Timestamp) {
        let mut pod = last;
        if addresses(&pod).is_empty()
            && let Some(old) = old
        {
            let deletion = pod.metadata.deletion_timestamp.take();
            pod = old.clone();
            pod.metadata.deletion_timestamp = deletion.or(pod.metadata.deletion_timestamp);
        }
        self.correct_start(&mut pod);
        if let Some(uid) = &pod.metadata.uid {
            self.readdressed.remove(uid);
        }
        end(&mut pod, now);
        self.keep(pod);
    }

    /// Records that the first list, or another complete one, was read: restored pods that are not in it are
    /// gone.
    pub fn listed(&mut self, is_there: impl Fn(&Pod) -> bool, now: Timestamp) {
        for (_, mut pod) in std::mem::take(&mut self.expected) {
            if !is_there(&pod) {
                end(&mut pod, now);
                self.keep(pod);
            }
        }
    }

    /// Restores what [`Self::pods`] returned in an earlier process, and the pods that existed then: those
    /// without an end are kept when the next complete list does not contain them.
    pub fn restore(&mut self, pods: Vec<Pod>) {
        for pod in pods {
            if end_of(&pod).is_some() {
                self.keep(pod);
            } else {
                self.expected.insert(identity(&pod), pod);
            }
        }
    }

    /// Drops the pods that were kept for the whole retention time. Returns true if any was dropped.
    pub fn expire(&mut self, now: Timestamp) -> bool {
        let before = self.kept.len();
        let retention = self.retention;
        self.kept
            .retain(|_, pod| end_of(pod).is_none_or(|end| end.plus_nanos(retention) > now));
        if self.kept.len() == before {
            return false;
        }
        let kept: BTreeSet<u64> = self.kept.keys().copied().collect();
        self.numbers.retain(|_, number| kept.contains(number));
        true
    }

    /// Keeps the pod as it was with the addresses that it lost, under another uid: the inventory takes two pods
    /// of one uid for versions of one pod. While its node boots again a pod has none, and a pod that is over may lose
    /// its own before its object is gone.
    fn readdress(&mut self, old: &Pod, new: &Pod, now: Timestamp) {
        let before = addresses(old);
        if before.is_empty() || before == addresses(new) {
            return;
        }
        let up = sandbox_up(new).unwrap_or(now).min(now);
        let mut past = old.clone();
        let given_up: Vec<&str> = before.iter().map(String::as_str).collect();
        let uid = old.metadata.uid.clone().unwrap_or_default();
        past.metadata.uid = Some(format!("{uid}@{}", given_up.join(",")));
        end(
            &mut past,
            finished(new).filter(|_| is_over(new)).unwrap_or(now),
        );
        self.keep(past);
        let made = up.plus_secs(-SANDBOX_MADE);
        self.readdressed.insert(uid, time(made));
    }

    /// A pod with new addresses has them since it got them, not since it started.
    fn correct_start(&self, pod: &mut Pod) {
        let since = pod
            .metadata
            .uid
            .as_ref()
            .and_then(|uid| self.readdressed.get(uid));
        if let (Some(since), Some(status)) = (since, &mut pod.status) {
            status.start_time = Some(since.clone());
        }
    }

    fn keep(&mut self, pod: Pod) {
        if addresses(&pod).is_empty() {
            return;
        }
        let identity = identity(&pod);
        if let Some(number) = self.numbers.remove(&identity) {
            self.kept.remove(&number);
        }
        self.numbers.insert(identity, self.next);
        self.kept.insert(self.next, Arc::new(pod));
        self.next += 1;
        while self.kept.len() > self.most {
            let Some((number, _)) = self.kept.pop_first() else {
                break;
            };
            self.numbers.retain(|_, n| *n != number);
            self.forgotten += 1;
        }
    }
}

/// Returns a key that identifies a pod over time.
fn identity(pod: &Pod) -> String {
    let metadata = &pod.metadata;
    match &metadata.uid {
        Some(uid) => uid.clone(),
        None => format!(
            "{}/{}",
            metadata.namespace.as_deref().unwrap_or_default(),
            metadata.name.as_deref().unwrap_or_default()
        ),
    }
}

fn addresses(pod: &Pod) -> BTreeSet<String> {
    let Some(status) = &pod.status else {
        return BTreeSet::new();
    };
    let listed = status.pod_ips.iter().flatten().map(|ip| &ip.ip);
    listed
        .chain(&status.pod_ip)
        .filter(|ip| !ip.is_empty())
        .cloned()
        .collect()
}

fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The time when the last container ended, if all have ended.
fn finished(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.as_ref()?.container_statuses.as_deref()?;
    let times: Option<Vec<Timestamp>> = statuses
        .iter()
        .map(|status| {
            let terminated = status.state.as_ref()?.terminated.as_ref()?;
            Some(Timestamp::from(terminated.finished_at.as_ref()?.0))
        })
        .collect();
    times?.into_iter().max()
}

fn deletion(pod: &Pod) -> Option<Timestamp> {
    let at = pod.metadata.deletion_timestamp.as_ref()?;
    Some(Timestamp::from(at.0))
}

/// From when a pod's second sandbox is made until it is reported, or that the first one is gone, in seconds: the time of
/// a plugin and of the kubelet's loop (KEP-3085). What the pod sends meanwhile is its own.
const SANDBOX_MADE: i64 = 30;

/// When the network of a pod's second sandbox was reported to be up, or the first container of those that run in it
/// started. What ended ran in the first one.
fn sandbox_up(pod: &Pod) -> Option<Timestamp> {
    if addresses(pod).is_empty() {
        return None;
    }
    let status = pod.status.as_ref()?;
    let conditions = status.conditions.iter().flatten();
    let ready = conditions
        .filter(|c| c.type_ == "PodReadyToStartContainers" && c.status == "True")
        .filter_map(|c| c.last_transition_time.as_ref())
        .map(|t| Timestamp::from(t.0));
    let containers = status.container_statuses.iter().flatten();
    let running = containers
        .filter_map(|c| c.state.as_ref()?.running.as_ref()?.started_at.as_ref())
        .map(|t| Timestamp::from(t.0));
    ready.max().or(running.min())
}

/// The end of the pod's tenure as the inventory reads it (before it rounds up).
fn end_of(pod: &Pod) -> Option<Timestamp> {
    pod.status.as_ref()?;
    if !is_over(pod) && deletion(pod).is_none() {
        return None;
    }
    finished(pod).or(deletion(pod))
}

/// Sets the time at which a pod that is gone lost its addresses: the end of its containers if the pod has it,
/// otherwise now, or the end of its grace period if that was earlier.
fn end(pod: &mut Pod, now: Timestamp) {
    let exact = finished(pod).is_some();
    if exact && (is_over(pod) || deletion(pod).is_some()) {
        return;
    }
    let at = match deletion(pod) {
        Some(due) => due.min(now),
        None => now,
    };
    pod.metadata.deletion_timestamp = Some(time(at));
}

/// Sets the end of a pod that still exists and is over, but does not contain the time (an evicted pod has no
/// container statuses): the time when it last became not ready, or when it was first seen so.
fn close(pod: &mut Pod, old: Option<&Pod>, now: Timestamp) {
    if !is_over(pod) || end_of(pod).is_some() {
        return;
    }
    let known = old.and_then(end_of);
    let conditions = pod
        .status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten());
    let unready = conditions
        .filter(|c| c.status == "False")
        .filter_map(|c| c.last_transition_time.as_ref())
        .map(|t| Timestamp::from(t.0))
        .max();
    let at = known.or(unready).unwrap_or(now).min(now);
    pod.metadata.deletion_timestamp = Some(time(at));
}

/// Kubernetes times are truncated to the second.
fn time(at: Timestamp) -> Time {
    let seconds = at.nanos().div_euclid(1_000_000_000);
    Time(jiff::Timestamp::from_second(seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests;
