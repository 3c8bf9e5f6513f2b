//! Hubble's events as JSON: `hubble observe -o jsonpb` (an event with its envelope) and what Cilium's
//! exporter writes. Field names come as the .proto spells them or in camel case, enums as words or
//! numbers, 64-bit numbers as strings; all are read.

use super::drop_reason;
use super::flow::{DnsAnswer, HubbleFlow, Layer4, PacketFate, ReplyFlag};
use super::peer_labels::{EndpointFacts, build_label};
use super::raw::{
    EnumValue, RawEndpoint, RawFlags, RawFlow, RawLayer4, RawLayer7, RawLine, RawService,
};
use nanoseg_flow::TcpFlags;
use nanoseg_net::{Timestamp, parse_address};
use std::net::{IpAddr, SocketAddr};

/// The content of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubbleLine {
    Flow(Box<HubbleFlow>),
    /// So many events were lost on their way.
    Lost {
        count: u64,
        /// On this node, as far as it is said.
        node: Option<NodeName>,
    },
    /// The state of nodes changed, as Relay sees them.
    Nodes {
        nodes: Vec<NodeName>,
        /// Their events are seen from now on, or no more.
        seen: bool,
    },
    /// Nothing of a connection; the reason.
    Skipped(&'static str),
}

/// A node's name, and that of its cluster where it has one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeName {
    pub cluster: Option<String>,
    pub name: String,
}

impl NodeName {
    /// Reads `NODE` or `CLUSTER/NODE`; `None` if there is none.
    pub fn parse(text: &str) -> Option<NodeName> {
        let (cluster, name) = match text.split_once('/') {
            Some((cluster, name)) => (Some(cluster.to_owned()), name),
            None => (None, text),
        };
        (!name.is_empty()).then(|| NodeName {
            cluster,
            name: name.to_owned(),
        })
    }
}

/// Why a line is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HubbleLineError {
    #[error("{0}")]
    Malformed(String),
    /// An event without what makes a connection.
    #[error("there is no {0} in the flow")]
    Incomplete(&'static str),
}

/// Reads one line.
///
/// # Errors
/// What is no JSON object of Hubble, or an event that is not whole.
pub fn parse_line(text: &str) -> Result<HubbleLine, HubbleLineError> {
    let malformed = |error: serde_json::Error| {
        let text = error.to_string();
        let end = text.rfind(" at line ").unwrap_or(text.len());
        HubbleLineError::Malformed(text.get(..end).unwrap_or(&text).to_owned())
    };
    let line: RawLine = serde_json::from_str(text).map_err(malformed)?;
    if let Some(lost) = line.lost_events {
        let count = lost.num_events_lost.number().unwrap_or(1);
        return Ok(HubbleLine::Lost {
            count: count.unsigned_abs(),
            node: NodeName::parse(&line.node_name),
        });
    }
    if let Some(status) = line.node_status {
        let connected = status.state_change.is("NODE_CONNECTED", 1);
        return Ok(node_status(&status.node_names, connected));
    }
    if line.agent_event.is_some() || line.debug_event.is_some() {
        return Ok(HubbleLine::Skipped("hubble-agent-event"));
    }
    let mut flow = match line.flow {
        Some(flow) => flow,
        None => serde_json::from_str(text).map_err(malformed)?,
    };
    flow.time = flow.time.or(line.time);
    if flow.node_name.is_empty() {
        flow.node_name = line.node_name;
    }
    flow.parse()
}

/// Relay's word about nodes.
pub(super) fn node_status(names: &[String], connected: bool) -> HubbleLine {
    let nodes = names.iter().filter_map(|name| NodeName::parse(name));
    HubbleLine::Nodes {
        nodes: nodes.collect(),
        seen: connected,
    }
}

/// Event types and the one flow type that is no packet (cilium: pkg/monitor/api/types.go, flow.proto).
const DROP: i64 = 1;
const TRACE: i64 = 4;
const POLICY_VERDICT: i64 = 5;
const SOCK: i64 = 3;

