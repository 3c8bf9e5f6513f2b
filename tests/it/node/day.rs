//! The day, step by step. Each step leaves the cluster in the state that the next one needs.

use super::cluster::RealCluster;
use super::install::{employ_olga, install, remove};
use super::life::{EVENTS, happens, job_by_hand, violations};
use super::long;
use super::shop::{NAMESPACES, WORKLOADS, allowed, everything_works, set_mode, truth};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
/// From the first packet to a proposal for each workload.
const LEARNED: Duration = Duration::from_secs(180);

/// Runs all steps in their order.
pub fn run(cluster: &RealCluster) {
    install(cluster);
    the_shop_opens(cluster);
    everything_is_proposed_and_nothing_else(cluster);
    olga_approves_and_it_is_enforced(cluster);
    ordinary_life_raises_no_alarm(cluster);
    what_nobody_needs_is_blocked_and_counted(cluster);
    the_glass_is_broken_and_mended(cluster);
    remove(cluster);
    everything_works(cluster, PATIENCE);
}

fn the_shop_opens(cluster: &RealCluster) {
    let shop = format!("{}/tests/it/node/shop.yaml", env!("CARGO_MANIFEST_DIR"));
    cluster.kubectl(&["apply", "-f", &shop]).good("the shop");
    let node = cluster.ready["nodes"]["node2"][0]
        .as_str()
        .expect("an address");
    let node = if node.contains(':') {
        format!("[{node}]")
    } else {
        node.to_owned()
    };
    let targets = format!("{node}:30080/tcp");
    cluster.tell(json!({"do": "call", "place": "outside", "targets": targets, "log": "customer"}));
    employ_olga(cluster);
    set_mode(cluster, "Observe");
    everything_works(cluster, PATIENCE);
    job_by_hand(cluster);
    cluster.say("the shop is open");
}

/// Returns the open proposals by workload.
fn proposals(cluster: &RealCluster) -> Result<Vec<(String, Value)>, String> {
    let all = cluster.get(&["policyproposals", "-A"])?;
    let open = all
        .into_iter()
        .filter(|one| one["status"]["phase"] == "Pending");
    Ok(open.map(|one| (workload(&one), one)).collect())
}

fn workload(proposal: &Value) -> String {
    let text = |path: &str| {
        proposal
            .pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    format!(
        "{}/{}",
        text("/metadata/namespace"),
        text("/spec/workload/name")
    )
}

fn everything_is_proposed_and_nothing_else(cluster: &RealCluster) {
    set_mode(cluster, "Propose");
    cluster.until(LEARNED, "proposal for each workload", || {
        let open = proposals(cluster)?;
        let there: BTreeSet<&str> = open.iter().map(|(name, _)| name.as_str()).collect();
        let wanted = BTreeSet::from(WORKLOADS);
        if there != wanted {
            let status = cluster.olga(&["status", "-n", "shop"]);
            let missing: Vec<_> = wanted.difference(&there).collect();
            return Err(format!("missing {missing:?}\n{}", status.stdout));
        }
        let policies = open
            .iter()
            .map(|(_, one)| policy_of(one))
            .collect::<Vec<_>>();
        let (allowed, truth) = (allowed(cluster, &policies), truth());
        let excess: Vec<_> = allowed.difference(&truth).collect();
        let missing: Vec<_> = truth.difference(&allowed).collect();
        let equal = excess.is_empty() && missing.is_empty();
        equal
            .then_some(())
            .ok_or_else(|| format!("missing {missing:#?}, too much {excess:#?}"))
    });
    cluster.say("proposed is what is true, and nothing else");
}

fn policy_of(proposal: &Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": proposal["metadata"]["namespace"], "name": proposal["spec"]["policyName"]},
        "spec": proposal["spec"]["policy"],
    })
}

fn approve_all(cluster: &RealCluster) {
    for namespace in NAMESPACES {
        let words = [
            "approve",
            "--all",
            "-n",
            namespace,
            "--reason",
            "as observed",
            "--yes",
            "--wait",
            "60s",
        ];
        // A proposal that changed meanwhile is refused, and asked about again.
        cluster.until(PATIENCE, "approval", || {
            let said = cluster.olga(&words);
            let open = proposals(cluster)?;
            let here = format!("{namespace}/");
            let left: Vec<_> = open
                .iter()
                .filter(|(name, _)| name.starts_with(&here))
                .collect();
            let none = left.is_empty();
            none.then_some(())
                .ok_or_else(|| format!("{} wait: {said:?}", left.len()))
        });
    }
}

