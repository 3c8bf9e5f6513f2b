//! What a human said stays said: what is rejected or left out is not offered again, what is opened for a time is closed
//! again, and traffic that nothing guarded teaches nothing by itself.

use super::agent::Agent;
use super::process::Controller;
use super::world::World;
use super::{LOW_CEILINGS, learned};
use crate::support::kubernetes::{Cluster, PATIENCE, until};
use kube::ResourceExt;
use nanoseg::flow::Verdict;
use nanoseg::record::{Action, ActionKind};
use nanoseg::review::resources::{
    ConnectionRef, DecisionOutcome, Phase, PolicyProposal, RefusedLine, Segmentation, Verb,
};
use serde_json::json;

/// The connection between two pods of the world.
fn named(world: &World, client: &str, server: &str, port: u16) -> ConnectionRef {
    ConnectionRef {
        client: format!("{}/{client}", world.namespace),
        server: format!("{}/{server}", world.namespace),
        port,
        protocol: "TCP".into(),
    }
}

fn allows(proposal: &PolicyProposal, pod: &str) -> bool {
    format!("{:?}", proposal.spec.policy).contains(&format!("\"{pod}\""))
}

fn refused<'a>(proposal: &'a PolicyProposal, client: &str) -> Option<&'a RefusedLine> {
    let client = format!("/{client}");
    let mut lines = proposal.spec.review.refused.iter();
    lines.find(|line| line.client.ends_with(&client))
}

fn finds(proposal: &PolicyProposal, code: &str) -> bool {
    let mut findings = proposal.spec.review.findings.iter();
    findings.any(|line| line.code == code)
}

/// The details of the last line of a kind in the world's namespace.
fn last_line(controller: &Controller, world: &World, kind: ActionKind) -> Option<Action> {
    let lines = controller.record_lines();
    let mut ours = lines.into_iter().rev();
    let line =
        ours.find(|one| one.entry.namespace == world.namespace && one.entry.action.kind() == kind);
    line.map(|line| line.entry.action)
}

fn openings(cluster: &Cluster, world: &World) -> Vec<String> {
    let api = world.api::<Segmentation>();
    let now = cluster.run(api.get("default")).expect("a Segmentation");
    let openings = now.status.unwrap_or_default().temporary_openings;
    openings
        .into_iter()
        .flat_map(|one| one.connections)
        .collect()
}

#[test]
fn a_rejected_connection_is_not_offered_again_by_more_of_it_by_others_or_by_a_restart() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let mut controller = Controller::start(cluster, "rejected", &[]);
    let (mut world, mut agent) = learned(cluster, &controller);
    world.approve_first_policies();
    world.until_condition("Enforcing", "True", "Enforced");
    agent.see(&world, ("web", "db", 5432), Verdict::Refused, 3);
    let asked = world.open("db");
    let of_web = world.open("web");
    world.decide(&asked, Verb::Reject, DecisionOutcome::Accepted);
    // The same connection goes from the proposal of its other end.
    world.until_phase(&of_web, Phase::Superseded);
    let rejected = last_line(&controller, &world, ActionKind::Rejected);
    let Some(Action::Rejected { connections, .. }) = rejected else {
        panic!("{rejected:?}");
    };
    let web = format!("{}/web", world.namespace);
    assert_eq!(connections.len(), 1, "{connections:?}");
    assert_eq!(connections[0].client, web);

    // More of it, and another client: that one is asked about, and it is said what was refused.
    agent.see(&world, ("web", "db", 5432), Verdict::Refused, 500);
    world.add_pod("job", 20, "n1");
    agent.see(&world, ("job", "db", 5432), Verdict::Refused, 3);
    let other = world.until_open("db", |one| allows(one, "job"));
    assert!(!allows(&other, "web"), "{:?}", other.spec.policy);
    assert_eq!(refused(&other, "web").expect("a line").change, None);
    let job = refused(&other, "job").expect("a line");
    assert_eq!(job.change.as_deref(), Some("other-client"));
    assert_eq!(job.refused_by, "system:admin");
    assert!(finds(&other, "refused-before"));
    assert!(
        world
            .proposals("web")
            .iter()
            .all(|one| one.phase() != Phase::Pending)
    );
    world.decide(&other, Verb::Approve, DecisionOutcome::Accepted);
    world.until_phase(&other, Phase::Applied);

    // After a restart, and after a rollback.
    controller.kill();
    controller.restart();
    world.decide(&other, Verb::Rollback, DecisionOutcome::Accepted);
    world.until_policy("nanoseg-db", "job may not come", |policy| {
        policy.is_some_and(|policy| !format!("{:?}", policy.spec).contains("\"job\""))
    });
    for client in ["web", "job"] {
        agent.see(&world, (client, "db", 5432), Verdict::Refused, 3);
    }
    let again = world.until_open("db", |one| allows(one, "job"));
    assert!(!allows(&again, "web"), "{:?}", again.spec.policy);
    assert_eq!(
        refused(&again, "web").expect("a line").proposal,
        asked.name_any()
    );
    controller.until_metric("nanoseg_controller_refused_connections", |count| {
        count >= 1.0
    });
}

