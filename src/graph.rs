//! Room 1b: the communication graph. Joins flow records with the inventory: peers, edges, what each
//! edge teaches and why, and what of it a policy must allow.

mod edge;
mod model;
mod peer;
mod requirement;

pub use edge::{Edge, Evidence, Lesson};
pub use model::Graph;
pub use peer::Peer;
pub use requirement::{End, Requirement};
