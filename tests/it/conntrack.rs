//! The conntrack source on this machine's kernel: a client and a server in separate namespaces, and between them a
//! router whose connection tracking is observed.

use crate::support::namespaces::Routed;
use nanoseg::flow::{FlowRecord, Loss, Observations, Opening, OtherKind, Verdict};
use nanoseg::net::Protocol;
use nanoseg::observe::{AddressChanges, Conntrack, ConntrackOptions, LiveSource};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// The timeout of every wait. An idle kernel checks for expired entries only once a minute.
const DEADLINE: Duration = Duration::from_secs(150);

/// A running source and what it has reported.
struct Watch {
    source: Conntrack,
    seen: Observations,
}

impl Watch {
    fn start(net: &Routed, options: ConntrackOptions) -> Self {
        let source = net
            .router
            .inside(|| Conntrack::open(options, AddressChanges::default()))
            .expect("the source starts");
        Watch {
            source,
            seen: Observations::default(),
        }
    }

    fn until(&mut self, what: &str, done: impl Fn(&Observations) -> bool) {
        let start = Instant::now();
        loop {
            self.source
                .poll(Duration::from_millis(50))
                .expect("the source goes on");
            self.seen.append(self.source.take());
            if done(&self.seen) {
                return;
            }
            assert!(start.elapsed() < DEADLINE, "never {what}: {:#?}", self.seen);
        }
    }

    /// Waits until `server` has the given number of connections with this verdict.
    fn connections(&mut self, server: &str, verdict: Verdict, count: u64) -> Vec<FlowRecord> {
        let server: SocketAddr = server.parse().expect("an address");
        let of = |seen: &Observations| -> Vec<FlowRecord> {
            let records = seen.records.iter().map(|(_, record)| record.clone());
            records
                .filter(|r| r.server == server.ip() && r.port == server.port())
                .filter(|r| r.verdict == verdict)
                .collect()
        };
        let what = format!("{count} {verdict:?} to {server}");
        self.until(&what, |seen| total(&of(seen)) >= count);
        let records = of(&self.seen);
        assert_eq!(total(&records), count, "{what}: {records:#?}");
        records
    }
}

fn total(records: &[FlowRecord]) -> u64 {
    records.iter().map(|record| record.connections).sum()
}

fn listen(net: &Routed, address: &str) -> TcpListener {
    net.server
        .inside(|| TcpListener::bind(address))
        .expect("a listener")
}

fn connect(net: &Routed, address: &str) -> std::io::Result<TcpStream> {
    let address: SocketAddr = address.parse().expect("an address");
    net.client
        .inside(|| TcpStream::connect_timeout(&address, Duration::from_secs(5)))
}

/// Both ends of a new connection.
fn both_ends(net: &Routed, listener: &TcpListener, address: &str) -> (TcpStream, TcpStream) {
    let client = connect(net, address).expect("a connection");
    let (server, _) = listener.accept().expect("a client");
    (client, server)
}

const TRACK: &str = "table inet track { chain forward { type filter hook forward priority 0; ct state established accept; }; }";

