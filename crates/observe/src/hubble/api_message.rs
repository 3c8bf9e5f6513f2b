//! Hubble's events as messages of its API: brought to the form of the JSON reader, which decides what
//! they mean.

use super::generated::flow::{self as proto, layer4::Protocol};
use super::generated::observer::{GetFlowsResponse, get_flows_response::ResponseTypes};
use super::generated::relay::NodeState;
use super::json::{HubbleLine, HubbleLineError, NodeName, node_status};
use super::raw::{
    EnumValue, RawDns, RawEndpoint, RawEventType, RawFlags, RawFlow, RawIp, RawLayer4, RawLayer7,
    RawPorts, RawService, RawWorkload,
};
use serde::de::IgnoredAny;

/// Reads a response.
pub(super) fn parse_response(response: GetFlowsResponse) -> Result<HubbleLine, HubbleLineError> {
    match response.response_types {
        Some(ResponseTypes::Flow(mut flow)) => {
            flow.time = flow.time.or(response.time);
            if flow.node_name.is_empty() {
                flow.node_name = response.node_name;
            }
            raw_flow(flow)?.parse()
        }
        Some(ResponseTypes::LostEvents(lost)) => Ok(HubbleLine::Lost {
            count: lost.num_events_lost,
            node: NodeName::parse(&response.node_name),
        }),
        Some(ResponseTypes::NodeStatus(status)) => {
            let connected = status.state_change() == NodeState::NodeConnected;
            Ok(node_status(&status.node_names, connected))
        }
        None => Ok(HubbleLine::Skipped("hubble-agent-event")),
    }
}

fn raw_flow(flow: proto::Flow) -> Result<RawFlow, HubbleLineError> {
    let time = |at: proto::Timestamp| jiff::Timestamp::new(at.seconds, at.nanos);
    Ok(RawFlow {
        time: flow.time.map(time).transpose().map_err(malformed)?,
        verdict: number(flow.verdict),
        drop_reason_desc: number(flow.drop_reason_desc),
        drop_reason: match flow.drop_reason {
            0 => EnumValue::None,
            reason => EnumValue::Number(reason.into()),
        },
        ip: flow.ip.map(|ip| RawIp {
            source: ip.source,
            destination: ip.destination,
        }),
        l4: flow.l4.map(layer4).transpose()?,
        source: flow.source.map(endpoint),
        destination: flow.destination.map(endpoint),
        r#type: number(flow.r#type),
        source_names: flow.source_names,
        destination_names: flow.destination_names,
        l7: flow.l7.map(|l7| RawLayer7 {
            r#type: number(l7.r#type),
            dns: l7.dns.map(|dns| RawDns {
                query: dns.query,
                ips: dns.ips,
                ttl: dns.ttl,
            }),
        }),
        // False and absent are the same on the wire; JSON leaves it out then.
        reply: flow.reply.then_some(true),
        is_reply: flow.is_reply,
        event_type: flow.event_type.map(|event| RawEventType {
            r#type: event.r#type.into(),
            sub_type: event.sub_type.into(),
        }),
        source_service: flow.source_service.map(service),
        destination_service: flow.destination_service.map(service),
        trace_observation_point: number(flow.trace_observation_point),
        node_name: flow.node_name,
    })
}

fn malformed(error: impl std::fmt::Display) -> HubbleLineError {
    HubbleLineError::Malformed(error.to_string())
}

/// An enum's value; 0 is what JSON leaves out.
fn number(value: i32) -> EnumValue {
    match value {
        0 => EnumValue::None,
        value => EnumValue::Number(value.into()),
    }
}

fn layer4(l4: proto::Layer4) -> Result<RawLayer4, HubbleLineError> {
    let mut raw = RawLayer4::default();
    match l4.protocol {
        Some(Protocol::Tcp(tcp)) => {
            let flags = tcp.flags.map(|flags| RawFlags {
                fin: flags.fin,
                syn: flags.syn,
                rst: flags.rst,
                ack: flags.ack,
            });
            raw.tcp = Some(ports(tcp.source_port, tcp.destination_port, flags)?);
        }
        Some(Protocol::Udp(udp)) => {
            raw.udp = Some(ports(udp.source_port, udp.destination_port, None)?);
        }
        Some(Protocol::Sctp(sctp)) => {
            raw.sctp = Some(ports(sctp.source_port, sctp.destination_port, None)?);
        }
        Some(Protocol::IcmPv4(_)) => raw.icmp_v4 = Some(IgnoredAny),
        Some(Protocol::IcmPv6(_)) => raw.icmp_v6 = Some(IgnoredAny),
        None => {}
    }
    Ok(raw)
}

fn ports(
    source: u32,
    destination: u32,
    flags: Option<RawFlags>,
) -> Result<RawPorts, HubbleLineError> {
    Ok(RawPorts {
        source_port: source.try_into().map_err(malformed)?,
        destination_port: destination.try_into().map_err(malformed)?,
        flags,
    })
}

fn endpoint(end: proto::Endpoint) -> RawEndpoint {
    let workload = |workload: proto::Workload| RawWorkload {
        name: workload.name,
        kind: workload.kind,
    };
    RawEndpoint {
        identity: end.identity.into(),
        namespace: end.namespace,
        labels: end.labels,
        pod_name: end.pod_name,
        workloads: end.workloads.into_iter().map(workload).collect(),
        cluster_name: end.cluster_name,
    }
}

fn service(service: proto::Service) -> RawService {
    RawService {
        name: service.name,
        namespace: service.namespace,
    }
}
