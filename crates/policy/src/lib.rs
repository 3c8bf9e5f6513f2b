//! Room 2a: from requirements to NetworkPolicies, and their YAML text (docs/design.md, "Rules of generation").
//!
//! Decides which labels select a workload, how rules are grouped, and how addresses and ports are
//! written. It never checks its own work: `evaluate`, which shares no code with this crate, computes what
//! the policies allow.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may read files and print"
    )
)]

mod baseline;
mod bit_set;
mod dialect;
mod ip_blocks;
mod label;
mod name;
mod ports;
mod render;
mod rule;
mod select;
mod selector;
mod synthesis;
#[cfg(test)]
mod testing;
mod yaml;

pub use baseline::{Baseline, BaselineOptions, BaselinePolicy, baseline};
pub use dialect::{Dialect, NativePolicy};
pub use name::file_name;
pub use render::{render, render_kustomization};
pub use rule::{PeerOrigin, RuleOrigin};
pub use selector::Selector;
pub use synthesis::{
    Synthesis, SynthesisOptions, WorkloadPolicy, open_entry_requirements, synthesise,
};
