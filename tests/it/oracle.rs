//! The evaluator beside the policy code of projects that nobody here wrote (rule: oracles-agree): random clusters and
//! policies from a seed, the same connections asked of both, every verdict compared.
//!
//! The oracles are small Go programs on the projects' own packages, in tests/go. What a project is known to judge otherwise
//! than the API's documentation is not made at random; it is a test of its own that names the place in the
//! project's source, and fails when the project changes.
//!
//! `NANOSEG_ORACLE_PAIRS=100000 cargo test --test it oracle` compares 100 000 pairs of each kind, and
//! `NANOSEG_ORACLE_SEED` is another beginning.

mod admin_policies;
mod case;
mod cilium;
mod cilium_examples;
mod cilium_policies;
mod cluster;
mod compare;
mod conformance;
mod cyclonus;
mod generated;
mod known;
mod network_policies;
mod np_guard;
mod ours;
mod program;
