//! The network plugins that nanoseg has a profile of.

use serde::Serialize;
use std::fmt;

macro_rules! plugins {
    ($( $(#[$attribute:meta])* $variant:ident $name:literal $title:literal; )*) => {
        /// A network plugin, by how it enforces NetworkPolicies. A closed list.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum NetworkPlugin { $( #[doc = $title] $(#[$attribute])* $variant, )* }

        impl NetworkPlugin {
            /// Every plugin, in the order of the list.
            pub const ALL: &'static [NetworkPlugin] = &[ $( NetworkPlugin::$variant, )* ];

            /// The name of the option `--network-plugin`. It is stable.
            pub const fn name(self) -> &'static str {
                match self { $( NetworkPlugin::$variant => $name, )* }
            }

            /// The name that people know.
            pub const fn title(self) -> &'static str {
                match self { $( NetworkPlugin::$variant => $title, )* }
            }
        }
    };
}

plugins! {
    #[default] Spec "spec" "the specification of NetworkPolicy";
    Cilium "cilium" "Cilium";
    Calico "calico" "Calico";
    AwsVpcCni "aws-vpc-cni" "Amazon VPC CNI";
    AzureNpm "azure-npm" "Azure Network Policy Manager";
    AzureCilium "azure-cilium" "Azure CNI Powered by Cilium";
    GkeDataplaneV2 "gke-dataplane-v2" "GKE Dataplane V2";
    Antrea "antrea" "Antrea";
    OvnKubernetes "ovn-kubernetes" "OVN-Kubernetes";
    KubeRouter "kube-router" "kube-router";
    KubeNetworkPolicies "kube-network-policies" "kube-network-policies";
    None "none" "no plugin that enforces policies";
}

impl NetworkPlugin {
    /// The plugin with this name.
    pub fn named(name: &str) -> Option<NetworkPlugin> {
        let mut all = NetworkPlugin::ALL.iter().copied();
        all.find(|plugin| plugin.name() == name)
    }

    /// Returns true if Cilium's agent enforces, under whatever name.
    pub const fn is_cilium(self) -> bool {
        matches!(
            self,
            NetworkPlugin::Cilium | NetworkPlugin::AzureCilium | NetworkPlugin::GkeDataplaneV2
        )
    }
}

impl fmt::Display for NetworkPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
