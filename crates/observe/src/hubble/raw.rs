//! The fields of Hubble's events that are read, as JSON and messages have them. Field names come as the .proto spells them
//! or in camel case, enums as words or numbers, 64-bit numbers as strings.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// An enum's value: its name or its number. Also 64-bit numbers.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
pub(super) enum EnumValue {
    Text(String),
    Number(i64),
    #[default]
    None,
}

impl EnumValue {
    pub fn is(&self, word: &str, number: i64) -> bool {
        match self {
            EnumValue::Text(text) => text == word,
            EnumValue::Number(n) => *n == number,
            EnumValue::None => false,
        }
    }

    pub fn number(&self) -> Option<i64> {
        match self {
            EnumValue::Text(text) => text.parse().ok(),
            EnumValue::Number(number) => Some(*number),
            EnumValue::None => None,
        }
    }
}

/// The envelope of `GetFlowsResponse` and `ExportEvent`.
#[derive(Debug, Deserialize)]
pub(super) struct RawLine {
    pub flow: Option<RawFlow>,
    #[serde(alias = "lostEvents")]
    pub lost_events: Option<RawLost>,
    #[serde(alias = "nodeStatus")]
    pub node_status: Option<RawNodeStatus>,
    #[serde(alias = "agentEvent")]
    pub agent_event: Option<IgnoredAny>,
    #[serde(alias = "debugEvent")]
    pub debug_event: Option<IgnoredAny>,
    #[serde(default, alias = "nodeName")]
    pub node_name: String,
    pub time: Option<jiff::Timestamp>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawNodeStatus {
    #[serde(alias = "stateChange")]
    pub state_change: EnumValue,
    #[serde(alias = "nodeNames")]
    pub node_names: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawLost {
    #[serde(default, alias = "numEventsLost")]
    pub num_events_lost: EnumValue,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawFlow {
    pub time: Option<jiff::Timestamp>,
    pub verdict: EnumValue,
    #[serde(alias = "dropReasonDesc")]
    pub drop_reason_desc: EnumValue,
    #[serde(alias = "dropReason")]
    pub drop_reason: EnumValue,
    #[serde(alias = "IP")]
    pub ip: Option<RawIp>,
    pub l4: Option<RawLayer4>,
    pub source: Option<RawEndpoint>,
    pub destination: Option<RawEndpoint>,
    #[serde(alias = "Type")]
    pub r#type: EnumValue,
    #[serde(alias = "sourceNames")]
    pub source_names: Vec<String>,
    #[serde(alias = "destinationNames")]
    pub destination_names: Vec<String>,
    pub l7: Option<RawLayer7>,
    pub reply: Option<bool>,
    #[serde(alias = "isReply")]
    pub is_reply: Option<bool>,
    #[serde(alias = "eventType")]
    pub event_type: Option<RawEventType>,
    #[serde(alias = "sourceService")]
    pub source_service: Option<RawService>,
    #[serde(alias = "destinationService")]
    pub destination_service: Option<RawService>,
    #[serde(alias = "traceObservationPoint")]
    pub trace_observation_point: EnumValue,
    /// `CLUSTER/NODE`, or `NODE` alone.
    #[serde(alias = "nodeName")]
    pub node_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawIp {
    pub source: String,
    pub destination: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawLayer4 {
    #[serde(alias = "TCP")]
    pub tcp: Option<RawPorts>,
    #[serde(alias = "UDP")]
    pub udp: Option<RawPorts>,
    #[serde(alias = "SCTP")]
    pub sctp: Option<RawPorts>,
    #[serde(rename = "ICMPv4", alias = "icmpv4")]
    pub icmp_v4: Option<IgnoredAny>,
    #[serde(rename = "ICMPv6", alias = "icmpv6")]
    pub icmp_v6: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawPorts {
    #[serde(alias = "sourcePort")]
    pub source_port: u16,
    #[serde(alias = "destinationPort")]
    pub destination_port: u16,
    pub flags: Option<RawFlags>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawFlags {
    #[serde(alias = "FIN")]
    pub fin: bool,
    #[serde(alias = "SYN")]
    pub syn: bool,
    #[serde(alias = "RST")]
    pub rst: bool,
    #[serde(alias = "ACK")]
    pub ack: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawEndpoint {
    pub identity: u64,
    pub namespace: String,
    pub labels: Vec<String>,
    #[serde(alias = "podName")]
    pub pod_name: String,
    pub workloads: Vec<RawWorkload>,
    #[serde(alias = "clusterName")]
    pub cluster_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawWorkload {
    pub name: String,
    pub kind: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawService {
    pub name: String,
    pub namespace: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawEventType {
    pub r#type: i64,
    #[serde(alias = "subType")]
    pub sub_type: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawLayer7 {
    pub r#type: EnumValue,
    pub dns: Option<RawDns>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawDns {
    pub query: String,
    pub ips: Vec<String>,
    pub ttl: u32,
}
