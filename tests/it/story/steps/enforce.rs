//! Steps 5 and 6: approved policies are enforced and kept.

use super::learn::{LEARNED, set_mode};
use crate::story::connections::{Attempt, Edge, NEVER, attempts, truth};
use crate::story::telling::Telling;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use std::time::{Duration, Instant};

/// The time that kube-router may need for a change.
const ENFORCED: Duration = Duration::from_secs(20);

pub fn what_was_approved_is_enforced_and_nothing_else_works(telling: &Telling) {
    set_mode(telling, "Enforce");
    let begun = Instant::now();
    telling.until("all policies", async || match telling.policies().await? {
        policies if policies.len() == LEARNED.len() => Ok(()),
        policies => Err(format!("{:?}", policies.keys())),
    });
    telling.say(&format!(
        "all policies are written after {:.2?}",
        begun.elapsed()
    ));
    telling.shop.start_batch("batch-2");
    let blocked = never_observed_is(telling, false);
    let worked = observed_works(telling);
    telling.shop.await_batch("batch-2");
    telling.say(&format!(
        "{worked} observed ways work, {blocked} never observed are blocked, batch still runs"
    ));
}

/// Attempts every observed connection in every way, except those of `batch`, which has no pod now. Returns their number.
pub fn observed_works(telling: &Telling) -> usize {
    let edges = truth().0;
    let edges: Vec<Edge> = edges
        .into_iter()
        .filter(|edge| edge.client != "shop/batch")
        .collect();
    all_are(telling, &edges, true)
}

/// Attempts every connection that was never observed in every way, until it fails. Returns their number.
pub fn never_observed_is(telling: &Telling, open: bool) -> usize {
    let edge = |(client, server, protocol, port): (&str, &str, &str, u16)| Edge {
        client: client.to_owned(),
        server: server.to_owned(),
        protocol: protocol.to_owned(),
        port,
    };
    let edges: Vec<Edge> = NEVER.into_iter().map(edge).collect();
    all_are(telling, &edges, open)
}

fn all_are(telling: &Telling, edges: &[Edge], open: bool) -> usize {
    let attempts = edges
        .iter()
        .flat_map(|edge| attempts(telling.cluster, &telling.shop, edge));
    let attempts: Vec<Attempt> = attempts.collect();
    let deadline = Instant::now() + ENFORCED;
    let check = |attempt: &Attempt| {
        let left = deadline.saturating_duration_since(Instant::now());
        attempt.until(open, left).err()
    };
    let wrong: Vec<String> = attempts.iter().filter_map(check).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    attempts.len()
}

pub fn what_somebody_edits_and_deletes_is_repaired(telling: &Telling) {
    let namespace = telling.shop.namespace("shop");
    let before = policy(telling, "nanoseg-app").expect("it is there");
    let open = r#"{"spec": {"ingress": [{}], "egress": [{}]}}"#;
    let patch = [
        "patch",
        "networkpolicy",
        "nanoseg-app",
        "-n",
        &namespace,
        "--type=merge",
        "-p",
        open,
    ];
    let delete = ["delete", "networkpolicy", "nanoseg-app", "-n", &namespace];
    telling.first_edit.get_or_init(jiff::Timestamp::now);
    for (what, change) in [("edited", &patch[..]), ("deleted", &delete[..])] {
        let changed = telling.cluster.kubectl(change);
        assert!(changed.status.success(), "{changed:?}");
        let begun = Instant::now();
        telling.until("the policy to be as it was", async || {
            let now = policy(telling, "nanoseg-app")?;
            let same = now.spec == before.spec && now.labels() == before.labels();
            same.then_some(()).ok_or_else(|| format!("{now:#?}"))
        });
        telling.say(&format!(
            "a policy that was {what} is back after {:.2?}",
            begun.elapsed()
        ));
    }
    telling.until("Events of the repair", async || {
        let get = [
            "get",
            "events",
            "-n",
            &namespace,
            "-o",
            "jsonpath={.items[*].reason}",
        ];
        let output = telling.cluster.kubectl(&get);
        let reasons = String::from_utf8_lossy(&output.stdout).into_owned();
        // A leader that was killed meanwhile may have sent no Event; the record has the repair.
        let told = reasons.contains("DriftRepaired") || !telling.calm;
        told.then_some(()).ok_or(reasons)
    });
    observed_works(telling);
}

fn policy(telling: &Telling, name: &str) -> Result<NetworkPolicy, String> {
    let namespace = telling.shop.namespace("shop");
    let get = ["get", "networkpolicy", name, "-n", &namespace, "-o", "json"];
    let output = telling.cluster.kubectl(&get);
    if output.status.success() {
        serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
