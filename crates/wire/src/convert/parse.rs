//! Converts protobuf messages to the types of [`nanoseg_flow`], and refuses values that these cannot have.

use super::{WireError, proto};
use nanoseg_flow::{
    ActivityWindows, FlowBatch, FlowRecord, Instance, Loss, MAX_NODE_ADDRESSES, NameEntry, NamedBy,
    Observations, Opening, OtherKind, OtherTraffic, PeerLabel, PeerLabels, PodLabel, ScanSummary,
    Source, Verdict,
};
use nanoseg_net::{Protocol, Timestamp, canonical_address};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// The longest name of a Kubernetes object, in bytes (RFC 1123 subdomain).
const MAX_NODE: usize = 253;

/// The largest count that is accepted: no agent counts that far, and integers of the store end there.
const MAX_SEQUENCE: u64 = i64::MAX as u64;

/// What is wrong with a field; callers add its place.
struct Bad {
    place: String,
    problem: String,
}

type Parsed<T> = Result<T, Bad>;

fn bad<T>(place: &str, problem: impl Into<String>) -> Parsed<T> {
    Err(Bad {
        place: place.to_owned(),
        problem: problem.into(),
    })
}

trait Inside<T> {
    /// Puts the name of the enclosing field before its place.
    fn inside(self, what: impl FnOnce() -> String) -> Parsed<T>;
}

impl<T> Inside<T> for Parsed<T> {
    fn inside(self, what: impl FnOnce() -> String) -> Parsed<T> {
        self.map_err(|e| Bad {
            place: format!("{}.{}", what(), e.place),
            ..e
        })
    }
}

pub fn parse_batch(batch: proto::FlowBatch) -> Result<FlowBatch, WireError> {
    parse(batch).map_err(|e| WireError::Field {
        place: e.place,
        problem: e.problem,
    })
}

fn parse(batch: proto::FlowBatch) -> Parsed<FlowBatch> {
    if batch.node.is_empty() || batch.node.len() > MAX_NODE {
        return bad(
            "node",
            format!("{} bytes are no node's name", batch.node.len()),
        );
    }
    let sequence = (batch.first_sequence, batch.last_sequence);
    if sequence.0 == 0 || sequence.0 > sequence.1 || sequence.1 >= MAX_SEQUENCE {
        return bad(
            "first_sequence",
            format!("{} to {} is no sequence", sequence.0, sequence.1),
        );
    }
    let Ok(instance) = <[u8; 16]>::try_from(batch.instance.as_slice()) else {
        return bad(
            "instance",
            format!("{} bytes instead of 16", batch.instance.len()),
        );
    };
    Ok(FlowBatch {
        node: batch.node.into(),
        instance: Instance(instance),
        sequence,
        span: (
            Timestamp::from_nanos(batch.from),
            Timestamp::from_nanos(batch.until),
        ),
        seen: Observations {
            records: parse_each("records", batch.records, parse_record)?,
            scans: parse_each("scans", batch.scans, parse_scan)?,
            names: parse_each("names", batch.names, parse_name)?,
            other: parse_each("other", batch.other, parse_other)?,
            losses: parse_losses(batch.losses)?,
            node_addresses: parse_node_addresses(&batch.node_addresses)?,
        },
    })
}

fn parse_node_addresses(list: &[Vec<u8>]) -> Parsed<BTreeSet<IpAddr>> {
    if list.len() > MAX_NODE_ADDRESSES {
        let count = list.len();
        return bad(
            "node_addresses",
            format!("{count} are more than {MAX_NODE_ADDRESSES}"),
        );
    }
    let numbered = list.iter().enumerate();
    numbered
        .map(|(i, bytes)| parse_address(&format!("node_addresses[{i}]"), bytes))
        .collect()
}

fn parse_each<A, B>(field: &str, list: Vec<A>, one: fn(A) -> Parsed<B>) -> Parsed<Vec<B>> {
    let numbered = list.into_iter().enumerate();
    numbered
        .map(|(i, item)| one(item).inside(|| format!("{field}[{i}]")))
        .collect()
}

