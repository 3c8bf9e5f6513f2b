//! A generated cluster and its traffic, the same for the same seed on every machine.
//!
//! Has the expected results of the benchmarks: which workloads connect ([`cluster`]), the output of `kubectl get`
//! ([`snapshot`]), and the packets ([`traffic`], [`frame`]). It uses no code of nanoseg, so that a fault there cannot
//! hide itself here. (`mod.rs`, because Cargo takes every
//! `benches/*.rs` for a benchmark.)
#![allow(dead_code, reason = "each benchmark uses its part")]

pub mod cluster;
pub mod folder;
pub mod frame;
pub mod snapshot;
pub mod traffic;
