//! The times when each policy was in force, and when break-glass was active, from the record.

use super::Event;
use nanoseg_inventory::WorkloadId;
use nanoseg_net::Timestamp;
use nanoseg_record::{Action, ActionKind, Keeping};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A time range in which a policy was in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Enforced {
    /// `namespace/name`.
    pub policy: String,
    /// The workload that it isolates; absent if only the record still contains the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadId>,
    pub from: Timestamp,
    /// Absent: the policy is still there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// The action that ended it: `deleted`, `break-glass-on`; or the action that began a lapse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<ActionKind>,
}

/// A time range in which an approved policy differed from its approval, or nanoseg did not enforce it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lapse {
    /// `namespace/name`.
    pub policy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadId>,
    pub from: Timestamp,
    /// Absent: the record has no end of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// The action that began it: `drift-given-up` (the policy was changed and not repaired), `mode-changed` or
    /// `segmentation-removed` (it was left in the cluster, and nanoseg did not enforce it).
    pub why: ActionKind,
}

/// A time range in which break-glass was active.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokenGlass {
    pub namespace: String,
    pub from: Timestamp,
    /// Absent: it is still active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// The value of the annotation.
    pub reason: String,
}

/// Returns the times when break-glass was active, from all events of the record, oldest first. Sorted.
pub fn broken_glass(events: &[Event]) -> Vec<BrokenGlass> {
    let mut all: Vec<BrokenGlass> = Vec::new();
    for event in events {
        let open = all
            .iter_mut()
            .find(|one| one.namespace == event.entry.namespace && one.to.is_none());
        match (&event.entry.action, open) {
            // A second reason while it is on is in the record alone.
            (Action::BreakGlassOn { why, .. }, None) => all.push(BrokenGlass {
                namespace: event.entry.namespace.clone(),
                from: event.when(),
                to: None,
                reason: why.clone(),
            }),
            (Action::BreakGlassOff, Some(open)) => open.to = Some(event.when().max(open.from)),
            _ => {}
        }
    }
    all.sort();
    all
}

/// The times when policies were in the cluster, by the record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeline {
    /// The times when each policy was in force. Sorted.
    pub enforced: Vec<Enforced>,
    /// The times when a policy differed from its approval, or was not enforced. Sorted.
    pub lapses: Vec<Lapse>,
}

/// Returns the times when policies were in force and when they were not, from all events of the record, oldest
/// first. `owners` has the workloads of policies, as far as they are known.
pub fn timeline(events: &[Event], owners: &BTreeMap<String, WorkloadId>) -> Timeline {
    let mut walk = Walk {
        owners,
        open: BTreeMap::new(),
        lapsed: BTreeMap::new(),
        done: Timeline::default(),
    };
    for event in events {
        walk.step(event);
    }
    for (policy, from) in std::mem::take(&mut walk.open) {
        walk.in_force(policy, from, None);
    }
    for (policy, lapse) in std::mem::take(&mut walk.lapsed) {
        walk.not_kept(policy, lapse, None);
    }
    walk.done.enforced.sort();
    walk.done.lapses.sort();
    walk.done
}

/// The time when a state began, and the action that began it.
type Begun = (Timestamp, ActionKind);

/// The state after the lines that were read so far, by policy.
struct Walk<'o> {
    owners: &'o BTreeMap<String, WorkloadId>,
    open: BTreeMap<String, Timestamp>,
    lapsed: BTreeMap<String, Begun>,
    done: Timeline,
}

