//! The day, step by step. Each step leaves the cluster in the state that the next one needs.

use super::cluster::RealCluster;
use super::install::{employ_olga, install, remove};
use super::life::{EVENTS, happens, job_by_hand, violations};
use super::long;
use super::probe::what_is_in_force_is_tried;
use super::shop::{NAMESPACES, WORKLOADS, allowed, everything_works, set_mode, truth};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// From a forbidden connection to its violation: a minute more where a pod has just lost its address, as after a reboot
/// (rule: judge-late-rather-than-wrong).
const JUDGED: Duration = Duration::from_secs(150);
/// From the first packet to a proposal for each workload.
const LEARNED: Duration = Duration::from_secs(180);

/// Runs the steps up to the first policies in force.
pub fn until_enforced(cluster: &RealCluster) {
    install(cluster);
    the_shop_opens(cluster);
    everything_is_proposed_and_nothing_else(cluster);
    olga_approves_and_it_is_enforced(cluster);
    assert!(!call(cluster, "loadgen", "redis:6379/tcp"), "it is blocked");
    cluster.judge();
}

/// Runs all steps in their order.
pub fn run(cluster: &RealCluster) {
    install(cluster);
    the_shop_opens(cluster);
    everything_is_proposed_and_nothing_else(cluster);
    olga_approves_and_it_is_enforced(cluster);
    ordinary_life_raises_no_alarm(cluster);
    what_nobody_needs_is_blocked_and_counted(cluster);
    what_was_rejected_is_not_offered_again(cluster);
    a_temporary_opening_ends_by_itself(cluster);
    the_glass_is_broken_and_mended(cluster);
    what_is_in_force_is_tried(cluster);
    remove(cluster);
    everything_works(cluster, PATIENCE);
    super::helm::installs_upgrades_and_removes(cluster);
    cluster.judge();
}

