//! Who is restrained cannot loosen the restraint (rule: rollback-needs-evidence).

use super::agent::Agent;
use super::process::Controller;
use super::world::World;
use super::{LOW_CEILINGS, learned};
use crate::support::kubernetes::Cluster;
use k8s_openapi::api::networking::v1::{NetworkPolicyIngressRule, NetworkPolicySpec};
use kube::ResourceExt;
use nanoseg::flow::Verdict;
use nanoseg::review::resources::{DecisionOutcome, Phase, PolicyProposal, Segmentation, Verb};
use serde_json::json;
use std::time::Duration;

/// How long failures must last to count is a minute.
const LONG: Duration = Duration::from_secs(180);

/// One ingress rule: pods with one of these sets of labels may call a port.
fn ingress(from: &[serde_json::Value], port: u16) -> Vec<NetworkPolicyIngressRule> {
    let from: Vec<_> = from
        .iter()
        .map(|labels| json!({"podSelector": {"matchLabels": labels}}))
        .collect();
    let rules = json!([{"from": from, "ports": [{"port": port, "protocol": "TCP"}]}]);
    serde_json::from_value(rules).expect("rules")
}

fn finds(proposal: &PolicyProposal, code: &str) -> bool {
    let mut findings = proposal.spec.review.findings.iter();
    findings.any(|line| line.code == code)
}

/// Approves the open proposal of a workload as a person edited it; returns the proposal.
fn approve_edited(
    world: &World,
    workload: &str,
    edit: impl FnOnce(&mut NetworkPolicySpec),
) -> PolicyProposal {
    let edited = world.edit_open(workload, edit);
    world.decide(&edited, Verb::Approve, DecisionOutcome::Accepted);
    world.until_phase(&edited, Phase::Applied);
    edited
}

#[test]
fn a_client_that_a_policy_was_made_against_changes_nothing_by_trying_again() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "again", &[]);
    let (mut world, mut agent) = learned(cluster, &controller);
    agent.learn(&world, &[("web", "db", 5432)]);
    world.until_open("db", |one| format!("{:?}", one.spec.policy).contains("web"));
    // The first policy of db is made against web, which called it so far.
    let first = approve_edited(&world, "db", |spec| {
        spec.ingress = Some(ingress(&[json!({"app": "api"})], 5432));
    });
    assert_eq!(
        first.spec.review.would_block_total, 1,
        "{:?}",
        first.spec.review
    );
    world.until_condition("Enforcing", "True", "Enforced");
    let policy = world.policy("nanoseg-db");

    for _ in 0..4 {
        agent.see(&world, ("web", "db", 5432), Verdict::Refused, 5);
    }
    world.until_event("Violation");
    // The next proposal tells who decides that somebody closed it on purpose.
    world.add_pod("job", 20, "n1");
    agent.see(&world, ("job", "db", 5432), Verdict::Established, 1);
    let asked = world.until_open("db", |one| finds(one, "closed-on-purpose"));
    assert_eq!(world.find_policy("nanoseg-db"), Some(policy.clone()));
    world.until_phase(&first, Phase::Applied);
    world.until_condition("Degraded", "False", "Works");
    world.decide(&asked, Verb::Reject, DecisionOutcome::Accepted);

    // A person may go back to no policy, and forward again: by another proposal, and by the same one.
    world.decide(&first, Verb::Rollback, DecisionOutcome::Accepted);
    world.until_policy("nanoseg-db", "it is gone", |policy| policy.is_none());
    world.until_open("db", |one| one.name_any() != first.name_any());
    world.decide(&first, Verb::Approve, DecisionOutcome::Accepted);
    world.until_policy("nanoseg-db", "it is back", |now| {
        now.is_some_and(|now| now.spec == policy.spec)
    });
    world.until_phase(&first, Phase::Applied);
}

