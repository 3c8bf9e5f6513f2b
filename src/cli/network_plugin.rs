//! `--network-plugin` and `--service-enforcement`: the same options for every command that judges traffic.

use crate::graph::ServiceEnforcements;
use crate::inventory::Inventory;
use crate::plugin::{EnforcedPorts, Profile};
use clap::ValueEnum;

/// Which network plugin enforces the policies.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct PluginArg {
    /// The network plugin, where the cluster's objects do not show it or show another one, with its options:
    /// cilium,policy-cidr-match-mode=nodes (all: docs/plugins.md).
    #[arg(
        long,
        env = "NANOSEG_NETWORK_PLUGIN",
        value_name = "NAME[,OPTION=VALUE]",
        value_parser = profile
    )]
    network_plugin: Option<Profile>,
}

impl PluginArg {
    /// The plugin that was named.
    pub fn profile(self) -> Option<Profile> {
        self.network_plugin
    }
}

/// The same, and where it checks traffic to Services.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct NetworkPluginArgs {
    #[command(flatten)]
    plugin: PluginArg,
    /// Where the network plugin checks traffic to a Service, if not as its profile says.
    #[arg(long, env = "NANOSEG_SERVICE_ENFORCEMENT", value_enum)]
    service_enforcement: Option<Enforcement>,
}

fn profile(text: &str) -> Result<Profile, String> {
    text.parse().map_err(|error| format!("{error}"))
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Enforcement {
    /// On the pod's port: Calico, Cilium, kube-router and most others.
    AfterTranslation,
    /// On the Service's port as well.
    BeforeTranslation,
}

impl NetworkPluginArgs {
    /// The plugin that was named.
    pub fn profile(self) -> Option<Profile> {
        self.plugin.profile()
    }

    /// On which ports connections through Services are checked, if it was said.
    pub fn ports(self) -> Option<EnforcedPorts> {
        self.service_enforcement.map(|said| match said {
            Enforcement::AfterTranslation => EnforcedPorts::Pod,
            Enforcement::BeforeTranslation => EnforcedPorts::Either,
        })
    }

    /// The same for every namespace.
    pub fn everywhere(self) -> ServiceEnforcements {
        ServiceEnforcements {
            default: self.ports(),
            ..ServiceEnforcements::default()
        }
    }
}

/// Says on standard error that the judged policies are without effect, where that is so
/// (rule: unenforced-is-everything).
pub fn note_not_enforced(inventory: &Inventory) {
    let plugin = &inventory.network_plugin;
    if !plugin.behaviour().enforces {
        eprintln!("note: the network plugin enforces no policy: {plugin}");
    }
}
