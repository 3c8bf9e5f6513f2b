//! Step 8: a wrong policy is approved on purpose. The traffic that it blocks changes nothing; a person rolls it back.

use super::surprise::attempts_of;
use crate::story::people::nanoseg;
use crate::story::telling::Telling;
use k8s_openapi::api::networking::v1::{NetworkPolicyPort, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use serde_json::json;
use std::time::{Duration, Instant};

const WORKLOAD: &str = "shop/consumer";
/// The connection that the wrong policy does not allow: consumer → redis.
const NEEDED: u16 = 6379;

pub fn a_wrong_policy_stays_until_a_person_rolls_it_back(telling: &Telling) {
    let namespace = telling.shop.namespace("shop");
    let name = format!("{namespace}/nanoseg-consumer");
    let before = policy(telling, &name).expect("it is there");
    let wrong = without(&before, NEEDED);
    assert_ne!(wrong, before);
    // A new connection, so that there is a proposal that can be edited.
    for attempt in attempts_of(telling, WORKLOAD, "shop/quotes", 40001) {
        assert!(attempt.make().is_some(), "{} is not blocked", attempt.words);
    }
    let proposal = telling.proposal(WORKLOAD, "to be edited", |_| true);
    edit(telling, &namespace, &proposal.name_any(), &wrong);
    let proposal = telling.proposal(WORKLOAD, "edited, and worked out", |proposal| {
        let lost = proposal
            .spec
            .review
            .lost
            .iter()
            .any(|change| change.ports.contains("6379"));
        proposal.spec.policy == wrong && lost
    });
    let (waits, revision) = (proposal.name_any(), &proposal.spec.review.revision);
    let begun = Instant::now();
    let approve = [
        "approve",
        &*waits,
        "-n",
        &*namespace,
        "--revision",
        revision,
        "--reason",
        "it cannot be that bad",
        "--yes",
        "--wait",
        "0s",
    ];
    let said = nanoseg(&telling.people.rosa, &approve);
    telling.until("the wrong policy to be in the cluster", async || {
        let now = policy(telling, &name)?;
        (now == wrong)
            .then_some(())
            .ok_or_else(|| format!("{now:#?}\n{said:?}"))
    });
    // What it blocks was listed when it was approved: trying opens nothing.
    for attempt in attempts_of(telling, WORKLOAD, "shop/redis", NEEDED) {
        attempt
            .until(false, Duration::from_secs(20))
            .expect("it is blocked");
        assert!(attempt.make().is_some(), "{} is not blocked", attempt.words);
    }
    assert_eq!(policy(telling, &name).expect("it is there"), wrong);
    let back = [
        "rollback",
        "consumer",
        "-n",
        &*namespace,
        "--reason",
        "it is that bad",
        "--yes",
        "--wait",
        "0s",
    ];
    let said = nanoseg(&telling.people.rosa, &back);
    telling.until("the policy to be rolled back", async || {
        let now = policy(telling, &name)?;
        (now == before)
            .then_some(())
            .ok_or_else(|| format!("{now:#?}\n{said:?}"))
    });
    telling.say(&format!(
        "a wrong policy is rolled back {:.2?} after it was approved",
        begun.elapsed()
    ));
    for attempt in attempts_of(telling, WORKLOAD, "shop/redis", NEEDED) {
        attempt
            .until(true, Duration::from_secs(20))
            .expect("it works again");
    }
}

fn edit(telling: &Telling, namespace: &str, proposal: &str, policy: &NetworkPolicySpec) {
    // A JSON patch, because a merge patch would keep what is left out.
    let patch = json!([{"op": "replace", "path": "/spec/policy", "value": policy}]).to_string();
    let words = [
        "patch",
        "policyproposal",
        proposal,
        "-n",
        namespace,
        "--type=json",
        "-p",
        &*patch,
    ];
    let edited = telling.cluster.kubectl_of(&telling.people.rosa, &words);
    assert!(edited.status.success(), "{edited:?}");
}

fn policy(telling: &Telling, name: &str) -> Result<NetworkPolicySpec, String> {
    // Called inside and outside of the cluster's runtime.
    let (namespace, policy) = name.split_once('/').unwrap_or_default();
    let get = [
        "get",
        "networkpolicy",
        policy,
        "-n",
        namespace,
        "-o",
        "jsonpath={.spec}",
    ];
    let output = telling.cluster.kubectl(&get);
    serde_json::from_slice(&output.stdout).map_err(|e| format!("{e}: {output:?}"))
}

/// Returns the policy without the egress rules to a port.
fn without(policy: &NetworkPolicySpec, port: u16) -> NetworkPolicySpec {
    let is = |found: &NetworkPolicyPort| found.port == Some(IntOrString::Int(i32::from(port)));
    let mut policy = policy.clone();
    for rule in policy.egress.iter_mut().flatten() {
        if let Some(ports) = &mut rule.ports {
            ports.retain(|found| !is(found));
        }
    }
    if let Some(rules) = &mut policy.egress {
        rules.retain(|rule| rule.ports.as_ref().is_none_or(|ports| !ports.is_empty()));
    }
    policy
}
