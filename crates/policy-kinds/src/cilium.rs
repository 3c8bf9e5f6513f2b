//! `CiliumNetworkPolicy` and `CiliumClusterwideNetworkPolicy` (cilium.io/v2), as `pkg/policy/api` of Cilium 1.20 has
//! them.
//!
//! A list that is absent and an empty list are not the same there: without `fromEndpoints` a rule says nothing of
//! endpoints, with an empty one it matches nothing. So every list is an [`Option`].

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The label of the namespace of a pod, in selectors.
pub const NAMESPACE_LABEL: &str = "io.kubernetes.pod.namespace";

/// The prefix of the labels of the namespace of a pod, in selectors.
pub const NAMESPACE_LABELS_PREFIX: &str = "io.cilium.k8s.namespace.labels.";

macro_rules! plain {
    ($($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$meta])*
            #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
            #[serde(rename_all = "camelCase")]
            pub struct $name {
                $(
                    $(#[$field_meta])*
                    #[serde(default, skip_serializing_if = "Option::is_none")]
                    pub $field: Option<$type>,
                )*
            }
        )*
    };
}

/// A `CiliumNetworkPolicy`, or a `CiliumClusterwideNetworkPolicy`, which has no namespace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CiliumPolicy {
    #[serde(default)]
    pub metadata: ObjectMeta,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<CiliumRule>,
    /// More rules, each with a subject of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specs: Option<Vec<CiliumRule>>,
}

impl CiliumPolicy {
    /// Returns every rule, with its path: `spec`, `specs[0]`.
    pub fn rules(&self) -> impl Iterator<Item = (String, &CiliumRule)> {
        let first = self.spec.iter().map(|rule| ("spec".to_owned(), rule));
        let more = self.specs.iter().flatten().enumerate();
        first.chain(more.map(|(index, rule)| (format!("specs[{index}]"), rule)))
    }
}

plain! {
    /// One rule: a subject, and what is allowed and denied to it.
    pub struct CiliumRule {
        /// The pods that the rule is about. Exactly one of this and `node_selector` is there.
        pub endpoint_selector: LabelSelector,
        /// The nodes that the rule is about.
        pub node_selector: LabelSelector,
        pub ingress: Vec<CiliumIngress>,
        pub ingress_deny: Vec<CiliumIngress>,
        pub egress: Vec<CiliumEgress>,
        pub egress_deny: Vec<CiliumEgress>,
        /// Labels of the rule itself.
        pub labels: Vec<Value>,
        pub enable_default_deny: CiliumDefaultDeny,
        pub description: String,
        pub log: Value,
    }

    /// Whether the subject is isolated: by default in each direction for which the rule has a section.
    pub struct CiliumDefaultDeny {
        pub ingress: bool,
        pub egress: bool,
    }

    /// What may or may not come in. Only one of the fields `from…` is used at a time.
    pub struct CiliumIngress {
        pub from_endpoints: Vec<LabelSelector>,
        pub from_requires: Vec<Value>,
        #[serde(rename = "fromCIDR")]
        pub from_cidr: Vec<String>,
        #[serde(rename = "fromCIDRSet")]
        pub from_cidr_set: Vec<CiliumCidr>,
        pub from_entities: Vec<String>,
        pub from_groups: Vec<Value>,
        pub from_nodes: Vec<LabelSelector>,
        pub to_ports: Vec<CiliumPorts>,
        pub icmps: Vec<CiliumIcmp>,
        pub authentication: CiliumAuthentication,
    }

    /// What may or may not go out. Only one of the fields `to…` beside `toPorts` is used at a time.
    pub struct CiliumEgress {
        pub to_endpoints: Vec<LabelSelector>,
        pub to_requires: Vec<Value>,
        #[serde(rename = "toCIDR")]
        pub to_cidr: Vec<String>,
        #[serde(rename = "toCIDRSet")]
        pub to_cidr_set: Vec<CiliumCidr>,
        pub to_entities: Vec<String>,
        pub to_services: Vec<CiliumService>,
        pub to_groups: Vec<Value>,
        pub to_nodes: Vec<LabelSelector>,
        #[serde(rename = "toFQDNs")]
        pub to_fqdns: Vec<CiliumFqdn>,
        pub to_ports: Vec<CiliumPorts>,
        pub icmps: Vec<CiliumIcmp>,
        pub authentication: CiliumAuthentication,
    }

    /// A block of addresses.
    pub struct CiliumCidr {
        pub cidr: String,
        pub cidr_group_ref: String,
        pub cidr_group_selector: LabelSelector,
        pub except: Vec<String>,
    }

    /// A list of ports, and what is asked of the traffic to them.
    pub struct CiliumPorts {
        pub ports: Vec<CiliumPort>,
        /// Rules for requests: `http`, `dns` and others.
        pub rules: CiliumLayer7,
        pub server_names: Vec<String>,
        #[serde(rename = "terminatingTLS")]
        pub terminating_tls: Value,
        #[serde(rename = "originatingTLS")]
        pub originating_tls: Value,
        pub listener: Value,
    }

    /// One port, or a range of ports.
    pub struct CiliumPort {
        /// A number, a name, or `0` for every port.
        pub port: String,
        pub end_port: i32,
        /// `TCP`, `UDP`, `SCTP`, `ANY` and others; absent for any.
        pub protocol: String,
    }

    /// Rules for requests.
    pub struct CiliumLayer7 {
        pub http: Vec<Value>,
        /// The names that may be asked for. With it the proxy learns the addresses for `toFQDNs`.
        pub dns: Vec<CiliumFqdn>,
        pub kafka: Vec<Value>,
        pub l7proto: String,
        pub l7: Vec<Value>,
    }

    /// A name, or a pattern of names in which `*` stands for a part.
    pub struct CiliumFqdn {
        pub match_name: String,
        pub match_pattern: String,
    }

    /// A Service, by its name or by its labels.
    pub struct CiliumService {
        pub k8s_service: CiliumServiceName,
        pub k8s_service_selector: CiliumServiceSelector,
    }

    /// The name of a Service; without a namespace it is one of any namespace.
    pub struct CiliumServiceName {
        pub service_name: String,
        pub namespace: String,
    }

    /// The labels of Services.
    pub struct CiliumServiceSelector {
        pub selector: LabelSelector,
        pub namespace: String,
    }

    /// Types of ICMP.
    pub struct CiliumIcmp {
        pub fields: Vec<CiliumIcmpType>,
    }

    /// One type of ICMP, by its number or its name.
    pub struct CiliumIcmpType {
        pub family: String,
        #[serde(rename = "type")]
        pub icmp_type: IntOrString,
    }

    /// Mutual authentication.
    pub struct CiliumAuthentication {
        /// `disabled`, `required` or `test-always-fail`.
        pub mode: String,
    }
}
