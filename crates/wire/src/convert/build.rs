//! Converts the types of [`nanoseg_flow`] to protobuf messages.

use super::{SCHEMA, proto};
use nanoseg_flow::{
    FlowBatch, FlowRecord, NameEntry, NamedBy, Opening, OtherKind, OtherTraffic, PeerLabel,
    PeerLabels, ScanSummary, Source, Verdict,
};
use nanoseg_net::Protocol;
use std::net::{IpAddr, SocketAddr};

pub fn build_batch(batch: &FlowBatch) -> proto::FlowBatch {
    let seen = &batch.seen;
    proto::FlowBatch {
        schema: SCHEMA,
        node: batch.node.to_string(),
        instance: batch.instance.0.to_vec(),
        first_sequence: batch.sequence.0,
        last_sequence: batch.sequence.1,
        from: batch.span.0.nanos(),
        until: batch.span.1.nanos(),
        records: seen
            .records
            .iter()
            .map(|(source, record)| build_record(*source, record))
            .collect(),
        scans: seen.scans.iter().map(build_scan).collect(),
        names: seen
            .names
            .iter()
            .map(|(address, entry)| build_name(*address, entry))
            .collect(),
        other: seen.other.iter().map(build_other).collect(),
        losses: seen
            .losses
            .iter()
            .map(|(loss, count)| (loss.name().to_owned(), *count))
            .collect(),
        node_addresses: seen
            .node_addresses
            .iter()
            .map(|address| build_address(*address))
            .collect(),
    }
}

fn build_record(source: Source, record: &FlowRecord) -> proto::FlowRecord {
    let (scale, base, bits) = record.windows.parts();
    proto::FlowRecord {
        source: build_source(source).into(),
        client: build_address(record.client),
        server: build_address(record.server),
        port: record.port.into(),
        protocol: build_protocol(record.protocol).into(),
        verdict: build_verdict(record.verdict).into(),
        opening: build_opening(record.opening).into(),
        via: record.via.map(build_socket),
        seen_as: record.seen_as.map(build_address).unwrap_or_default(),
        client_port: record.client_port.map(u32::from),
        claims: record.labels.as_deref().map(build_claims),
        connections: record.connections,
        datagrams: record.datagrams,
        bytes_to_server: record.bytes_to_server,
        bytes_to_client: record.bytes_to_client,
        first: record.first.nanos(),
        last: record.last.nanos(),
        windows: Some(proto::Windows {
            scale: scale.into(),
            base,
            low: bits as u64,
            high: (bits >> 64) as u64,
        }),
    }
}

fn build_scan(scan: &ScanSummary) -> proto::ScanSummary {
    proto::ScanSummary {
        client: scan.client.map(build_address).unwrap_or_default(),
        connections: scan.connections,
        addresses: scan.addresses as u64,
        ports: scan.ports as u64,
        samples: scan
            .samples
            .iter()
            .map(|(socket, protocol)| proto::Target {
                socket: Some(build_socket(*socket)),
                protocol: build_protocol(*protocol).into(),
            })
            .collect(),
        first: scan.first.nanos(),
        last: scan.last.nanos(),
    }
}

fn build_name(address: IpAddr, entry: &NameEntry) -> proto::Name {
    proto::Name {
        address: build_address(address),
        name: entry.name.to_string(),
        client: build_address(entry.client),
        from: entry.from.nanos(),
        until: entry.until.nanos(),
        resolver: match entry.by {
            NamedBy::Resolver(address) => build_address(address),
            NamedBy::Unknown | NamedBy::Source => Vec::new(),
        },
        by_source: entry.by == NamedBy::Source,
    }
}

fn build_other(other: &OtherTraffic) -> proto::OtherTraffic {
    use proto::other_traffic::Kind;
    proto::OtherTraffic {
        source: build_address(other.source),
        destination: build_address(other.destination),
        packets: other.packets,
        kind: Some(match other.kind {
            OtherKind::Group(protocol) => Kind::Group(build_protocol(protocol).into()),
            OtherKind::Icmp => Kind::Icmp(true),
            OtherKind::Protocol(number) => Kind::IpProtocol(number.into()),
        }),
    }
}

fn build_claims(claims: &PeerLabels) -> proto::PeerLabels {
    let (service_namespace, service_name) = claims.service.clone().unwrap_or_default();
    proto::PeerLabels {
        client: claims.client.as_ref().map(build_claim),
        server: claims.server.as_ref().map(build_claim),
        service_namespace,
        service_name,
    }
}

fn build_claim(claim: &PeerLabel) -> proto::PeerLabel {
    use proto::peer_label::{Claim as Kind, Other, Pod, Workload};
    let kind = match claim.clone() {
        PeerLabel::Pod(pod) => {
            let (owner_kind, owner_name) = pod.owner.unwrap_or_default();
            Kind::Pod(Pod {
                namespace: pod.namespace,
                name: pod.name,
                owner_kind,
                owner_name,
                labels: pod.labels.into_iter().collect(),
                cluster: pod.cluster.unwrap_or_default(),
            })
        }
        PeerLabel::Network { name } => Kind::Network(name),
        PeerLabel::Workload {
            namespace,
            kind,
            name,
        } => Kind::Workload(Workload {
            namespace,
            kind,
            name,
        }),
        PeerLabel::Host => Kind::Other(Other::Host.into()),
        PeerLabel::RemoteNode => Kind::Other(Other::RemoteNode.into()),
        PeerLabel::ApiServer => Kind::Other(Other::ApiServer.into()),
        PeerLabel::World => Kind::Other(Other::World.into()),
    };
    proto::PeerLabel { claim: Some(kind) }
}

fn build_address(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn build_socket(socket: SocketAddr) -> proto::Socket {
    proto::Socket {
        address: build_address(socket.ip()),
        port: socket.port().into(),
    }
}

fn build_protocol(protocol: Protocol) -> proto::Protocol {
    match protocol {
        Protocol::Tcp => proto::Protocol::Tcp,
        Protocol::Udp => proto::Protocol::Udp,
        Protocol::Sctp => proto::Protocol::Sctp,
    }
}

fn build_source(source: Source) -> proto::Source {
    match source {
        Source::Capture => proto::Source::Capture,
        Source::Conntrack => proto::Source::Conntrack,
        Source::Hubble => proto::Source::Hubble,
        Source::FlowLog => proto::Source::FlowLog,
    }
}

fn build_verdict(verdict: Verdict) -> proto::Verdict {
    match verdict {
        Verdict::Established => proto::Verdict::Established,
        Verdict::OneWay => proto::Verdict::OneWay,
        Verdict::Unanswered => proto::Verdict::Unanswered,
        Verdict::Refused => proto::Verdict::Refused,
        Verdict::Dropped => proto::Verdict::Dropped,
    }
}

fn build_opening(opening: Opening) -> proto::Opening {
    match opening {
        Opening::Handshake => proto::Opening::Handshake,
        Opening::FirstPacket => proto::Opening::FirstPacket,
        Opening::Listener => proto::Opening::Listener,
        Opening::Undecided => proto::Opening::Undecided,
    }
}
