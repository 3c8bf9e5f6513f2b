//! nanoseg: observed traffic in, proven minimal NetworkPolicies out.
//!
//! The way of the data reads like the table of contents: [`observe`] (bytes) → [`flow`] (packets,
//! connections, flow records) → [`inventory`] (who owned an address when) → [`graph`] → [`policy`]
//! → [`evaluate`] (proof) → [`report`]. ARCHITECTURE.md has the table of which room may use which;
//! a test reads it.

#![cfg_attr(
    not(feature = "cluster"),
    allow(
        dead_code,
        reason = "some of it is used by the commands that are left out"
    )
)]

#[cfg(feature = "cluster")]
pub mod agent;
pub mod cli;
pub mod cluster;
#[cfg(feature = "cluster")]
pub mod controller;
pub mod load;
#[cfg(feature = "cluster")]
pub mod web;

pub use nanoseg_evaluate as evaluate;
pub use nanoseg_finding as finding;
pub use nanoseg_flow as flow;
pub use nanoseg_graph as graph;
pub use nanoseg_inventory as inventory;
#[cfg(feature = "cluster")]
pub use nanoseg_listen as listen;
pub use nanoseg_net as net;
pub use nanoseg_observe as observe;
pub use nanoseg_pipeline as pipeline;
pub use nanoseg_plugin as plugin;
pub use nanoseg_policy as policy;
pub use nanoseg_policy_kinds as policy_kinds;
#[cfg(feature = "cluster")]
pub use nanoseg_probe as probe;
pub use nanoseg_record as record;
pub use nanoseg_report as report;
#[cfg(feature = "cluster")]
pub use nanoseg_review as review;
pub use nanoseg_risk as risk;
pub use nanoseg_store as store;
#[cfg(feature = "cluster")]
pub use nanoseg_wire as wire;
