//! Room 0: what each network plugin does with NetworkPolicies, as data (rule: plugin-is-part-of-the-model).
//!
//! A [`Profile`] is a [`NetworkPlugin`] with its options. Its [`Facts`] say what the plugin does, each with its source,
//! the versions it holds for, and the test that shows it. Generator and evaluator take the [`Behaviour`], which has
//! the values alone. `docs/plugins.md` is written from the facts.
//!
//! Which plugin a cluster runs is found by `inventory`.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may read files and print"
    )
)]

mod behaviour;
mod cluster_plugin;
mod deviation;
mod fact;
mod network_plugin;
mod options;
mod profile;
mod profiles;
mod table;

pub use behaviour::{
    Behaviour, Covers, EnforcedPorts, Established, Icmp, IpBlockMatch, Limits, PodMatch, SeenClient,
};
pub use cluster_plugin::{ClusterPlugin, ToldBy};
pub use deviation::Deviation;
pub use fact::{Aspect, Fact, FactRow, Facts};
pub use network_plugin::NetworkPlugin;
pub use options::{CidrMatchMode, PluginOption, PluginOptions, PolicyMode};
pub use profile::{Profile, ProfileError};
pub use table::table;