fn parse_record(record: proto::FlowRecord) -> Parsed<(Source, FlowRecord)> {
    let claims = record
        .claims
        .map(parse_claims)
        .transpose()
        .inside(|| "claims".into())?;
    let parsed = FlowRecord {
        observers: Default::default(),
        told: None,
        client: parse_address("client", &record.client)?,
        server: parse_address("server", &record.server)?,
        port: parse_port("port", record.port)?,
        protocol: parse_protocol("protocol", record.protocol)?,
        via: record
            .via
            .as_ref()
            .map(parse_socket)
            .transpose()
            .inside(|| "via".into())?,
        seen_as: parse_address_or_none("seen_as", &record.seen_as)?,
        client_port: record
            .client_port
            .map(|p| parse_port("client_port", p))
            .transpose()?,
        verdict: parse_verdict(record.verdict)?,
        opening: parse_opening(record.opening)?,
        labels: claims.map(Arc::new),
        connections: record.connections,
        datagrams: record.datagrams,
        bytes_to_server: record.bytes_to_server,
        bytes_to_client: record.bytes_to_client,
        first: Timestamp::from_nanos(record.first),
        last: Timestamp::from_nanos(record.last),
        windows: parse_windows(record.windows)?,
    };
    Ok((parse_source(record.source)?, parsed))
}

fn parse_windows(windows: Option<proto::Windows>) -> Parsed<ActivityWindows> {
    let Some(windows) = windows else {
        return bad("windows", "missing");
    };
    let bits = u128::from(windows.high) << 64 | u128::from(windows.low);
    let parsed = u8::try_from(windows.scale)
        .ok()
        .and_then(|scale| ActivityWindows::from_parts(scale, windows.base, bits));
    match parsed {
        Some(parsed) => Ok(parsed),
        None => bad("windows", "outside of the range of timestamps"),
    }
}

fn parse_scan(scan: proto::ScanSummary) -> Parsed<ScanSummary> {
    let count = |field, number: u64| match usize::try_from(number) {
        Ok(number) => Ok(number),
        Err(_) => bad(field, format!("{number} is too large")),
    };
    Ok(ScanSummary {
        client: parse_address_or_none("client", &scan.client)?,
        connections: scan.connections,
        addresses: count("addresses", scan.addresses)?,
        ports: count("ports", scan.ports)?,
        samples: parse_each("samples", scan.samples, |target| {
            let Some(socket) = &target.socket else {
                return bad("socket", "missing");
            };
            let socket = parse_socket(socket).inside(|| "socket".into())?;
            Ok((socket, parse_protocol("protocol", target.protocol)?))
        })?,
        first: Timestamp::from_nanos(scan.first),
        last: Timestamp::from_nanos(scan.last),
    })
}

fn parse_name(name: proto::Name) -> Parsed<(IpAddr, NameEntry)> {
    let by = if name.by_source {
        NamedBy::Source
    } else if name.resolver.is_empty() {
        NamedBy::Unknown
    } else {
        NamedBy::Resolver(parse_address("resolver", &name.resolver)?)
    };
    let entry = NameEntry {
        name: name.name.into(),
        client: parse_address("client", &name.client)?,
        by,
        from: Timestamp::from_nanos(name.from),
        until: Timestamp::from_nanos(name.until),
    };
    Ok((parse_address("address", &name.address)?, entry))
}

fn parse_other(other: proto::OtherTraffic) -> Parsed<OtherTraffic> {
    use proto::other_traffic::Kind;
    let kind = match other.kind {
        Some(Kind::Group(protocol)) => OtherKind::Group(parse_protocol("group", protocol)?),
        Some(Kind::Icmp(true)) => OtherKind::Icmp,
        Some(Kind::Icmp(false)) => return bad("icmp", "false has no meaning"),
        Some(Kind::IpProtocol(number)) => match u8::try_from(number) {
            Ok(number) => OtherKind::Protocol(number),
            Err(_) => return bad("ip_protocol", format!("{number} is more than 255")),
        },
        None => return bad("kind", "missing"),
    };
    Ok(OtherTraffic {
        source: parse_address("source", &other.source)?,
        destination: parse_address("destination", &other.destination)?,
        kind,
        packets: other.packets,
    })
}

fn parse_losses(losses: BTreeMap<String, u64>) -> Parsed<BTreeMap<Loss, u64>> {
    let one = |(name, count): (String, u64)| match Loss::ALL.iter().find(|l| l.name() == name) {
        Some(loss) => Ok((*loss, count)),
        None => bad("losses", format!("no loss is called {name:.40?}")),
    };
    losses.into_iter().map(one).collect()
}

fn parse_claims(claims: proto::PeerLabels) -> Parsed<PeerLabels> {
    let service = (claims.service_namespace, claims.service_name);
    Ok(PeerLabels {
        client: claims
            .client
            .map(parse_claim)
            .transpose()
            .inside(|| "client".into())?,
        server: claims
            .server
            .map(parse_claim)
            .transpose()
            .inside(|| "server".into())?,
        service: (service != (String::new(), String::new())).then_some(service),
    })
}