#[test]
fn a_rejected_first_policy_waits_for_another_connection_and_names_it() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "first", &[]);
    let (mut world, mut agent) = learned(cluster, &controller);
    let first = world.open("db");
    world.decide(&first, Verb::Reject, DecisionOutcome::Accepted);
    agent.learn(&world, &[("api", "db", 5432)]);
    world.settled();
    assert!(
        world
            .proposals("db")
            .iter()
            .all(|one| one.phase() != Phase::Pending)
    );
    world.add_pod("job", 20, "n1");
    agent.learn(&world, &[("job", "db", 5432)]);
    let again = world.open("db");
    let reason = &again.spec.review.reason;
    assert!(
        reason.contains("new since system:admin rejected") && reason.contains("/job → "),
        "{reason}"
    );
}

#[test]
fn a_proposal_is_approved_without_a_connection_which_counts_as_rejected() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "except", &[]);
    let (world, mut agent) = learned(cluster, &controller);
    agent.learn(&world, &[("web", "db", 5432)]);
    let shown = world.until_open("db", |one| allows(one, "web"));

    // Only what is in the proposal can be left out, and something must be left.
    let unknown = named(&world, "web", "db", 80);
    let answer = world.approve_on(
        &shown,
        |spec| spec.except = vec![unknown],
        DecisionOutcome::Refused,
    );
    let message = answer
        .status
        .and_then(|status| status.message)
        .unwrap_or_default();
    assert!(message.contains("does not allow"), "{message}");
    let all = ["web", "api"].map(|client| named(&world, client, "db", 5432));
    let answer = world.approve_on(
        &shown,
        |spec| spec.except = all.to_vec(),
        DecisionOutcome::Refused,
    );
    let message = answer
        .status
        .and_then(|status| status.message)
        .unwrap_or_default();
    assert!(message.contains("nothing would be left"), "{message}");

    let out = named(&world, "web", "db", 5432);
    world.approve_on(
        &shown,
        |spec| spec.except = vec![out.clone()],
        DecisionOutcome::Accepted,
    );
    let policy = format!("{:?}", world.policy("nanoseg-db").spec);
    assert!(
        policy.contains("\"api\"") && !policy.contains("\"web\""),
        "{policy}"
    );
    let line = last_line(&controller, &world, ActionKind::ConnectionsRejected);
    let Some(Action::ConnectionsRejected { connections, .. }) = line else {
        panic!("{line:?}");
    };
    assert_eq!(
        connections
            .iter()
            .map(ConnectionRef::from)
            .collect::<Vec<_>>(),
        std::slice::from_ref(&out)
    );
    let approved = cluster
        .run(world.fetch(&shown.name_any()))
        .expect("a proposal");
    assert_eq!(approved.status.expect("a status").except, [out]);

    // The first policy of the other end is made without it, and says so.
    let other = world.until_open("web", |one| !allows(one, "db"));
    assert!(allows(&other, "api"));
    assert_eq!(refused(&other, "web").expect("a line").change, None);
    // Also for another Segmentation.
    world.unsegment();
    cluster.run(until(PATIENCE, "it is forgotten", async || {
        match world.fetch(&other.name_any()).await {
            Ok(_) => Err("it is there".to_owned()),
            Err(_) => Ok(()),
        }
    }));
    world.segment("Propose");
    agent.see(&world, ("web", "db", 5432), Verdict::Established, 3);
    let other = world.until_open("web", |one| one.uid() != other.uid());
    assert!(!allows(&other, "db"), "{:?}", other.spec.policy);
}