#[test]
fn a_call_of_a_service_is_one_record_with_the_called_address_and_its_bytes() {
    let Some(net) = Routed::build() else { return };
    net.router.sysctl("net/netfilter/nf_conntrack_acct", "1");
    net.router.nft(
        "table ip nat {
            chain before { type nat hook prerouting priority -100; ip daddr 10.96.0.10 tcp dport 80 dnat to 10.77.2.2:8080; }
            chain after { type nat hook postrouting priority 100; tcp dport 8080 masquerade; }
        }",
    );
    let mut watch = Watch::start(&net, ConntrackOptions::default());
    let listener = listen(&net, "10.77.2.2:8080");
    let (mut client, mut server) = both_ends(&net, &listener, "10.96.0.10:80");
    let seen = watch.connections("10.77.2.2:8080", Verdict::Established, 1);
    assert_eq!(seen[0].client.to_string(), "10.77.1.2");
    assert_eq!(seen[0].via, Some("10.96.0.10:80".parse().unwrap()));
    assert_eq!(seen[0].seen_as, Some("10.77.2.1".parse().unwrap()));
    assert_eq!(
        (seen[0].opening, seen[0].client_port),
        (Opening::Handshake, None)
    );

    client.write_all(&[1; 5000]).expect("sent");
    server.read_exact(&mut [0; 5000]).expect("received");
    server.write_all(&[2; 300]).expect("sent");
    client.read_exact(&mut [0; 300]).expect("received");
    // After a RST the entry expires in 10 s instead of 120 s.
    net.router
        .sysctl("net/netfilter/nf_conntrack_tcp_timeout_close", "1");
    abort(client);
    watch.until("its bytes", |seen| {
        let sum = |of: fn(&FlowRecord) -> u64| seen.records.iter().map(|(_, r)| of(r)).sum::<u64>();
        sum(|r| r.bytes_to_server) > 4900 && sum(|r| r.bytes_to_client) > 200
    });
    let records = watch.connections("10.77.2.2:8080", Verdict::Established, 1);
    let to_server: u64 = records.iter().map(|r| r.bytes_to_server).sum();
    let to_client: u64 = records.iter().map(|r| r.bytes_to_client).sum();
    // The count is exact except for segments without timestamps, such as a RST.
    assert!((4960..=5000).contains(&to_server), "{to_server}");
    assert!((260..=300).contains(&to_client), "{to_client}");
}

/// Closes with a RST.
fn abort(stream: TcpStream) {
    use std::os::fd::AsRawFd;
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the descriptor is open, and the value has the length that is given.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            std::ptr::from_ref(&linger).cast(),
            size_of_val(&linger) as libc::socklen_t,
        )
    };
    assert_eq!(result, 0);
}

