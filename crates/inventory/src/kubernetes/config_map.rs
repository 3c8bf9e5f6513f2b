//! ConfigMaps of network plugins: of a few names the few values that change what the plugin does with policies.

use super::{known_as, small_metadata};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// The values that are kept. All others are dropped: they may be secrets.
const KEYS: [&str; 5] = [
    "enable-network-policy-controller",
    "enable-policy",
    "enable-sctp",
    "kube-proxy-replacement",
    "policy-cidr-match-mode",
];

/// The configuration of a network plugin.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigMap {
    #[serde(default, deserialize_with = "small_metadata")]
    pub metadata: ObjectMeta,
    /// Of its data only what network plugins call their options.
    #[serde(
        default,
        deserialize_with = "options",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub data: BTreeMap<String, String>,
}

impl ConfigMap {
    /// The names of the ConfigMaps that are read, all in `kube-system` or the plugin's own namespace.
    pub const NAMES: [&str; 2] = ["cilium-config", "amazon-vpc-cni"];

    /// Returns true if a ConfigMap of this name is read.
    pub fn is_read(name: &str) -> bool {
        ConfigMap::NAMES.contains(&name)
    }
}

fn options<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let all: Option<BTreeMap<String, String>> = Option::deserialize(deserializer)?;
    let mut kept = all.unwrap_or_default();
    kept.retain(|key, _| KEYS.contains(&key.as_str()));
    Ok(kept)
}

known_as! {
    ConfigMap k8s_openapi::api::core::v1::ConfigMap;
}
