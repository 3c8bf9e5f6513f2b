//! Parts of a `ClusterNetworkPolicy`.

use crate::name::valid_name;
use crate::rule::NAMESPACE_LABEL;
use crate::selector::Selector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use nanoseg_net::Protocol;
use nanoseg_policy_kinds::admin::{
    AdminPeer, AdminSubject, ClusterPort, ClusterPorts, ClusterProtocol, NamespacedPod,
};
use std::collections::{BTreeMap, BTreeSet};

/// Pods of one namespace.
pub(super) struct Pods {
    pub namespace: String,
    pub selector: Selector,
}

impl Pods {
    fn namespaced(&self) -> NamespacedPod {
        NamespacedPod {
            namespace_selector: has(NAMESPACE_LABEL, &self.namespace),
            pod_selector: self.selector.to_api(),
        }
    }

    pub fn subject(&self) -> AdminSubject {
        AdminSubject {
            pods: Some(self.namespaced()),
            namespaces: None,
        }
    }

    pub fn peer(&self) -> AdminPeer {
        AdminPeer {
            pods: Some(self.namespaced()),
            ..AdminPeer::default()
        }
    }
}

/// The selector of a label with that value.
pub(super) fn has(key: &str, value: &str) -> LabelSelector {
    LabelSelector {
        match_labels: Some(BTreeMap::from([(key.to_owned(), value.to_owned())])),
        match_expressions: None,
    }
}

/// One entry for each port.
pub(super) fn ports(ports: &BTreeSet<(u16, Protocol)>) -> Vec<ClusterProtocol> {
    let one = |(number, protocol): &(u16, Protocol)| {
        let port = Some(ClusterPorts {
            destination_port: Some(ClusterPort {
                number: Some(i32::from(*number)),
                range: None,
            }),
        });
        let mut written = ClusterProtocol::default();
        match protocol {
            Protocol::Tcp => written.tcp = port,
            Protocol::Udp => written.udp = port,
            Protocol::Sctp => written.sctp = port,
        }
        written
    };
    ports.iter().map(one).collect()
}

/// A name that the API server takes, different for different texts.
pub(super) fn name(text: &str) -> String {
    valid_name(text)
}
