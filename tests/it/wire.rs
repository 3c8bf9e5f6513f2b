//! From an agent to the receiver's store, with the real binary, TLS, tokens, NATS, and SIGKILL.

mod batches;
mod direct;
mod jetstream;
mod nats_attacks;
mod nats_place;
mod nats_users;
pub mod process;
