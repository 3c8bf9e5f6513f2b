//! What workloads wait for before there is a proposal, and that one pooled connection is enough for one.

use super::agent::Agent;
use super::operator::Person;
use super::process::Controller;
use super::world::World;
use crate::support::kubernetes::{Cluster, PATIENCE, until};
use nanoseg::flow::Verdict;
use nanoseg::review::resources::{Segmentation, WaitReason, WaitingWorkload};
use serde_json::json;

/// What the status says of a workload without a proposal, once `is` returns true for it.
fn until_waiting(
    cluster: &Cluster,
    world: &World,
    workload: &str,
    is: impl Fn(&WaitingWorkload) -> bool,
) -> WaitingWorkload {
    let what = format!("the status says what {workload} waits for");
    cluster.run(until(PATIENCE, &what, async || {
        let api = world.api::<Segmentation>();
        let read = api.get("default").await.map_err(|e| e.to_string())?;
        let waiting = read.status.unwrap_or_default().waiting;
        let found = waiting.iter().find(|one| one.name == workload && is(one));
        found.cloned().ok_or_else(|| format!("{waiting:?}"))
    }))
}

#[test]
fn a_workload_says_what_it_waits_for_until_its_pooled_connection_was_seen_in_enough_windows() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "waiting", &[]);
    let world = World::make(cluster);
    let mut agent = Agent::new(cluster, &controller);
    world.segment_as(json!({
        "mode": "Propose",
        "learning": {"minimumDuration": "0s", "minimumCoverage": 95},
    }));
    let silent = until_waiting(cluster, &world, "db", |_| true);
    assert_eq!(silent.waits_for, [WaitReason::Traffic]);
    // One connection that is open for as long as the agent observes.
    agent.pool(&world, ("api", "db", 5432), 50);
    let proposal = world.open("db");
    let coverage = proposal.spec.review.coverage;
    assert!(
        coverage.is_some_and(|percent| percent >= 95),
        "{coverage:?}"
    );
    agent.see(&world, ("api", "web", 8080), Verdict::Established, 1);
    let young = until_waiting(cluster, &world, "web", |one| one.connections == 1);
    assert!(
        young.waits_for.contains(&WaitReason::SecondSight),
        "{young:?}"
    );
    assert!(
        young.message.contains("1 connection in"),
        "{}",
        young.message
    );
    let olga = Person::new(cluster, &world, "olga", Some("viewer"));
    let said = olga.says(0, &["proposals"]);
    assert!(said.contains("no proposal yet"), "{said}");
    let said = olga.says(0, &["status"]);
    assert!(
        said.contains("web (") && said.contains("; waits "),
        "{said}"
    );
}
