//! The memory of a leader under traffic that does not end. Measures, so it is started by hand:
//! `cargo test --test it -- --ignored --nocapture memory_of_a_leader`.

use super::agent::Agent;
use super::process::Controller;
use super::world::World;
use crate::support::kubernetes::Cluster;
use std::time::{Duration, Instant};

/// How long it is measured, and how often.
const DURATION: Duration = Duration::from_secs(300);
const EVERY: Duration = Duration::from_secs(10);
const PODS: u8 = 36;

#[test]
#[ignore = "measures, for five minutes"]
fn the_memory_of_a_leader_levels_off() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "memory", &[]);
    let mut world = World::make(cluster);
    let names: Vec<String> = (0..PODS).map(|number| format!("pod-{number}")).collect();
    for (number, name) in (100..).zip(&names) {
        world.add_pod(name, number, "n1");
    }
    world.segment("Propose");
    let mut agent = Agent::new(cluster, &controller);
    let edges: Vec<(&str, &str, u16)> = names
        .iter()
        .zip(names.iter().cycle().skip(1))
        .flat_map(|(client, server)| (0..4).map(move |port| (&**client, &**server, 8000 + port)))
        .collect();
    let (began, mut due, mut seen) = (Instant::now(), Instant::now(), Vec::new());
    while began.elapsed() < DURATION {
        agent.see_all(&world, &edges);
        std::thread::sleep(Duration::from_millis(100));
        if due <= Instant::now() {
            due = Instant::now() + EVERY;
            let text = controller.metrics_text();
            let value = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name));
                let value = line.and_then(|rest| rest.trim().parse::<f64>().ok());
                value.unwrap_or_default()
            };
            let memory = value("nanoseg_process_resident_memory_bytes ") / f64::from(1 << 20);
            let records = value("nanoseg_store_used{what=\"records\"} ");
            eprintln!(
                "{:4} s: {memory:.0} MiB, {records} records",
                began.elapsed().as_secs()
            );
            seen.push(memory);
        }
    }
    let third = seen.len() / 3;
    let most = |part: &[f64]| part.iter().copied().fold(0.0, f64::max);
    let (middle, last) = (most(&seen[third..2 * third]), most(&seen[2 * third..]));
    assert!(last < middle * 1.15 + 8.0, "{seen:?}");
}