impl Walk<'_> {
    fn step(&mut self, event: &Event) {
        let policy = format!("{}/{}", event.entry.namespace, event.entry.object);
        match event.entry.action.kind() {
            ActionKind::Applied | ActionKind::Adopted => self.begin(policy, event),
            // An unwanted policy is repaired by deleting it: only what was in force comes back.
            ActionKind::DriftRepaired if self.lapsed.contains_key(&policy) => {
                self.begin(policy, event);
            }
            ActionKind::DriftGivenUp => self.lapse(policy, event),
            ActionKind::Deleted => self.go(policy, event),
            ActionKind::BreakGlassOn => {
                for policy in self.of_namespace(event) {
                    self.go(policy, event);
                }
            }
            _ => self.keep(event),
        }
    }

    /// Records that enforcement of a namespace's policies ended, or began again.
    fn keep(&mut self, event: &Event) {
        let Some(keeping) = event.entry.action.keeping() else {
            return;
        };
        for policy in self.of_namespace(event) {
            let was_left = self.lapsed.get(&policy);
            let was_left = was_left.is_some_and(|(_, why)| *why == event.entry.action.kind());
            match keeping {
                Keeping::Ends => self.lapse(policy, event),
                Keeping::Begins if was_left => self.begin(policy, event),
                Keeping::Begins => {}
            }
        }
    }

    fn of_namespace(&self, event: &Event) -> BTreeSet<String> {
        let here = format!("{}/", event.entry.namespace);
        let known = self.open.keys().chain(self.lapsed.keys());
        known
            .filter(|name| name.starts_with(&here))
            .cloned()
            .collect()
    }

    /// Records that the policy is in the cluster as it was approved.
    fn begin(&mut self, policy: String, event: &Event) {
        if let Some(lapse) = self.lapsed.remove(&policy) {
            self.not_kept(policy.clone(), lapse, Some(event.when()));
        }
        self.open.entry(policy).or_insert(event.when());
    }

    /// Records that the policy was changed, or may have been changed unnoticed.
    fn lapse(&mut self, policy: String, event: &Event) {
        if let Some(from) = self.open.remove(&policy) {
            self.in_force(policy.clone(), from, Some(event));
            let begun = (event.when(), event.entry.action.kind());
            self.lapsed.entry(policy).or_insert(begun);
        }
    }

    /// Records that the policy is not in the cluster any more.
    fn go(&mut self, policy: String, event: &Event) {
        if let Some(lapse) = self.lapsed.remove(&policy) {
            self.not_kept(policy.clone(), lapse, Some(event.when()));
        }
        if let Some(from) = self.open.remove(&policy) {
            self.in_force(policy, from, Some(event));
        }
    }

    fn in_force(&mut self, policy: String, from: Timestamp, end: Option<&Event>) {
        self.done.enforced.push(Enforced {
            workload: self.owners.get(&policy).cloned(),
            policy,
            from,
            to: end.map(|event| event.when().max(from)),
            ended_by: end.map(|event| event.entry.action.kind()),
        });
    }

    fn not_kept(&mut self, policy: String, (from, why): Begun, to: Option<Timestamp>) {
        self.done.lapses.push(Lapse {
            workload: self.owners.get(&policy).cloned(),
            policy,
            from,
            to: to.map(|to| to.max(from)),
            why,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ActionKind::{
        Adopted, Applied, BreakGlassOff, BreakGlassOn, Deleted, DriftGivenUp, DriftRepaired,
        ModeChanged, SegmentationRemoved,
    };
    use nanoseg_record::{Actor, Entry, Mode, RemainingPolicies};

    fn of(secs: i64, action: Action, object: &str) -> Event {
        Event {
            sequence: 0,
            at: Timestamp::from_secs(secs),
            done: None,
            entry: Entry::new(action, Actor::Unknown, "shop", object),
        }
    }

    fn event(secs: i64, kind: ActionKind, object: &str) -> Event {
        let action = match kind {
            ActionKind::BreakGlassOn => Action::BreakGlassOn {
                why: "an outage".into(),
                policies: None,
                done: None,
            },
            ActionKind::BreakGlassOff => Action::BreakGlassOff,
            other => Action::Undetailed { action: other },
        };
        of(secs, action, object)
    }

    #[test]
    fn a_policy_is_in_force_from_its_first_write_until_it_goes() {
        let events = [
            event(1, Applied, "web"),
            event(2, Applied, "db"),
            event(3, Applied, "web"),
            event(4, Deleted, "web"),
            event(5, BreakGlassOn, "Segmentation/default"),
            event(6, Applied, "db"),
            event(7, Deleted, "never-there"),
        ];
        let text: Vec<String> = timeline(&events, &BTreeMap::new())
            .enforced
            .iter()
            .map(|one| {
                let secs = |at: Timestamp| at.secs_since(Timestamp::from_secs(0));
                format!(
                    "{} {} {:?} {:?}",
                    one.policy,
                    secs(one.from),
                    one.to.map(secs),
                    one.ended_by.map(ActionKind::name)
                )
            })
            .collect();
        assert_eq!(
            text,
            [
                "shop/db 2 Some(5) Some(\"break-glass-on\")",
                "shop/db 6 None None",
                "shop/web 1 Some(4) Some(\"deleted\")",
            ]
        );
    }

    /// The lapses of a record: policy, from, to, reason.
    fn lapses(events: &[Event]) -> Vec<(String, i64, Option<i64>, ActionKind)> {
        let secs = |at: Timestamp| at.secs_since(Timestamp::from_secs(0));
        let all = timeline(events, &BTreeMap::new()).lapses.into_iter();
        all.map(|one| (one.policy, secs(one.from), one.to.map(secs), one.why))
            .collect()
    }

    #[test]
    fn drift_that_is_left_ends_what_was_in_force_until_it_is_repaired() {
        let events = [
            event(1, Applied, "web"),
            event(2, DriftGivenUp, "web"),
            event(3, DriftGivenUp, "web"),
            event(4, DriftRepaired, "web"),
            event(5, DriftGivenUp, "web"),
            event(6, DriftRepaired, "shall-not-be"),
        ];
        let web = || "shop/web".to_owned();
        let expected = [
            (web(), 2, Some(4), DriftGivenUp),
            (web(), 5, None, DriftGivenUp),
        ];
        assert_eq!(lapses(&events), expected);
        let found = timeline(&events, &BTreeMap::new()).enforced;
        let ends: Vec<_> = found.iter().map(|one| one.ended_by).collect();
        assert_eq!(ends, [Some(DriftGivenUp); 2]);
    }

    #[test]
    fn what_nobody_keeps_is_not_in_force_until_somebody_keeps_it_again() {
        let (from, to) = (Mode::Enforce, Mode::Observe);
        let back = (Mode::Observe, Mode::Enforce);
        let removed = Action::SegmentationRemoved {
            policies: RemainingPolicies::Retained,
            deleted: None,
        };
        let mut events = vec![
            event(1, Applied, "web"),
            of(2, Action::ModeChanged { from, to }, "default"),
            of(
                3,
                Action::ModeChanged {
                    from: back.0,
                    to: back.1,
                },
                "default",
            ),
            of(4, removed, "default"),
        ];
        let web = || "shop/web".to_owned();
        let expected = [
            (web(), 2, Some(3), ModeChanged),
            (web(), 4, None, SegmentationRemoved),
        ];
        assert_eq!(lapses(&events), expected);
        events.push(event(5, Adopted, "web"));
        assert_eq!(lapses(&events)[1].2, Some(5));
        let found = timeline(&events, &BTreeMap::new()).enforced;
        assert_eq!((found.len(), found[2].to), (3, None));
    }

    #[test]
    fn a_break_glass_that_is_told_late_counts_from_when_it_was() {
        let mut events = [event(1, Applied, "web"), event(9, BreakGlassOn, "shop")];
        events[1].done = Some(Timestamp::from_secs(4));
        let found = timeline(&events, &BTreeMap::new()).enforced;
        assert_eq!(found[0].to, Some(Timestamp::from_secs(4)));
        assert_eq!(broken_glass(&events)[0].from, Timestamp::from_secs(4));
    }

    #[test]
    fn break_glass_is_on_until_it_is_off() {
        let events = [
            event(1, BreakGlassOn, "shop"),
            event(2, BreakGlassOn, "shop"),
            event(3, BreakGlassOff, "shop"),
            event(4, BreakGlassOff, "shop"),
            event(5, BreakGlassOn, "shop"),
        ];
        let secs = |at: Timestamp| at.secs_since(Timestamp::from_secs(0));
        let text: Vec<_> = broken_glass(&events)
            .iter()
            .map(|one| (secs(one.from), one.to.map(secs)))
            .collect();
        assert_eq!(text, [(1, Some(3)), (5, None)]);
    }
}