fn parse_pod(pod: proto::peer_label::Pod) -> PodLabel {
    let owner = (pod.owner_kind, pod.owner_name);
    PodLabel {
        namespace: pod.namespace,
        name: pod.name,
        owner: (!owner.1.is_empty()).then_some(owner),
        labels: pod.labels.into_iter().collect(),
        cluster: Some(pod.cluster).filter(|cluster| !cluster.is_empty()),
    }
}

fn parse_claim(claim: proto::PeerLabel) -> Parsed<PeerLabel> {
    use proto::peer_label::{Claim as Kind, Other, Workload};
    Ok(match claim.claim {
        Some(Kind::Pod(pod)) => PeerLabel::Pod(parse_pod(pod)),
        Some(Kind::Network(name)) => PeerLabel::Network { name },
        Some(Kind::Workload(Workload {
            namespace,
            kind,
            name,
        })) => PeerLabel::Workload {
            namespace,
            kind,
            name,
        },
        Some(Kind::Other(number)) => match Other::try_from(number) {
            Ok(Other::Host) => PeerLabel::Host,
            Ok(Other::RemoteNode) => PeerLabel::RemoteNode,
            Ok(Other::ApiServer) => PeerLabel::ApiServer,
            Ok(Other::World) => PeerLabel::World,
            Ok(Other::Unspecified) => return bad("other", "missing"),
            Err(_) => return bad("other", format!("{number} is unknown")),
        },
        None => return bad("claim", "missing"),
    })
}

fn parse_address(field: &str, bytes: &[u8]) -> Parsed<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Ok(Ipv4Addr::from(v4).into());
    }
    if let Ok(v6) = <[u8; 16]>::try_from(bytes) {
        return Ok(canonical_address(Ipv6Addr::from(v6).into()));
    }
    bad(
        field,
        format!("an address has 4 or 16 bytes, not {}", bytes.len()),
    )
}

fn parse_address_or_none(field: &str, bytes: &[u8]) -> Parsed<Option<IpAddr>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    parse_address(field, bytes).map(Some)
}

fn parse_port(field: &str, port: u32) -> Parsed<u16> {
    match u16::try_from(port) {
        Ok(port) => Ok(port),
        Err(_) => bad(field, format!("{port} is more than 65535")),
    }
}

fn parse_socket(socket: &proto::Socket) -> Parsed<SocketAddr> {
    let address = parse_address("address", &socket.address)?;
    Ok(SocketAddr::new(address, parse_port("port", socket.port)?))
}

fn parse_protocol(field: &str, number: i32) -> Parsed<Protocol> {
    Ok(match proto::Protocol::try_from(number) {
        Ok(proto::Protocol::Tcp) => Protocol::Tcp,
        Ok(proto::Protocol::Udp) => Protocol::Udp,
        Ok(proto::Protocol::Sctp) => Protocol::Sctp,
        Ok(proto::Protocol::Unspecified) => return bad(field, "missing"),
        Err(_) => return bad(field, format!("{number} is unknown")),
    })
}

fn parse_source(number: i32) -> Parsed<Source> {
    Ok(match proto::Source::try_from(number) {
        Ok(proto::Source::Capture) => Source::Capture,
        Ok(proto::Source::Conntrack) => Source::Conntrack,
        Ok(proto::Source::Hubble) => Source::Hubble,
        Ok(proto::Source::FlowLog) => Source::FlowLog,
        Ok(proto::Source::Unspecified) => return bad("source", "missing"),
        Err(_) => return bad("source", format!("{number} is unknown")),
    })
}

fn parse_verdict(number: i32) -> Parsed<Verdict> {
    Ok(match proto::Verdict::try_from(number) {
        Ok(proto::Verdict::Established) => Verdict::Established,
        Ok(proto::Verdict::OneWay) => Verdict::OneWay,
        Ok(proto::Verdict::Unanswered) => Verdict::Unanswered,
        Ok(proto::Verdict::Refused) => Verdict::Refused,
        Ok(proto::Verdict::Dropped) => Verdict::Dropped,
        Ok(proto::Verdict::Unspecified) => return bad("verdict", "missing"),
        Err(_) => return bad("verdict", format!("{number} is unknown")),
    })
}

fn parse_opening(number: i32) -> Parsed<Opening> {
    Ok(match proto::Opening::try_from(number) {
        Ok(proto::Opening::Handshake) => Opening::Handshake,
        Ok(proto::Opening::FirstPacket) => Opening::FirstPacket,
        Ok(proto::Opening::Listener) => Opening::Listener,
        Ok(proto::Opening::Undecided) => Opening::Undecided,
        Ok(proto::Opening::Unspecified) => return bad("opening", "missing"),
        Err(_) => return bad("opening", format!("{number} is unknown")),
    })
}
