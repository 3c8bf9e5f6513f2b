//! Equal packets of different connections, and one packet in several legs.

use crate::testing::frames::*;
use crate::{
    AddressEpochs, AddressKind, ConnectionReport, FlowConfig, FlowTable, LinkType, Listeners,
    NoListeners, Translation, decode,
};
use nanoseg_net::{Protocol, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

const MS: i64 = 1_000_000;

/// What the tests' inventory knows: pods 10.1.x.x, nodes 10.0.0.x, and one Service by its cluster IP and node port.
struct Cluster {
    /// The third and fourth part of the addresses of the pods behind the Service.
    endpoints: Vec<SocketAddr>,
}

const CLUSTER_IP: [&str; 2] = ["10.96.0.7", "fd00:96::7"];
const SERVICE_PORT: u16 = 53;
const NODE_PORT: u16 = 30053;
const TARGET_PORT: u16 = 5353;

impl Listeners for Cluster {
    fn listens(&self, _: IpAddr, _: Protocol, port: u16, _: Timestamp) -> bool {
        port < 40_000
    }

    fn translation(
        &self,
        _: Protocol,
        called: SocketAddr,
        arrived: SocketAddr,
        at: Timestamp,
    ) -> Option<Translation> {
        let is_node = self.kind(called.ip(), at) == Some(AddressKind::Node);
        let by_node = is_node && called.port() == NODE_PORT;
        let by_service =
            CLUSTER_IP.contains(&called.ip().to_string().as_str()) && called.port() == SERVICE_PORT;
        match self.endpoints.contains(&arrived) {
            true if by_service => Some(Translation::Direct),
            true if by_node => Some(Translation::Masqueraded),
            _ => None,
        }
    }

    /// All pods are on the node 10.0.0.2.
    fn is_same_node(&self, one: IpAddr, other: IpAddr, _: Timestamp) -> bool {
        let is_other =
            |address: IpAddr| ["10.0.0.3", "fd00::3"].contains(&address.to_string().as_str());
        is_other(one) == is_other(other)
    }

    fn kind(&self, address: IpAddr, _: Timestamp) -> Option<AddressKind> {
        let text = address.to_string();
        let starts = |prefixes: [&str; 2]| prefixes.iter().any(|p| text.starts_with(p));
        if starts(["10.1.", "fd00:1:"]) {
            Some(AddressKind::Pod)
        } else if starts(["10.0.0.", "fd00::"]) {
            Some(AddressKind::Node)
        } else if starts(["10.96.", "fd00:96:"]) {
            None
        } else {
            Some(AddressKind::Outside)
        }
    }
}

/// When and where a frame was captured; place 0 is not known.
type Captured = (i64, u16, Vec<u8>);

fn connections(listeners: impl Listeners, traffic: &[Captured]) -> Vec<ConnectionReport> {
    let config = FlowConfig::default();
    let mut table = FlowTable::with_sink(listeners, AddressEpochs::default(), config, Vec::new());
    for (time, place, frame) in traffic {
        let time = Timestamp::from_nanos(*time);
        let decoded = decode(LinkType::ETHERNET, frame, frame.len() as u32, time);
        let mut decoded = decoded.expect("a frame that can be decoded");
        decoded.packet.place = *place;
        table.ingest(&decoded);
    }
    table.into_sink().0
}

/// `client > server via`, sorted.
fn ends(reports: &[ConnectionReport]) -> Vec<String> {
    let text = |report: &ConnectionReport| {
        let via = report.via.map(|via| format!(" via {via}"));
        format!(
            "{} > {}{}",
            report.client,
            report.server,
            via.unwrap_or_default()
        )
    };
    let mut list: Vec<String> = reports.iter().map(text).collect();
    list.sort();
    list
}

fn in_turn(frames: Vec<Vec<u8>>) -> Vec<Captured> {
    (0..)
        .zip(frames)
        .map(|(i, frame)| (i * MS, 0, frame))
        .collect()
}

fn ask(client: &str, server: &str, ttl: u8) -> Vec<u8> {
    udp_frame(ip(at(client), at(server)).ttl(ttl), b"the same question")
}

fn cluster(endpoint: &str) -> Cluster {
    Cluster {
        endpoints: vec![at(endpoint)],
    }
}

#[test]
fn two_clients_that_send_equal_datagrams_to_one_server_are_two() {
    for (a, b, server) in [
        ("10.1.0.1:40000", "10.1.1.1:40000", "10.1.0.9:5353"),
        (
            "[fd00:1::1]:40000",
            "[fd00:1:1::1]:40000",
            "[fd00:1::9]:5353",
        ),
    ] {
        let frames = vec![ask(a, server, 64), ask(b, server, 63)];
        let mut expected = [format!("{a} > {server}"), format!("{b} > {server}")];
        expected.sort();
        assert_eq!(
            ends(&connections(NoListeners, &in_turn(frames.clone()))),
            expected
        );
        let known = connections(cluster(server), &in_turn(frames));
        assert_eq!(ends(&known), expected);
    }
}

#[test]
fn one_client_that_asks_two_servers_at_once_has_two_connections() {
    let client = "10.1.0.1:40000";
    for (first, second) in [
        ("10.1.0.9:5353", "10.1.1.9:5353"),
        ("192.0.2.1:53", "198.51.100.1:53"),
        // The Service and a pod that is not behind it.
        ("10.96.0.7:53", "10.1.1.9:5353"),
    ] {
        let frames = vec![ask(client, first, 64), ask(client, second, 63)];
        let mut expected = [
            format!("{client} > {first}"),
            format!("{client} > {second}"),
        ];
        expected.sort();
        let known = connections(cluster("10.1.0.9:5353"), &in_turn(frames.clone()));
        assert_eq!(ends(&known), expected);
        assert_eq!(ends(&connections(NoListeners, &in_turn(frames))), expected);
    }
}

#[test]
fn a_pod_s_address_never_takes_the_place_of_another_pod_s() {
    // Sequence numbers and identifications of a packet generator, and another way through the network.
    let syn = |client, server, ttl| {
        tcp_frame(ip(at(client), at(server)).id(1).ttl(ttl), tcp(SYN, 1000, 0))
    };
    let server = "10.1.0.9:80";
    let frames = vec![
        syn("10.1.0.1:40000", server, 64),
        syn("10.1.1.1:40000", server, 63),
    ];
    let known = connections(cluster(server), &in_turn(frames));
    assert_eq!(known.len(), 2);
}

#[test]
fn a_datagram_through_a_service_or_a_node_port_is_one_where_the_translation_is_known() {
    let pod = "10.1.0.9:5353";
    let cases = [
        (
            ("10.1.1.1:40000", "10.96.0.7:53"),
            ("10.1.1.1:40000", pod),
            true,
        ),
        // Nobody masquerades there: the node asked for itself.
        (
            ("10.1.1.1:40000", "10.96.0.7:53"),
            ("10.0.0.2:40000", pod),
            false,
        ),
        // A pod that calls itself through its Service is masqueraded.
        (
            ("10.1.0.9:40000", "10.96.0.7:53"),
            ("10.0.0.2:40000", pod),
            true,
        ),
        (
            ("192.0.2.9:50000", "10.0.0.2:30053"),
            ("10.0.0.2:61000", pod),
            true,
        ),
        // Another node than the one that was called.
        (
            ("192.0.2.9:50000", "10.0.0.2:30053"),
            ("10.0.0.3:61000", pod),
            false,
        ),
        (
            ("10.1.1.1:40000", "192.0.2.1:53"),
            ("10.0.0.2:61000", "192.0.2.1:53"),
            true,
        ),
        (("10.1.1.1:40000", pod), ("10.0.0.2:61000", pod), false),
        // Another socket of the client.
        (
            ("10.1.1.1:40000", "10.96.0.7:53"),
            ("10.1.1.1:40001", pod),
            false,
        ),
    ];
    for ttl in [64, 63] {
        for (front, back, one) in cases {
            let request = vec![ask(front.0, front.1, 64), ask(back.0, back.1, ttl)];
            let answer = vec![ask(back.1, back.0, 64), ask(front.1, front.0, ttl)];
            let reversed: Vec<_> = request.iter().rev().cloned().collect();
            for frames in [request, answer, reversed] {
                let found = connections(cluster(pod), &in_turn(frames));
                assert_eq!(found.len(), if one { 1 } else { 2 }, "{front:?} {back:?}");
            }
        }
    }
}

#[test]
fn without_knowledge_a_datagram_is_one_by_its_identification_and_its_way() {
    let datagram = |client: &str, server: &str, id, ttl| {
        udp_frame(ip(at(client), at(server)).id(id).ttl(ttl), b"the same")
    };
    let front = ("10.1.1.1:40000", "10.96.0.7:53");
    let back = ("10.1.1.1:40000", "10.1.0.9:5353");
    let count = |first: (u16, u8), second: (u16, u8), back: (&str, &str)| {
        let frames = vec![
            datagram(front.0, front.1, first.0, first.1),
            datagram(back.0, back.1, second.0, second.1),
        ];
        connections(NoListeners, &in_turn(frames)).len()
    };
    assert_eq!(count((7, 64), (7, 63), back), 1);
    assert_eq!(count((7, 64), (7, 64), back), 2, "not routed");
    assert_eq!(count((7, 64), (8, 63), back), 2, "another datagram");
    assert_eq!(count((0, 64), (0, 63), back), 2, "no identification");
    let elsewhere = ("10.1.3.3:40000", "10.1.0.9:5353");
    assert_eq!(count((7, 64), (7, 63), elsewhere), 2, "no way leads there");
}

/// Where a client's datagrams go.
#[derive(Debug, Clone, Copy)]
enum Called {
    /// A pod by its own address.
    Pod(usize),
    Service,
    NodePort,
    Outside(usize),
}

#[derive(Debug, Clone, Copy)]
struct Talk {
    /// A pod; beyond the pods two outside addresses and another node.
    client: usize,
    called: Called,
    /// The pod behind the Service that is picked.
    endpoint: usize,
    /// Microseconds after the start.
    at: i64,
    datagrams: i64,
    answered: bool,
    protocol: Protocol,
}

#[derive(Debug, Clone)]
struct Scene {
    v6: bool,
    identified: bool,
    endpoints: usize,
    /// How often each leg is captured, with the same time to live or a lower one, and how much the clocks of these
    /// places differ in milliseconds.
    taps: usize,
    skew: i64,
    /// Where the place of each frame is known, datagrams may follow each other closely.
    placed: bool,
    talks: Vec<Talk>,
}

const PODS: usize = 6;

impl Scene {
    fn address(&self, v4: String, v6: String) -> IpAddr {
        let text = if self.v6 { v6 } else { v4 };
        text.parse().expect("an address")
    }

    fn pod(&self, number: usize) -> IpAddr {
        let number = number % PODS;
        self.address(
            format!("10.1.{}.{}", number % 2, 1 + number),
            format!("fd00:1:{}::{}", number % 2, 1 + number),
        )
    }

    fn outside(&self, number: usize) -> IpAddr {
        self.address(
            format!("192.0.2.{}", 1 + number),
            format!("2001:db8::{}", 1 + number),
        )
    }

    fn node(&self) -> IpAddr {
        self.address("10.0.0.2".into(), "fd00::2".into())
    }

    fn endpoint(&self, number: usize) -> SocketAddr {
        SocketAddr::new(self.pod(number % self.endpoints), TARGET_PORT)
    }

    fn listeners(&self) -> Cluster {
        Cluster {
            endpoints: (0..self.endpoints).map(|i| self.endpoint(i)).collect(),
        }
    }

    /// The connection's legs as (client, server), in order; the first one's client and the last one's server are
    /// its ends.
    fn legs(&self, number: usize, talk: &Talk) -> Vec<(SocketAddr, SocketAddr)> {
        let inside = talk.client < PODS;
        let is_node = talk.client == PODS + 2;
        let address = if inside {
            self.pod(talk.client)
        } else if is_node {
            self.address("10.0.0.3".into(), "fd00::3".into())
        } else {
            self.outside(talk.client)
        };
        let client = SocketAddr::new(address, 40_000 + number as u16);
        let masqueraded = SocketAddr::new(self.node(), 50_000 + number as u16);
        let endpoint = self.endpoint(talk.endpoint);
        let service = self.address(CLUSTER_IP[0].into(), CLUSTER_IP[1].into());
        match talk.called {
            Called::Pod(pod) => vec![(client, SocketAddr::new(self.pod(pod), TARGET_PORT))],
            Called::Service if inside || is_node => {
                let last = if endpoint.ip() == client.ip() {
                    masqueraded
                } else {
                    client
                };
                vec![
                    (client, SocketAddr::new(service, SERVICE_PORT)),
                    (last, endpoint),
                ]
            }
            Called::Service | Called::NodePort => vec![
                (client, SocketAddr::new(self.node(), NODE_PORT)),
                (masqueraded, endpoint),
            ],
            Called::Outside(number) => {
                let server = SocketAddr::new(self.outside(number), 53);
                if inside {
                    vec![(client, server), (masqueraded, server)]
                } else {
                    vec![(client, SocketAddr::new(self.pod(number), TARGET_PORT))]
                }
            }
        }
    }

    /// The frames, and what they are: the client, what it called and datagrams of each connection.
    #[allow(clippy::type_complexity)]
    fn play(&self) -> (Vec<Captured>, BTreeMap<(SocketAddr, SocketAddr), i64>) {
        let (mut frames, mut truth) = (Vec::new(), BTreeMap::new());
        let mut id = 0;
        for (number, talk) in self.talks.iter().enumerate() {
            let legs = self.legs(number, talk);
            let (client, server) = (legs[0].0, legs[legs.len() - 1].1);
            if client.ip() == server.ip() && legs.len() == 1 {
                continue;
            }
            truth.insert((client, legs[0].1), talk.datagrams);
            for datagram in 0..talk.datagrams {
                // Without a place, copies of datagrams without an identification are told apart by time.
                let at = talk.at * 1000 + datagram * MS * if self.placed { 7 } else { 150 };
                for back in [false, true]
                    .into_iter()
                    .take(1 + usize::from(talk.answered))
                {
                    id += u16::from(self.identified);
                    for (leg, (client, server)) in legs.iter().enumerate() {
                        for tap in 0..self.taps {
                            let hops = if back { legs.len() - 1 - leg } else { leg };
                            let ends = if back {
                                ip(*server, *client)
                            } else {
                                ip(*client, *server)
                            };
                            let header = ends.id(id).ttl(64 - hops as u8 - tap as u8);
                            let delay = i64::from(back) * MS + (hops * 3 + tap) as i64 * 10_000;
                            let skew = tap as i64 * self.skew * MS;
                            let place = if self.placed { 1 + tap as u16 } else { 0 };
                            frames.push((
                                at + delay + skew,
                                place,
                                packet(talk, number, back, header),
                            ));
                        }
                    }
                }
            }
        }
        frames.sort();
        (frames, truth)
    }
}

/// All clients send the same bytes; a TCP connection has sequence numbers of its own.
fn packet(talk: &Talk, number: usize, back: bool, header: Ip) -> Vec<u8> {
    let isn = (number as u32 + 1).wrapping_mul(0x9e37_79b9);
    match (talk.protocol, back) {
        (Protocol::Tcp, false) => tcp_frame(header, tcp(SYN, isn, 0)),
        (Protocol::Tcp, true) => tcp_frame(header, tcp(SYN | ACK, isn ^ 0x5555, isn + 1)),
        (_, back) => udp_frame(header, if back { b"no" } else { b"ping" }),
    }
}

fn scene() -> impl Strategy<Value = Scene> {
    let called = prop_oneof![
        (0..PODS).prop_map(Called::Pod),
        Just(Called::Service),
        Just(Called::NodePort),
        (0usize..2).prop_map(Called::Outside),
    ];
    let protocol = prop_oneof![3 => Just(Protocol::Udp), 1 => Just(Protocol::Tcp)];
    let talk = (
        (0..PODS + 3, called, 0usize..3),
        (0i64..900_000, 1i64..6, any::<bool>(), protocol),
    )
        .prop_map(
            |((client, called, endpoint), (at, datagrams, answered, protocol))| Talk {
                client,
                called,
                endpoint,
                at,
                datagrams: if protocol == Protocol::Tcp {
                    1
                } else {
                    datagrams
                },
                answered,
                protocol,
            },
        );
    (
        (any::<bool>(), any::<bool>(), any::<bool>()),
        (1usize..3, 1usize..3, 0i64..6),
        prop::collection::vec(talk, 1..12),
    )
        .prop_map(
            |((v6, identified, placed), (endpoints, taps, skew), talks)| Scene {
                v6,
                identified,
                endpoints,
                taps,
                skew,
                placed,
                talks,
            },
        )
}

fn config() -> Config {
    let fixed = std::env::var_os("PROPTEST_CASES").is_none();
    Config {
        failure_persistence: None,
        rng_seed: if fixed {
            RngSeed::Fixed(11)
        } else {
            RngSeed::Random
        },
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(config())]

    /// Every connection is there, with its own client and counts, and there is no other one.
    #[test]
    fn in_random_scenes_with_equal_bytes_every_connection_is_itself(scene in scene()) {
        let (frames, truth) = scene.play();
        let mut seen = BTreeMap::new();
        for report in connections(scene.listeners(), &frames) {
            let datagrams = if report.protocol == Protocol::Tcp { 1 } else { report.datagrams as i64 };
            let called = report.via.unwrap_or(report.server);
            *seen.entry((report.client, called)).or_insert(0) += datagrams;
            // Of masqueraded clients, either may be the one.
            let behind = report.via.is_none() || scene.listeners().endpoints.contains(&report.server);
            prop_assert!(behind, "{:?}", report);
        }
        prop_assert_eq!(seen, truth);
    }

    /// On a node, where nothing is known, no connection disappears either: what is not proven is kept as both.
    #[test]
    fn without_knowledge_no_connection_disappears(scene in scene()) {
        let (frames, truth) = scene.play();
        let seen = connections(NoListeners, &frames);
        for (client, called) in truth.keys() {
            let is_it = |one: &ConnectionReport| {
                one.client == *client && [Some(one.server), one.via].contains(&Some(*called))
            };
            prop_assert!(seen.iter().any(is_it), "{} > {} in {:?}", client, called, ends(&seen));
        }
    }
}
