//! ConfigMaps of network plugins: of a few names the few values that change what the plugin does with policies.

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
    #[serde(default, deserialize_with = "identity")]
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

/// What tells one object from another. Its annotations may have the data once more.
fn identity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let all = ObjectMeta::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: all.name,
        namespace: all.namespace,
        uid: all.uid,
        resource_version: all.resource_version,
        ..ObjectMeta::default()
    })
}

fn options<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let all: Option<BTreeMap<String, String>> = Option::deserialize(deserializer)?;
    let mut kept = all.unwrap_or_default();
    kept.retain(|key, _| KEYS.contains(&key.as_str()));
    Ok(kept)
}

impl k8s_openapi::Resource for ConfigMap {
    const API_VERSION: &'static str = "v1";
    const GROUP: &'static str = "";
    const KIND: &'static str = "ConfigMap";
    const VERSION: &'static str = "v1";
    const URL_PATH_SEGMENT: &'static str = "configmaps";
    type Scope = k8s_openapi::NamespaceResourceScope;
}

impl k8s_openapi::Metadata for ConfigMap {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_configuration_only_the_options_of_the_plugin_are_kept() {
        let text = r#"{"metadata": {"name": "cilium-config", "namespace": "kube-system", "annotations": {"a": "secret"}},
            "data": {"policy-cidr-match-mode": "nodes", "etcd-config": "secret"}}"#;
        let map: ConfigMap = serde_json::from_str(text).unwrap();
        assert_eq!(map.data.len(), 1);
        assert!(!serde_json::to_string(&map).unwrap().contains("secret"));
        assert!(ConfigMap::is_read("cilium-config") && !ConfigMap::is_read("kubeconfig"));
    }
}