#[test]
fn refused_unanswered_and_half_open_connections_are_not_established() {
    let Some(net) = Routed::build() else { return };
    net.router.nft(TRACK);
    net.server.nft("table ip deaf { chain input { type filter hook input priority 0; tcp dport 9999 drop; }; }");
    net.client.nft("table ip deaf { chain input { type filter hook input priority 0; tcp sport 8082 tcp flags & (syn|ack) == (syn|ack) drop; }; }");
    let mut watch = Watch::start(&net, ConntrackOptions::default());
    let _half_open = listen(&net, "10.77.2.2:8082");
    let open = listen(&net, "[fd77:2::2]:8080");

    let refused = connect(&net, "10.77.2.2:7").expect_err("nothing listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let refused = connect(&net, "[fd77:2::2]:7").expect_err("nothing listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let _pair = both_ends(&net, &open, "[fd77:2::2]:8080");
    std::thread::scope(|scope| {
        // Both wait for their timeout; their results are reported long before.
        for address in ["10.77.2.2:9999", "10.77.2.2:8082"] {
            let net = &net;
            scope.spawn(move || connect(net, address).expect_err("no answer arrives"));
        }
        watch.connections("10.77.2.2:9999", Verdict::Unanswered, 1);
        watch.connections("10.77.2.2:8082", Verdict::Unanswered, 1);
    });
    watch.connections("10.77.2.2:7", Verdict::Refused, 1);
    watch.connections("[fd77:2::2]:7", Verdict::Refused, 1);
    watch.connections("[fd77:2::2]:8080", Verdict::Established, 1);
    assert_eq!(watch.seen.records.len(), 5, "{:#?}", watch.seen.records);
    assert!(watch.seen.losses.is_empty(), "{:?}", watch.seen.losses);
}

#[test]
fn udp_is_established_by_an_answer_and_one_way_after_three_seconds_without_one() {
    let Some(net) = Routed::build() else { return };
    net.router.nft(TRACK);
    let mut watch = Watch::start(&net, ConntrackOptions::default());
    let bind = |address: &str| {
        net.server
            .inside(|| UdpSocket::bind(address))
            .expect("a socket")
    };
    let (echo, mute) = (bind("10.77.2.2:53"), bind("10.77.2.2:514"));
    let client = net
        .client
        .inside(|| UdpSocket::bind("10.77.1.2:40000"))
        .expect("a socket");
    client.send_to(b"question", "10.77.2.2:53").expect("sent");
    let (_, from) = echo.recv_from(&mut [0; 64]).expect("received");
    echo.send_to(b"answer", from).expect("sent");
    client.send_to(b"log", "10.77.2.2:514").expect("sent");
    let sent = Instant::now();
    let established = watch.connections("10.77.2.2:53", Verdict::Established, 1);
    assert_eq!(established[0].opening, Opening::FirstPacket);
    watch.connections("10.77.2.2:514", Verdict::OneWay, 1);
    assert!(
        sent.elapsed() < Duration::from_secs(10),
        "{:?}",
        sent.elapsed()
    );
    drop(mute);

    // The first observed packet goes from a known port to an ephemeral one: it may be an answer.
    echo.send_to(b"answer", "10.77.1.2:41000").expect("sent");
    let answers = watch.connections("10.77.1.2:41000", Verdict::OneWay, 1);
    assert_eq!(answers[0].client_port, Some(53));
    // ICMP reports that nothing listens there.
    let ping = OtherKind::Icmp;
    assert!(watch.seen.other.iter().all(|other| other.kind == ping));
}

#[test]
fn a_connection_older_than_the_source_keeps_its_port_and_one_that_is_picked_up_has_no_direction() {
    let Some(net) = Routed::build() else { return };
    net.router.nft(TRACK);
    net.router.nft(
        "table inet blind { chain before { type filter hook prerouting priority -300; tcp sport 8083 notrack; tcp dport 8083 notrack; }; }",
    );
    let listener = listen(&net, "10.77.2.2:8080");
    let blind = listen(&net, "10.77.2.2:8083");
    let older = both_ends(&net, &listener, "10.77.2.2:8080");
    let (mut client, mut server) = both_ends(&net, &blind, "10.77.2.2:8083");
    let mut watch = Watch::start(&net, ConntrackOptions::default());
    let records = watch.connections("10.77.2.2:8080", Verdict::Established, 1);
    let port = |stream: &TcpStream| stream.local_addr().expect("an address").port();
    assert_eq!(records[0].client_port, Some(port(&older.0)));
    assert_eq!(records[0].opening, Opening::Handshake);
    assert_eq!(watch.seen.records.len(), 1);

    // From now on the other connection is tracked: the server sends first.
    net.router.nft("delete table inet blind;");
    server.write_all(b"hello").expect("sent");
    client.read_exact(&mut [0; 5]).expect("received");
    let records = watch.connections("10.77.2.2:8083", Verdict::Established, 1);
    assert_eq!(records[0].client_port, Some(port(&client)));
    assert_eq!(records[0].opening, Opening::Undecided);
}

#[test]
fn nothing_is_lost_when_the_buffer_overflows() {
    let Some(net) = Routed::build() else { return };
    net.router.nft(TRACK);
    let options = ConntrackOptions {
        receive_buffer: 16 << 10,
        ..ConntrackOptions::default()
    };
    let mut watch = Watch::start(&net, options);
    watch.until("the first dump", |_| true);
    let listener = listen(&net, "10.77.2.2:8080");
    let held: Vec<_> = (0..300)
        .map(|_| both_ends(&net, &listener, "10.77.2.2:8080"))
        .collect();
    watch.connections("10.77.2.2:8080", Verdict::Established, 300);
    assert!(watch.seen.losses[&Loss::ConntrackOverrun] >= 1);
    drop(held);
    let counts = watch.source.counters().read();
    assert!(counts.overruns >= 1 && counts.dumps >= 2, "{counts:?}");
    assert!(counts.filtered, "this kernel takes the filter");
}

#[test]
fn traffic_of_the_node_and_traffic_that_no_policy_can_express_are_reported_separately() {
    let Some(net) = Routed::build() else { return };
    net.router.nft(TRACK);
    let mut watch = Watch::start(&net, ConntrackOptions::default());
    net.router.inside(|| {
        let server = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = server.local_addr().expect("its address");
        TcpStream::connect(address).expect("a connection");
        let group = UdpSocket::bind("10.77.1.1:0").expect("a socket");
        group.send_to(b"all", "239.1.2.3:5353").expect("sent");
    });
    let group = OtherKind::Group(Protocol::Udp);
    watch.until("the group", |seen| {
        seen.other.iter().any(|o| o.kind == group)
    });
    assert_eq!(watch.seen.records, []);
}
