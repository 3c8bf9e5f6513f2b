//! Pods that are gone, or that gave an address back, kept for a while: flow records of their time may come
//! later, and their labels still count (rule: owner-at-that-time, selector-is-exact).
//!
//! `inventory` reads the end of a pod's tenure from the pod itself: when its containers ended, else its
//! `deletionTimestamp`. So a kept pod is made to say there when it really lost its addresses.

use crate::inventory::kubernetes::Pod;
use crate::net::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A pod that is gone. Numbers grow with every departure and are never used twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Departure {
    pub number: u64,
    pub pod: Arc<Pod>,
}

/// The pods that are gone. Time is an argument.
#[derive(Debug)]
pub struct Departed {
    /// Nanoseconds for which a pod is kept after it lost its addresses.
    retention: i64,
    /// The most pods that are kept; the ones that left first go first.
    most: usize,
    next: u64,
    kept: BTreeMap<u64, Arc<Pod>>,
    /// The numbers of the kept ones by what [`identity`] says.
    numbers: BTreeMap<String, u64>,
    /// Restored pods that were there when they were saved: gone unless the first list has them.
    expected: BTreeMap<String, Pod>,
    /// Since when pods, by uid, have addresses that they did not start with.
    readdressed: BTreeMap<String, Time>,
    forgotten: u64,
}

impl Departed {
    /// `retention` in nanoseconds; at most `most` pods are kept.
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

    /// All that are kept, in the order in which they left.
    pub fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.kept.values()
    }

    /// Those that left after number `after`, in order.
    pub fn since(&self, after: u64) -> Vec<Departure> {
        let later = self.kept.range(after.saturating_add(1)..);
        later
            .map(|(number, pod)| Departure {
                number: *number,
                pod: pod.clone(),
            })
            .collect()
    }

    /// How many were dropped before their time because there were too many.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// A pod is there, new or changed; `old` is what was known of that name. May correct `new`, so that
    /// its tenure is told right.
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

    /// A pod is gone: `last` is what was last seen of it, `old` what was known before.
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

    /// The first list, or another complete one, is read: restored pods that are not in it are gone.
    pub fn listed(&mut self, is_there: impl Fn(&Pod) -> bool, now: Timestamp) {
        for (_, mut pod) in std::mem::take(&mut self.expected) {
            if !is_there(&pod) {
                end(&mut pod, now);
                self.keep(pod);
            }
        }
    }

    /// Takes back what [`Self::pods`] gave out in an earlier life, and pods that were there then: those
    /// without an end are kept when the next complete list does not have them.
    pub fn restore(&mut self, pods: Vec<Pod>) {
        for pod in pods {
            if end_of(&pod).is_some() {
                self.keep(pod);
            } else {
                self.expected.insert(identity(&pod), pod);
            }
        }
    }

    /// Drops those whose time is over. Says whether any was dropped.
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

    /// Keeps the pod as it was with the addresses that it has no more, under a uid of its own: to the
    /// inventory, two of one uid are versions of one pod.
    fn readdress(&mut self, old: &Pod, new: &Pod, now: Timestamp) {
        let before = addresses(old);
        let after = addresses(new);
        if before.is_empty() || before == after || after.is_empty() {
            return;
        }
        let mut past = old.clone();
        let given_up: Vec<&str> = before.iter().map(String::as_str).collect();
        let uid = old.metadata.uid.clone().unwrap_or_default();
        past.metadata.uid = Some(format!("{uid}@{}", given_up.join(",")));
        end(&mut past, now);
        self.keep(past);
        self.readdressed.insert(uid, time(now));
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

/// What tells pods apart over time.
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

/// When the last container ended, if all have.
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

/// When the inventory takes the pod's tenure to end (but for its rounding up).
fn end_of(pod: &Pod) -> Option<Timestamp> {
    pod.status.as_ref()?;
    if !is_over(pod) && deletion(pod).is_none() {
        return None;
    }
    finished(pod).or(deletion(pod))
}

/// Makes a pod that is gone say when it lost its addresses: when its containers ended if it says so, else
/// now, or when its grace period was over if that was earlier.
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

/// A pod that is there and over, but does not say since when (an evicted one has no container statuses):
/// since it was last not ready, or since it was first seen so.
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

/// Kubernetes times are cut to the second.
fn time(at: Timestamp) -> Time {
    let seconds = at.nanos().div_euclid(1_000_000_000);
    Time(jiff::Timestamp::from_second(seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests;
