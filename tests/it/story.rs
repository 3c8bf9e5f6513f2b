//! The story of an operator who segments the shop (samples/shop), end to end: the real API server, the real enforcer,
//! two real controllers, real agents that watch real traffic. (tests/it/controller has the controller alone.)

mod chaos;
mod connections;
mod controllers;
mod end;
pub mod install;
pub mod people;
mod shop;
mod steps;
mod telling;

use crate::support::kubernetes::Cluster;
use end::{End, finish};
use telling::Telling;

/// The seed of the moments at which the leader is killed.
const SEEDS: [u64; 2] = [4, 2026];

/// Runs all steps in their order (step 1, the installation, is `Telling::begin`).
const STEPS: [fn(&Telling); 8] = [
    steps::traffic_is_watched_until_enough_is_known,
    steps::the_proposals_are_those_that_generate_makes,
    steps::only_who_may_decide_decides,
    steps::what_was_approved_is_enforced_and_nothing_else_works,
    steps::what_somebody_edits_and_deletes_is_repaired,
    steps::a_new_connection_is_blocked_asked_about_and_works_once_approved,
    steps::a_wrong_policy_stays_until_a_person_rolls_it_back,
    steps::breaking_the_glass_opens_everything_in_a_second,
];

#[test]
fn the_shop_is_segmented_with_the_same_result_when_the_leader_is_killed_repeatedly() {
    let Some(cluster) = Cluster::with_nodes() else {
        return;
    };
    let calm = tell(cluster, 1, None);
    for (number, seed) in (2..).zip(SEEDS) {
        let end = tell(cluster, number, Some(seed));
        assert_eq!(end, calm, "with seed {seed}");
    }
}

fn tell(cluster: &'static Cluster, number: u32, seed: Option<u64>) -> End {
    let telling = Telling::begin(cluster, number, seed.is_none());
    telling.say("installed, and the shop is open");
    let all = || STEPS.iter().for_each(|step| step(&telling));
    match seed {
        None => all(),
        Some(seed) => {
            let killed = chaos::amid_murder(&telling.controllers, seed, all);
            telling.say(&format!("the leader was killed {killed} times"));
            assert!(killed >= 2, "{killed}");
        }
    }
    finish(telling)
}
