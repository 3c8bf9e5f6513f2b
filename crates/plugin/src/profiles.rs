//! The facts of each plugin. One file for each; a plugin that is another one inside has that one's facts with its own
//! source where it differs.

mod antrea;
mod aws_vpc_cni;
mod azure;
mod calico;
mod cilium;
mod gke_dataplane_v2;
mod kube_network_policies;
mod kube_router;
mod none;
mod ovn_kubernetes;
mod spec;

pub(super) use spec::SPEC;

use super::fact::Facts;
use super::network_plugin::NetworkPlugin;

/// The facts of a plugin with its default options.
pub(super) const fn facts_of(plugin: NetworkPlugin) -> &'static Facts {
    match plugin {
        NetworkPlugin::Spec => &SPEC,
        NetworkPlugin::Cilium => &cilium::CILIUM,
        NetworkPlugin::Calico => &calico::CALICO,
        NetworkPlugin::AwsVpcCni => &aws_vpc_cni::AWS_VPC_CNI,
        NetworkPlugin::AzureNpm => &azure::AZURE_NPM,
        NetworkPlugin::AzureCilium => &azure::AZURE_CILIUM,
        NetworkPlugin::GkeDataplaneV2 => &gke_dataplane_v2::GKE_DATAPLANE_V2,
        NetworkPlugin::Antrea => &antrea::ANTREA,
        NetworkPlugin::OvnKubernetes => &ovn_kubernetes::OVN_KUBERNETES,
        NetworkPlugin::KubeRouter => &kube_router::KUBE_ROUTER,
        NetworkPlugin::KubeNetworkPolicies => &kube_network_policies::KUBE_NETWORK_POLICIES,
        NetworkPlugin::None => &none::NONE,
    }
}
