//! nanoseg: observed traffic in, proven minimal NetworkPolicies out.
//!
//! The way of the data reads like the table of contents: [`observe`] (bytes) → [`flow`] (packets,
//! connections, flow records) → [`inventory`] (who owned an address when) → [`graph`] → [`policy`]
//! → [`evaluate`] (proof) → [`report`]. ARCHITECTURE.md has the table of which room may use which;
//! a test reads it.

pub mod agent;
pub mod cli;
pub mod cluster;
pub mod controller;
pub mod evaluate;
pub mod finding;
pub mod flow;
pub mod graph;
pub mod inventory;
pub mod net;
pub mod observe;
pub mod pipeline;
pub mod policy;
pub mod report;
pub mod review;
pub mod risk;
pub mod store;
pub mod web;
pub mod wire;