#[test]
fn an_approved_policy_that_blocks_what_it_was_meant_to_allow_goes_back_to_the_revision_before() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "harm", &[]);
    let (world, mut agent) = learned(cluster, &controller);
    world.decide_open("db", Verb::Approve);
    let first = world.policy("nanoseg-db");
    world.label("api", "tier", Some("back"));
    world.label("web", "tier", Some("front"));
    // The next policy of db lets web in, and knows api by a label that api has now.
    agent.see(&world, ("web", "db", 5432), Verdict::Refused, 3);
    world.open("db");
    let second = approve_edited(&world, "db", |spec| {
        let api = json!({"app": "api", "tier": "back"});
        spec.ingress = Some(ingress(&[api, json!({"app": "web"})], 5432));
    });
    // The first policy of api knows web by such a label.
    let only = approve_edited(&world, "api", |spec| {
        let web = json!({"app": "web", "tier": "front"});
        spec.ingress = Some(ingress(&[web], 8080));
    });
    for one in [&second, &only] {
        assert_eq!(
            one.spec.review.would_block_total, 0,
            "{:?}",
            one.spec.review
        );
    }
    world.until_condition("Enforcing", "True", "Enforced");
    let kept = world.policy("nanoseg-api");
    world.label("api", "tier", None);
    world.label("web", "tier", None);

    // Both fail from now on, and go on trying.
    let segmentations = world.api::<Segmentation>();
    let is_judged = || {
        agent.see(&world, ("api", "db", 5432), Verdict::Refused, 1);
        agent.see(&world, ("web", "api", 8080), Verdict::Refused, 1);
        let now = cluster
            .run(segmentations.get("default"))
            .expect("an answer");
        let conditions = now.status.unwrap_or_default().conditions;
        let degraded = conditions.into_iter().find(|c| c.type_ == "Degraded");
        let said = degraded.map(|c| c.message).unwrap_or_default();
        said.contains("db: rolled back") && said.contains("api: approved traffic is blocked")
    };
    until_true(is_judged);
    world.until_policy("nanoseg-db", "it is as before", |policy| {
        policy.is_some_and(|policy| policy.spec == first.spec)
    });
    world.until_phase(&second, Phase::RolledBack);
    world.until_condition("Degraded", "True", "ApprovedTrafficBlocked");
    world.until_event("PolicyRolledBack");

    // There is no revision before the first policy: it stays, and a person is asked.
    world.until_event("ApprovedTrafficBlocked");
    world.until_phase(&only, Phase::Applied);
    assert_eq!(
        world.policy("nanoseg-api").spec,
        kept.spec,
        "never back to no policy"
    );
    let asked = world.open("api");
    assert!(
        asked
            .spec
            .review
            .reason
            .contains("approved connections are blocked")
    );
    world.decide(&asked, Verb::Approve, DecisionOutcome::Accepted);
    world.until_condition("Degraded", "True", "RolledBack");
    // What the rollback closed again is asked for again, and the decision ends it.
    agent.see(&world, ("web", "db", 5432), Verdict::Refused, 3);
    world.decide_open("db", Verb::Approve);
    world.until_condition("Degraded", "False", "Works");
}

#[test]
fn what_a_person_rolled_back_is_not_approved_again_by_the_rules() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "undone", &LOW_CEILINGS);
    let world = World::make(cluster);
    let mut agent = Agent::new(cluster, &controller);
    world.segment_as(json!({
        "mode": "Enforce",
        "learning": {"minimumDuration": "0s", "minimumCoverage": 50},
        "approval": {"mode": "Automatic"},
    }));
    agent.learn(&world, &[("web", "api", 8080), ("api", "db", 5432)]);
    world.policy("nanoseg-db");
    let all = world.proposals("db");
    let first = all.first().expect("a proposal");
    world.until_phase(first, Phase::Applied);
    world.decide(first, Verb::Rollback, DecisionOutcome::Accepted);
    world.until_open("db", |one| {
        let status = one.status.clone().unwrap_or_default();
        let message = status.message.unwrap_or_default();
        message == "not approved automatically: a policy of this workload was rolled back"
    });
    world.until_policy("nanoseg-db", "none", |policy| policy.is_none());
    world.decide_open("db", Verb::Approve);
    world.policy("nanoseg-db");
}

/// Calls it once a second until it returns true.
fn until_true(mut is: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + LONG;
    while !is() {
        assert!(std::time::Instant::now() < end, "not within {LONG:?}");
        std::thread::sleep(Duration::from_secs(1));
    }
}