#[test]
fn an_opening_ends_by_itself_also_while_no_controller_runs_and_what_else_was_approved_stays() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let mut controller = Controller::start(cluster, "opening", &[]);
    let (mut world, mut agent) = learned(cluster, &controller);
    // A first policy closes, so it is not for a time.
    let first = world.open("db");
    let answer = world.approve_on(
        &first,
        |spec| spec.open_for_seconds = Some(60),
        DecisionOutcome::Refused,
    );
    let message = answer
        .status
        .and_then(|status| status.message)
        .unwrap_or_default();
    assert!(message.contains("no policy in force"), "{message}");
    world.approve_first_policies();
    world.until_condition("Enforcing", "True", "Enforced");
    agent.see(&world, ("web", "db", 5432), Verdict::Refused, 3);
    let window = world.open("db");
    world.approve_on(
        &window,
        |spec| spec.open_for_seconds = Some(30),
        DecisionOutcome::Accepted,
    );
    world.until_policy("nanoseg-db", "web may come", |policy| {
        policy.is_some_and(|policy| format!("{:?}", policy.spec).contains("\"web\""))
    });
    world.until_phase(&window, Phase::Applied);
    cluster.run(until(PATIENCE, "it is listed", async || {
        let api = world.api::<Segmentation>();
        let now = api.get("default").await.map_err(|e| e.to_string())?;
        let openings = now.status.unwrap_or_default().temporary_openings;
        let is_it = openings
            .iter()
            .any(|one| one.until.is_some() && one.by == "system:admin");
        is_it.then_some(()).ok_or_else(|| format!("{openings:?}"))
    }));
    let line = last_line(&controller, &world, ActionKind::Approved);
    assert!(
        matches!(line, Some(Action::Approved { until: Some(_), .. })),
        "{line:?}"
    );

    // Meanwhile something else is approved for good.
    world.add_pod("job", 20, "n1");
    agent.see(&world, ("job", "db", 5432), Verdict::Refused, 3);
    let lasting = world.until_open("db", |one| allows(one, "job"));
    assert!(
        allows(&lasting, "web"),
        "the window goes on: {:?}",
        lasting.spec.policy
    );
    world.decide(&lasting, Verb::Approve, DecisionOutcome::Accepted);
    world.until_phase(&lasting, Phase::Applied);

    controller.kill();
    controller.restart();
    world.until_policy("nanoseg-db", "only web may not come", |policy| {
        policy.is_some_and(|policy| {
            let text = format!("{:?}", policy.spec);
            text.contains("\"api\"") && text.contains("\"job\"") && !text.contains("\"web\"")
        })
    });
    world.until_phase(&window, Phase::Expired);
    world.until_phase(&lasting, Phase::Applied);
    let line = last_line(&controller, &world, ActionKind::OpeningExpired);
    let Some(Action::OpeningExpired { connections, .. }) = line else {
        panic!("{line:?}");
    };
    assert_eq!(connections.len(), 1, "{connections:?}");
    assert_eq!(openings(cluster, &world), [""; 0]);
    // It is not offered again, and a restart changes nothing.
    controller.kill();
    controller.restart();
    world.settled();
    assert!(
        world
            .proposals("db")
            .iter()
            .all(|one| one.phase() != Phase::Pending)
    );
    let policy = format!("{:?}", world.policy("nanoseg-db").spec);
    assert!(!policy.contains("\"web\""), "{policy}");
}

#[test]
fn what_was_first_seen_while_the_glass_was_broken_is_marked_and_waits_for_a_person() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "marked", &LOW_CEILINGS);
    let mut world = World::make(cluster);
    let mut agent = Agent::new(cluster, &controller);
    world.segment_as(json!({
        "mode": "Enforce",
        "learning": {"minimumDuration": "0s", "minimumCoverage": 50},
        "approval": {"mode": "Automatic"},
    }));
    agent.learn(&world, &[("web", "api", 8080), ("api", "db", 5432)]);
    world.policy("nanoseg-db");
    world.add_pod("job", 20, "n1");
    world.break_glass(Some("the shop is down"));
    world.until_condition("Enforcing", "False", "BreakGlass");
    agent.see(&world, ("job", "db", 5432), Verdict::Established, 5);
    world.break_glass(None);
    world.policy("nanoseg-db");
    let asked = world.until_open("db", |one| allows(one, "job"));
    let review = &asked.spec.review;
    let evidence = review
        .evidence
        .iter()
        .find(|line| line.client.ends_with("/job"));
    let unguarded = evidence.and_then(|line| line.unguarded.as_ref());
    assert_eq!(unguarded.expect("it is marked").cause, "broken-glass");
    assert!(finds(&asked, "seen-unguarded"), "{:?}", review.findings);
    assert_ne!(review.risk, "low");
    // What was known before is not.
    let api = review
        .evidence
        .iter()
        .find(|line| line.client.ends_with("/api"));
    assert_eq!(api.expect("a line").unguarded, None);
    world.until_open("db", |one| {
        let status = one.status.clone().unwrap_or_default();
        let message = status.message.unwrap_or_default();
        message.contains("not approved automatically: nothing guarded an end")
    });
}
