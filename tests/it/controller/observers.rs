//! What agents are believed, with a real API server and real tokens.

use super::agent::Agent;
use super::process::Controller;
use super::world::World;
use crate::support::kubernetes::Cluster;
use nanoseg::net::Timestamp;

fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}

#[test]
fn an_agent_is_believed_about_its_own_node_and_where_the_other_end_agrees() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "observers", &[]);
    let mut world = World::make(cluster);
    world.add_pod("far", 20, "n2");
    world.add_pod("further", 21, "n2");
    let mut near = Agent::new(cluster, &controller);
    let mut far = Agent::on("n2", cluster, &controller);
    world.segment("Propose");

    // n2 observed for an hour and saw nothing of what n1 tells.
    far.watched(3600);
    near.learn(&world, &[("web", "api", 8080), ("web", "far", 9000)]);
    world.until_condition("Trusted", "False", "OneSided");
    controller.until_metric("nanoseg_controller_one_sided_edges", |edges| edges == 1.0);

    // It tells of it too.
    far.carry(&world, ("web", "far", 9000), now().plus_secs(-300), 10);
    world.until_condition("Trusted", "True", "Corroborated");

    // n1 tells of a connection between two pods of n2.
    near.carry(&world, ("further", "far", 7000), now().plus_secs(-300), 10);
    world.until_condition("Trusted", "False", "OutOfBounds");
    let told = r#"nanoseg_controller_out_of_bounds_connections{node="n1"}"#;
    controller.until_metric(told, |connections| connections == 1.0);

    // Of next year, and of last month.
    for days in [365, -30] {
        near.carry(
            &world,
            ("web", "api", 9999),
            now().plus_secs(days * 86_400),
            10,
        );
    }
    let refused = r#"nanoseg_receiver_losses_total{node="n1",loss="time-refused"}"#;
    controller.until_metric(refused, |records| records == 2.0);
    controller.until_metric("nanoseg_controller_edges", |edges| edges == 2.0);
}

/// No object says that the address is the node's, as where a network plugin gives out addresses itself.
#[test]
fn the_gateway_that_an_agent_tells_is_its_node_and_what_others_have_is_not() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let mut controller = Controller::start(cluster, "gateway", &[]);
    let mut world = World::make(cluster);
    world.name_address("gateway", 1);
    let mut near = Agent::new(cluster, &controller);
    near.learn(&world, &[("gateway", "web", 8080)]);
    let count =
        |outcome: &str| format!("nanoseg_controller_told_node_addresses{{outcome=\"{outcome}\"}}");
    let outside = "203.0.113.9".parse().expect("an address");
    near.tell([world.address("gateway"), world.address("web"), outside]);
    controller.until_metric(&count("taken"), |taken| taken == 1.0);
    controller.until_metric(&count("refused"), |refused| refused == 2.0);
    // Prometheus's own check finds nothing wrong with what a real controller gives out.
    assert_eq!(crate::metrics::promtool(&controller.metrics_text()), "");
    // The next leader knows it before an agent tells it again.
    assert_eq!(controller.stop(), 0, "{}", controller.log());
    controller.restart();
    controller.until_metric(&count("taken"), |taken| taken == 1.0);
}
