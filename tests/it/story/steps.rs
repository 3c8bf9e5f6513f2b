//! The steps of the story, in their order. Each leaves the shop in the state that the next one needs.

mod enforce;
mod glass;
mod learn;
mod propose;
mod surprise;
mod wrong;

pub use enforce::{
    what_somebody_edits_and_deletes_is_repaired,
    what_was_approved_is_enforced_and_nothing_else_works,
};
pub use glass::breaking_the_glass_opens_everything_in_a_second;
pub use learn::traffic_is_watched_until_enough_is_known;
pub use propose::{only_who_may_decide_decides, the_proposals_are_those_that_generate_makes};
pub use surprise::a_new_connection_is_blocked_asked_about_and_works_once_approved;
pub use wrong::a_wrong_policy_stays_until_a_person_rolls_it_back;