impl RawFlow {
    /// What matters of the event.
    pub fn parse(self) -> Result<HubbleLine, HubbleLineError> {
        if self.r#type.is("SOCK", SOCK) {
            return Ok(HubbleLine::Skipped("hubble-socket-event"));
        }
        let missing = HubbleLineError::Incomplete;
        let l4 = self.l4.as_ref().ok_or(missing("transport"))?;
        if l4.icmp_v4.is_some() || l4.icmp_v6.is_some() {
            return Ok(HubbleLine::Skipped("hubble-icmp"));
        }
        let (layer4, ports) = match l4 {
            RawLayer4 { tcp: Some(tcp), .. } => {
                (Layer4::Tcp(tcp.flags.as_ref().map(RawFlags::flags)), tcp)
            }
            RawLayer4 { udp: Some(udp), .. } => (Layer4::Udp, udp),
            RawLayer4 {
                sctp: Some(sctp), ..
            } => (Layer4::Sctp, sctp),
            _ => return Err(missing("transport")),
        };
        let ip = self.ip.as_ref().ok_or(missing("address"))?;
        let address = |text: &str| parse_address(text).ok_or(missing("address"));
        let ends = [
            SocketAddr::new(address(&ip.source)?, ports.source_port),
            SocketAddr::new(address(&ip.destination)?, ports.destination_port),
        ];
        if ends.iter().any(|end| end.port() == 0) {
            return Err(missing("port"));
        }
        let time: Timestamp = self.time.ok_or(missing("time"))?.into();
        let node = NodeName::parse(&self.node_name);
        Ok(HubbleLine::Flow(Box::new(HubbleFlow {
            time,
            ends,
            layer4,
            reply: self.reply(),
            fate: self.fate(),
            layer7: self.l7.is_some(),
            point: self.point(),
            labels: [&self.source, &self.destination]
                .map(|end| end.as_ref()?.label(self.observer_cluster())),
            services: [&self.source_service, &self.destination_service]
                .map(|s| s.as_ref()?.parse()),
            dns: self.l7.as_ref().and_then(RawLayer7::answer),
            names: [self.source_names, self.destination_names],
            cluster: node.as_ref().and_then(|node| node.cluster.clone()),
            node: node.map(|node| node.name),
        })))
    }

    fn fate(&self) -> PacketFate {
        if self.verdict.is("AUDIT", 4) {
            return PacketFate::Audited;
        }
        if self.verdict.is("ERROR", 3) {
            return PacketFate::Lost;
        }
        if !self.verdict.is("DROPPED", 2) {
            return PacketFate::Passed;
        }
        let sub_type = self.event_type.as_ref().filter(|of| of.r#type == DROP);
        let reasons = [
            drop_reason::number(&self.drop_reason_desc),
            drop_reason::number(&self.drop_reason),
            sub_type.map(|of| of.sub_type).filter(|reason| *reason != 0),
        ];
        match reasons.into_iter().flatten().next() {
            Some(reason) if !drop_reason::is_of_policy(reason) => PacketFate::Lost,
            _ => PacketFate::Denied,
        }
    }

    /// The cluster of the node that saw it, where its name has one.
    fn observer_cluster(&self) -> Option<&str> {
        self.node_name.split_once('/').map(|(cluster, _)| cluster)
    }

    fn reply(&self) -> ReplyFlag {
        let l7 = |word, number| {
            self.l7
                .as_ref()
                .is_some_and(|l7| l7.r#type.is(word, number))
        };
        match (self.is_reply, self.reply) {
            (Some(true), _) | (None, Some(true)) => ReplyFlag::Reply,
            (Some(false), _) => ReplyFlag::Request,
            _ if l7("REQUEST", 1) => ReplyFlag::Request,
            _ if l7("RESPONSE", 2) => ReplyFlag::Reply,
            _ if self.was_looked_up() => ReplyFlag::Absent,
            _ => ReplyFlag::Unknown,
        }
    }

    /// Returns true if Cilium knew the connection where it saw the packet: on the way to an endpoint, the stack
    /// or the proxy, and where a policy had decided. On its way out of the node it is not looked up.
    fn was_looked_up(&self) -> bool {
        let event = self.event_type.as_ref().map_or(0, |event| event.r#type);
        let point = &self.trace_observation_point;
        let places = [
            ("TO_ENDPOINT", 101),
            ("TO_STACK", 3),
            ("TO_PROXY", 1),
            ("TO_HOST", 2),
        ];
        match event {
            POLICY_VERDICT => true,
            TRACE => places.iter().any(|(word, number)| point.is(word, *number)),
            _ => false,
        }
    }

    /// A number for the place where it was seen.
    fn point(&self) -> i64 {
        let event = self.event_type.as_ref().map_or(0, |event| event.r#type);
        let point = match &self.trace_observation_point {
            EnumValue::Text(text) => text
                .bytes()
                .fold(0, |sum, byte| sum * 31 % 65_521 + i64::from(byte)),
            EnumValue::Number(number) => *number,
            EnumValue::None => 0,
        };
        event.wrapping_shl(32) ^ point
    }
}

impl RawFlags {
    fn flags(&self) -> TcpFlags {
        let bits = [(self.fin, 1), (self.syn, 2), (self.rst, 4), (self.ack, 16)];
        TcpFlags(
            bits.iter()
                .filter(|(set, _)| *set)
                .map(|(_, bit)| bit)
                .sum(),
        )
    }
}

impl RawEndpoint {
    fn label(&self, observer_cluster: Option<&str>) -> Option<nanoseg_flow::PeerLabel> {
        let first = self.workloads.first();
        build_label(&EndpointFacts {
            namespace: &self.namespace,
            pod_name: &self.pod_name,
            workload: first.map(|w| (w.kind.as_str(), w.name.as_str())),
            labels: &self.labels,
            identity: self.identity,
            cluster: &self.cluster_name,
            observer_cluster,
        })
    }
}

impl RawService {
    fn parse(&self) -> Option<(String, String)> {
        let known = !self.name.is_empty() && !self.namespace.is_empty();
        known.then(|| (self.namespace.clone(), self.name.clone()))
    }
}

impl RawLayer7 {
    fn answer(&self) -> Option<DnsAnswer> {
        let dns = self.dns.as_ref()?;
        let addresses: Vec<IpAddr> = dns.ips.iter().filter_map(|ip| parse_address(ip)).collect();
        let query = dns.query.trim_end_matches('.').to_ascii_lowercase();
        (!addresses.is_empty() && !query.is_empty()).then_some(DnsAnswer {
            query,
            addresses,
            ttl: dns.ttl,
        })
    }
}