fn the_shop_opens(cluster: &RealCluster) {
    let shop = format!("{}/tests/it/node/shop.yaml", env!("CARGO_MANIFEST_DIR"));
    cluster.kubectl(&["apply", "-f", &shop]).good("the shop");
    let targets = ["node1", "node2"].map(|node| {
        let address = cluster.ready["nodes"][node][0]
            .as_str()
            .expect("an address");
        let is_ipv6 = address.contains(':');
        let host = if is_ipv6 {
            format!("[{address}]")
        } else {
            address.to_owned()
        };
        format!("{host}:30080/tcp")
    });
    let customer =
        json!({"do": "call", "place": "outside", "targets": targets.join(","), "log": "customer"});
    cluster.tell(customer);
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
    let wanted = BTreeSet::from(WORKLOADS);
    cluster.hope(LEARNED, "proposal for each workload and no more", || {
        let open = proposals(cluster)?;
        let there: BTreeSet<&str> = open.iter().map(|(name, _)| name.as_str()).collect();
        let missing: Vec<_> = wanted.difference(&there).collect();
        let excess: Vec<_> = there.difference(&wanted).collect();
        let equal = missing.is_empty() && excess.is_empty();
        equal
            .then_some(())
            .ok_or_else(|| format!("missing {missing:?}, too much {excess:?}"))
    });
    cluster.hope(
        PATIENCE,
        "policies for what is true and nothing else",
        || {
            let open = proposals(cluster)?;
            let policies: Vec<Value> = open.iter().map(|(_, one)| policy_of(one)).collect();
            let (allowed, truth) = (allowed(cluster, &policies), truth());
            let excess: Vec<_> = allowed.difference(&truth).collect();
            let missing: Vec<_> = truth.difference(&allowed).collect();
            let equal = excess.is_empty() && missing.is_empty();
            equal
                .then_some(())
                .ok_or_else(|| format!("missing {missing:#?}, too much {excess:#?}"))
        },
    );
    cluster.say("what was observed is proposed");
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
    cluster.hope(PATIENCE, "policy for each workload", || {
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
    if counted > 0 || !told.is_empty() {
        cluster.fault(&format!(
            "after {after}: {counted} violations counted, in the record: {told:#?}"
        ));
    }
    let open = proposals(cluster).expect("proposals");
    for (name, proposal) in open {
        let gained = &proposal["spec"]["review"]["gained"];
        cluster.fault(&format!("after {after}: {name} is proposed for: {gained}"));
    }
    cluster.hope(Duration::from_secs(20), "status without alarm", || {
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
    cluster.hope(JUDGED, "violation", || {
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

/// Lets a pod call somebody whom its policy does not allow, until both ends are proposed for. Returns the proposals'
/// namespaces and names.
fn asked_about(cluster: &RealCluster, from: &str, to: &str, target: &str) -> Vec<String> {
    let ends = BTreeSet::from([format!("shop/{from}"), format!("shop/{to}")]);
    cluster.until(PATIENCE, "proposal at both ends", || {
        call(cluster, from, target);
        let open = proposals(cluster)?;
        let theirs = open.iter().filter(|(name, _)| ends.contains(name));
        let names: Vec<String> = theirs
            .filter_map(|(_, one)| one["metadata"]["name"].as_str().map(str::to_owned))
            .collect();
        (names.len() == ends.len()).then_some(names).ok_or_else(|| {
            format!(
                "{:?}",
                open.iter().map(|(name, _)| name).collect::<Vec<_>>()
            )
        })
    })
}

fn what_was_rejected_is_not_offered_again(cluster: &RealCluster) {
    // A connection that is rejected at one end is not asked about at the other end any more.
    let asked = asked_about(cluster, "loadgen", "postgres", "postgres:5432/tcp");
    let name = asked.first().expect("a proposal");
    let why = ["--reason", "nobody needs it", "--yes", "--wait", "60s"];
    let reject = ["reject", name, "-n", "shop"];
    cluster.olga(&[&reject[..], &why].concat()).good("reject");
    cluster.hope(PATIENCE, "end of the other proposal", || {
        let open = proposals(cluster)?;
        let names: Vec<_> = open.iter().map(|(name, _)| name).collect();
        names
            .is_empty()
            .then_some(())
            .ok_or_else(|| format!("{names:?}"))
    });
    // Longer than two windows of the agents, in which it goes on trying.
    let until = Instant::now() + Duration::from_secs(25);
    while Instant::now() < until {
        call(cluster, "loadgen", "postgres:5432/tcp");
        let open = proposals(cluster).expect("proposals");
        let ends = ["shop/loadgen", "shop/postgres"];
        if let Some((name, _)) = open.iter().find(|(name, _)| ends.contains(&name.as_str())) {
            cluster.fault(&format!(
                "{name} is proposed for again after it was rejected"
            ));
            return;
        }
    }
    cluster.say("what was rejected is not offered again");
}

fn a_temporary_opening_ends_by_itself(cluster: &RealCluster) {
    let target = "redis:6379/tcp";
    for name in asked_about(cluster, "loadgen", "redis", target) {
        let terms = [
            "--for",
            "45s",
            "--reason",
            "a change window",
            "--yes",
            "--wait",
            "60s",
        ];
        let approve = ["approve", &name, "-n", "shop"];
        cluster
            .olga(&[&approve[..], &terms].concat())
            .good("approve --for");
    }
    cluster.hope(Duration::from_secs(30), "temporary opening", || {
        let works = call(cluster, "loadgen", target);
        works.then_some(()).ok_or_else(|| "blocked".to_owned())
    });
    let status = cluster.olga(&["status", "-n", "shop"]).stdout;
    if !status.contains("open until") {
        cluster.fault(&format!(
            "status does not tell of the temporary opening:\n{status}"
        ));
    }
    cluster.hope(
        Duration::from_secs(90),
        "end of the temporary opening",
        || {
            let works = call(cluster, "loadgen", target);
            (!works)
                .then_some(())
                .ok_or_else(|| "still open".to_owned())
        },
    );
    everything_works(cluster, PATIENCE);
    cluster.say("a temporary opening ended by itself");
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
