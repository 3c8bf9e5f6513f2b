//! From the record: when which policy was in force, and when break-glass was on.

use super::Event;
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// One stretch of time in which a policy was in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Enforced {
    /// `namespace/name`.
    pub policy: String,
    /// The workload that it isolates; absent where nothing but the record knows of the policy any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadId>,
    pub from: Timestamp,
    /// Absent: it is still there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// What ended it: `deleted`, `break-glass-on`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<&'static str>,
}

/// One stretch of time in which break-glass was on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokenGlass {
    pub namespace: String,
    pub from: Timestamp,
    /// Absent: it still is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// As the annotation said.
    pub reason: String,
}

/// When break-glass was on, from all events of the record, oldest first. Sorted.
pub fn broken_glass(events: &[Event]) -> Vec<BrokenGlass> {
    let mut all: Vec<BrokenGlass> = Vec::new();
    for event in events {
        let open = all
            .iter_mut()
            .find(|one| one.namespace == event.namespace && one.to.is_none());
        match (event.action, open) {
            // A second reason while it is on is told by the record.
            ("break-glass-on", None) => all.push(BrokenGlass {
                namespace: event.namespace.clone(),
                from: event.at,
                to: None,
                reason: event.reason.clone(),
            }),
            ("break-glass-off", Some(open)) => open.to = Some(event.at),
            _ => {}
        }
    }
    all.sort();
    all
}

/// When policies were in force, from all events of the record, oldest first. Sorted. `owners` has the
/// workloads of policies, as far as they are known.
pub fn timeline(events: &[Event], owners: &BTreeMap<String, WorkloadId>) -> Vec<Enforced> {
    let mut open: BTreeMap<String, Timestamp> = BTreeMap::new();
    let mut done = Vec::new();
    let mut end = |policy: String, from, event: &Event| {
        done.push(Enforced {
            workload: owners.get(&policy).cloned(),
            policy,
            from,
            to: Some(event.at),
            ended_by: Some(event.action),
        });
    };
    for event in events {
        let policy = || format!("{}/{}", event.namespace, event.object);
        match event.action {
            "applied" | "adopted" => {
                open.entry(policy()).or_insert(event.at);
            }
            "deleted" => {
                let policy = policy();
                if let Some(from) = open.remove(&policy) {
                    end(policy, from, event);
                }
            }
            "break-glass-on" => {
                let here = format!("{}/", event.namespace);
                let gone: Vec<String> = open
                    .keys()
                    .filter(|name| name.starts_with(&here))
                    .cloned()
                    .collect();
                for policy in gone {
                    if let Some(from) = open.remove(&policy) {
                        end(policy, from, event);
                    }
                }
            }
            _ => {}
        }
    }
    done.extend(open.into_iter().map(|(policy, from)| Enforced {
        workload: owners.get(&policy).cloned(),
        policy,
        from,
        to: None,
        ended_by: None,
    }));
    done.sort();
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(secs: i64, action: &'static str, object: &str) -> Event {
        Event {
            sequence: 0,
            at: Timestamp::from_secs(secs),
            action,
            actor: String::new(),
            namespace: "shop".into(),
            object: object.into(),
            reason: String::new(),
        }
    }

    #[test]
    fn a_policy_is_in_force_from_its_first_write_until_it_goes() {
        let events = [
            event(1, "applied", "web"),
            event(2, "applied", "db"),
            event(3, "applied", "web"),
            event(4, "deleted", "web"),
            event(5, "break-glass-on", "Segmentation/default"),
            event(6, "applied", "db"),
            event(7, "deleted", "never-there"),
        ];
        let text: Vec<String> = timeline(&events, &BTreeMap::new())
            .iter()
            .map(|one| {
                let secs = |at: Timestamp| at.secs_since(Timestamp::from_secs(0));
                format!(
                    "{} {} {:?} {:?}",
                    one.policy,
                    secs(one.from),
                    one.to.map(secs),
                    one.ended_by
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

    #[test]
    fn break_glass_is_on_until_it_is_off() {
        let events = [
            event(1, "break-glass-on", "shop"),
            event(2, "break-glass-on", "shop"),
            event(3, "break-glass-off", "shop"),
            event(4, "break-glass-off", "shop"),
            event(5, "break-glass-on", "shop"),
        ];
        let secs = |at: Timestamp| at.secs_since(Timestamp::from_secs(0));
        let text: Vec<_> = broken_glass(&events)
            .iter()
            .map(|one| (secs(one.from), one.to.map(secs)))
            .collect();
        assert_eq!(text, [(1, Some(3)), (5, None)]);
    }
}
