//! A made-up cluster and its traffic, the same for the same seed on every machine.
//!
//! Owns what the benchmarks measure against: who talks to whom ([`cluster`]), what `kubectl get`
//! would print of it ([`snapshot`]), and the packets ([`traffic`], [`frame`]). Uses nothing of
//! nanoseg, so that a mistake there cannot hide itself here. (`mod.rs`, because Cargo takes every
//! `benches/*.rs` for a benchmark.)
#![allow(dead_code, reason = "each benchmark uses its part")]

pub mod cluster;
pub mod folder;
pub mod frame;
pub mod snapshot;
pub mod traffic;
