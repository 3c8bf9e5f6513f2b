//! Ordinary life raises no alarm: who is unknown for a moment is judged when it is known who it is
//! (rule: judge-late-rather-than-wrong).

use super::learned;
use super::process::Controller;
use super::world::World;
use crate::support::kubernetes::{Cluster, until};
use nanoseg::flow::Verdict;
use nanoseg::review::resources::{Segmentation, Verb};
use std::time::Duration;

/// An unknown end is judged a minute after it was seen, and then once the watches have confirmed it.
const GRACE: Duration = Duration::from_secs(150);

/// Waits until the record has so many lines of an action, and checks that everything shows the same number of
/// violations.
fn until_recorded(controller: &Controller, action: &str, lines: usize) {
    let cluster = Cluster::get().expect("a cluster");
    cluster.run(until(GRACE, action, async || {
        let actions = controller.record_actions();
        let found = actions.iter().filter(|one| *one == action).count();
        (found == lines)
            .then_some(())
            .ok_or_else(|| format!("{found} of {actions:?}"))
    }));
}

fn until_counted(world: &World, controller: &Controller, violations: u32) {
    let cluster = Cluster::get().expect("a cluster");
    controller.until_metric("nanoseg_controller_violations", |number| {
        number == f64::from(violations)
    });
    let api: kube::Api<Segmentation> = world.api();
    cluster.run(until(GRACE, "the count", async || {
        let now = api.get("default").await.map_err(|e| e.to_string())?;
        let counts = now.status.unwrap_or_default().counts;
        (counts.violations == violations && counts.pending_violations == 0)
            .then_some(())
            .ok_or_else(|| format!("{counts:?}"))
    }));
}

#[test]
fn a_new_pod_whose_address_comes_late_is_no_violation_and_a_stranger_is_one() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "late", &[]);
    let (mut world, mut agent) = learned(cluster, &controller);
    world.decide_open("db", Verb::Approve);
    world.policy("nanoseg-db");
    world.until_condition("Enforcing", "True", "Enforced");

    // The second pod of api talks before anybody knows its address, and the plugin refuses it.
    world.schedule_pod("api-2", "api", 60, "n1");
    agent.see(&world, ("api-2", "db", 5432), Verdict::Refused, 3);
    controller.until_metric("nanoseg_controller_pending_violations", |number| {
        number == 1.0
    });
    world.until_condition("Judged", "False", "NotJudgedYet");
    world.publish_address("api-2");
    world.until_condition("Judged", "True", "CaughtUp");

    // Two addresses that nobody ever gets are judged in the end, as one kind.
    world.name_address("stranger", 77);
    world.name_address("another", 78);
    agent.see(&world, ("stranger", "db", 5432), Verdict::Refused, 3);
    agent.see(&world, ("another", "db", 5432), Verdict::Refused, 3);
    until_recorded(&controller, "violation", 1);
    until_counted(&world, &controller, 1);

    // They were pods of api after all: nobody had said so for minutes.
    for (name, last) in [("api-3", 77), ("api-4", 78)] {
        world.schedule_pod(name, "api", last, "n1");
        world.publish_address(name);
    }
    until_recorded(&controller, "violation-withdrawn", 1);
    until_counted(&world, &controller, 0);
    until_recorded(&controller, "violation", 1);
}
