//! `--service-enforcement`: the same option for every command that judges traffic.

use crate::graph::{ServiceEnforcement, ServiceEnforcements};
use clap::ValueEnum;

/// Where the network plugin checks connections through Services.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct ServiceEnforcementArgs {
    /// Where the network plugin checks traffic to a Service.
    #[arg(
        long,
        env = "NANOSEG_SERVICE_ENFORCEMENT",
        value_enum,
        default_value_t = Enforcement::AfterTranslation
    )]
    service_enforcement: Enforcement,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Enforcement {
    /// On the pod's port: Calico, Cilium, kube-router and most others.
    AfterTranslation,
    /// On the Service's port as well.
    BeforeTranslation,
}

impl ServiceEnforcementArgs {
    /// Returns the setting.
    pub fn setting(self) -> ServiceEnforcement {
        match self.service_enforcement {
            Enforcement::AfterTranslation => ServiceEnforcement::AfterTranslation,
            Enforcement::BeforeTranslation => ServiceEnforcement::BeforeTranslation,
        }
    }

    /// Returns the setting for every namespace.
    pub fn everywhere(self) -> ServiceEnforcements {
        self.setting().into()
    }
}