fn olga_approves_and_it_is_enforced(cluster: &RealCluster) {
    approve_all(cluster);
    set_mode(cluster, "Enforce");
    cluster.until(PATIENCE, "policy for each workload", || {
        let count = policies(cluster)?;
        (count >= WORKLOADS.len())
            .then_some(())
            .ok_or_else(|| format!("{count} policies"))
    });
    everything_works(cluster, PATIENCE);
    cluster.say("everything is enforced, and works");
}

/// Returns the number of nanoseg's policies in the shop.
fn policies(cluster: &RealCluster) -> Result<usize, String> {
    let ours = [
        "networkpolicies",
        "-A",
        "-l",
        "app.kubernetes.io/managed-by=nanoseg",
    ];
    let all = cluster.get(&ours)?;
    let here = |one: &&Value| {
        NAMESPACES
            .iter()
            .any(|name| one["metadata"]["namespace"] == *name)
    };
    Ok(all.iter().filter(here).count())
}

fn ordinary_life_raises_no_alarm(cluster: &RealCluster) {
    for event in EVENTS {
        happens(cluster, event);
        nothing_is_amiss(cluster, event.0);
    }
    long::until_evening(cluster, nothing_is_amiss);
}

/// Checks that there is no violation, no proposal, and nothing that asks for Olga's attention.
fn nothing_is_amiss(cluster: &RealCluster, after: &str) {
    let (counted, told) = violations(cluster);
    assert_eq!((counted, &told[..]), (0, &[][..]), "after {after}");
    let open = proposals(cluster).expect("proposals");
    let asked: Vec<_> = open
        .iter()
        .map(|(name, one)| (name, &one["spec"]["review"]))
        .collect();
    assert!(asked.is_empty(), "after {after}: {asked:#?}");
    cluster.until(PATIENCE, "status without alarm", || {
        let status = cluster.olga(&["status", "-n", "shop", "-o", "json"]);
        let rows: Value =
            serde_json::from_str(&status.stdout).map_err(|e| format!("{e}: {}", status.stderr))?;
        let attention = &rows[0]["attention"];
        let none = attention.as_array().is_some_and(Vec::is_empty);
        none.then_some(())
            .ok_or_else(|| format!("after {after}: {attention}"))
    });
}

/// Lets a pod of a workload call somebody, once.
fn call(cluster: &RealCluster, from: &str, target: &str) -> bool {
    let pod = format!("deployment/{from}");
    let call = ["-call", target, "-times", "1", "-within", "4s"];
    let exec = ["exec", "-n", "shop", &pod, "--", "/workload"];
    cluster.kubectl(&[&exec[..], &call].concat()).code == 0
}

fn what_nobody_needs_is_blocked_and_counted(cluster: &RealCluster) {
    assert!(
        !call(cluster, "loadgen", "postgres:5432/tcp"),
        "it is blocked"
    );
    cluster.until(PATIENCE, "violation", || {
        let (counted, told) = violations(cluster);
        let named = told
            .iter()
            .any(|line| line.contains("shop/loadgen → shop/postgres 5432/TCP"));
        (counted > 0 && named)
            .then_some(())
            .ok_or_else(|| format!("{counted}: {told:?}"))
    });
    cluster.say("a forbidden connection is blocked, counted and named");
}

fn the_glass_is_broken_and_mended(cluster: &RealCluster) {
    let by = "nanoseg.dev/break-glass-by=admin";
    let annotate = |what: &str| {
        let words = ["annotate", "--overwrite", "namespace", "shop", what, by];
        cluster.kubectl(&words).good("the annotation");
    };
    annotate("nanoseg.dev/break-glass=the shop is down");
    cluster.until(PATIENCE, "open shop", || {
        let open = call(cluster, "loadgen", "postgres:5432/tcp");
        open.then_some(()).ok_or_else(|| "still blocked".to_owned())
    });
    annotate("nanoseg.dev/break-glass-");
    cluster.until(PATIENCE, "closed shop", || {
        let open = call(cluster, "loadgen", "postgres:5432/tcp");
        (!open).then_some(()).ok_or_else(|| "still open".to_owned())
    });
    everything_works(cluster, PATIENCE);
    cluster.say("the glass was broken and mended");
}
