//! Live capture of real traffic, in separate network namespaces.

mod network;
mod socket_translation;

use super::support::frames::{DnsAnswer, dns};
use nanoseg::flow::{FlowRecord, Loss, Observations, Opening, Verdict};
use nanoseg::net::Protocol;
use nanoseg::observe::{
    AddressChanges, CaptureSettings, LiveError, LiveSource, Pace, PacketSocket, Stop, run,
};
use network::Network;
use socket_translation::TranslatedSockets;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The timeout of every wait.
const DEADLINE: Duration = Duration::from_secs(30);

const SERVICE: &str = "10.96.0.10:80";
const POD: &str = "10.92.0.2:8080";

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn on(interfaces: &str) -> CaptureSettings {
    let Ok(interfaces) = interfaces.parse();
    CaptureSettings {
        interfaces,
        ..CaptureSettings::default()
    }
}

/// A capture that runs on the node, and what it has reported so far.
struct Watch {
    slices: Receiver<Observations>,
    seen: Observations,
    stop: Stop,
    address_changes: AddressChanges,
    thread: Option<JoinHandle<Result<(), LiveError>>>,
}

impl Watch {
    fn start(network: &Network, settings: CaptureSettings) -> Watch {
        let (stop, address_changes) = (Stop::default(), AddressChanges::default());
        let (sender, slices) = sync_channel(64);
        let (ready, started) = sync_channel(1);
        let (stopped, told) = (stop.clone(), address_changes.clone());
        let thread = network.within("n", move || {
            let mut source = PacketSocket::open(settings, told)?;
            ready.send(()).expect("the test waits");
            let pace = Pace {
                window: Duration::from_secs(1),
                new_edges_after: Duration::from_millis(100),
            };
            run(&mut source, pace, &stopped, &sender)
        });
        started.recv().expect("the capture starts");
        Watch {
            slices,
            seen: Observations::default(),
            stop,
            address_changes,
            thread: Some(thread),
        }
    }

    /// Waits until the reported records satisfy a condition, and repeats `meanwhile` until then.
    fn until<T>(
        &mut self,
        what: &str,
        mut meanwhile: impl FnMut(),
        find: impl Fn(&Observations) -> Option<T>,
    ) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = find(&self.seen) {
                return found;
            }
            assert!(
                began.elapsed() < DEADLINE,
                "no {what} in {:#?}",
                self.seen.records
            );
            meanwhile();
            if let Ok(slice) = self.slices.recv_timeout(Duration::from_millis(100)) {
                self.seen.append(slice);
            }
        }
    }

    fn record(&mut self, what: &str, fits: impl Fn(&FlowRecord) -> bool) -> FlowRecord {
        self.until(what, || {}, |seen| find(seen, &fits))
    }

    fn loss(&mut self, loss: Loss) -> u64 {
        self.until(loss.name(), || {}, |seen| seen.losses.get(&loss).copied())
    }

    /// Stops the capture. Returns everything that it reported.
    fn end(mut self) -> (Observations, Result<(), LiveError>) {
        self.stop.stop();
        let thread = self.thread.take().expect("running");
        let outcome = thread.join().expect("no panic in the capture");
        let mut seen = std::mem::take(&mut self.seen);
        self.slices.try_iter().for_each(|slice| seen.append(slice));
        (seen, outcome)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

fn find(seen: &Observations, fits: impl Fn(&FlowRecord) -> bool) -> Option<FlowRecord> {
    let mut records = seen.records.iter().map(|(_, record)| record);
    records.find(|record| fits(record)).cloned()
}

fn connections(seen: &Observations, fits: impl Fn(&FlowRecord) -> bool) -> u64 {
    let records = seen.records.iter().map(|(_, record)| record);
    records.filter(|r| fits(r)).map(|r| r.connections).sum()
}

fn goes_to(record: &FlowRecord, server: &str) -> bool {
    SocketAddr::new(record.server, record.port) == addr(server)
}

/// An echo server.
fn echo(network: &Network, port: u16) {
    let (ready, started) = sync_channel(1);
    network.within("s", move || {
        let listener = TcpListener::bind(("0.0.0.0", port)).expect("a listener");
        ready.send(()).expect("the test waits");
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut from, mut to) = (&stream, &stream);
                let _ = std::io::copy(&mut from, &mut to);
            });
        }
    });
    started.recv().expect("the server starts");
}

fn connect(network: &Network, to: &'static str) -> std::io::Result<TcpStream> {
    network.inside("c", move || {
        TcpStream::connect_timeout(&addr(to), Duration::from_millis(500))
    })
}

fn exchange(mut stream: &TcpStream, bytes: usize) {
    let mut buffer = vec![7; bytes];
    stream.write_all(&buffer).expect("sent");
    stream.read_exact(&mut buffer).expect("answered");
}

#[test]
fn a_call_through_a_service_is_reported_while_it_is_open_and_counted_once() {
    if !network::is_possible() {
        return;
    }
    let network = Network::new();
    echo(&network, 8080);
    let mut watch = Watch::start(&network, on("auto"));
    let stream = connect(&network, SERVICE).expect("connected");
    exchange(&stream, 100_000);
    let edge = watch.record("edge to the pod", |r| goes_to(r, POD));
    assert_eq!(edge.client, addr("10.91.0.2:0").ip());
    assert_eq!(edge.via, Some(addr(SERVICE)));
    assert_eq!(
        (edge.verdict, edge.opening, edge.connections),
        (Verdict::Established, Opening::Handshake, 1)
    );
    drop(stream);
    for _ in 0..20 {
        exchange(&connect(&network, SERVICE).expect("connected"), 10);
    }
    let all = |seen: &Observations| {
        let closed = connections(seen, |r| goes_to(r, POD)) == 21;
        let bytes = |r: &FlowRecord| r.bytes_to_server;
        let bytes: u64 = seen.records.iter().map(|(_, r)| bytes(r)).sum();
        (closed && bytes >= 100_200).then_some(bytes)
    };
    let bytes = watch.until("all of them", || {}, all);
    assert_eq!(bytes, 100_200, "by the FINs' sequence numbers");
    let (seen, outcome) = watch.end();
    outcome.expect("a clean end");
    assert_eq!(connections(&seen, |_| true), 21, "{:#?}", seen.records);
}

/// (rule: service-not-on-the-wire)
#[test]
fn with_socket_load_balancing_packets_and_records_have_the_backend_and_nothing_of_the_service() {
    if !network::is_possible() {
        return;
    }
    let (service, backend) = ("10.96.0.30:80", POD);
    let parse = |text: &str| text.parse().expect("an address");
    let sockets = match TranslatedSockets::new(parse(service), parse(backend)) {
        Ok(sockets) => sockets,
        Err(lack) => {
            assert!(std::env::var_os("NANOSEG_REQUIRE_ALL").is_none(), "{lack}");
            eprintln!("skipped: needs BPF programs of cgroups: {lack}");
            return;
        }
    };
    let network = Network::new();
    echo(&network, 8080);
    let mut watch = Watch::start(&network, on("auto"));
    let call = "exec 3<>/dev/tcp/10.96.0.30/80; echo hello >&3; read -r answer <&3; echo $answer";
    let called = sockets
        .shell(&network.name("c"), call)
        .output()
        .expect("it runs");
    assert_eq!(
        String::from_utf8_lossy(&called.stdout),
        "hello\n",
        "{called:?}"
    );
    let edge = watch.record("edge to the pod", |r| goes_to(r, backend));
    assert_eq!((edge.client, edge.via), (addr("10.91.0.2:0").ip(), None));
    assert_eq!(
        (edge.verdict, edge.opening, edge.connections),
        (Verdict::Established, Opening::Handshake, 1)
    );
    let (seen, outcome) = watch.end();
    outcome.expect("a clean end");
    let of_service = |r: &FlowRecord| r.server == addr(service).ip() || r.via.is_some();
    assert_eq!(connections(&seen, of_service), 0, "{:#?}", seen.records);
    assert_eq!(connections(&seen, |_| true), 1, "{:#?}", seen.records);
}

#[test]
fn names_answers_refusals_and_missing_answers_are_distinguished() {
    if !network::is_possible() {
        return;
    }
    let network = Network::new();
    echo(&network, 8080);
    let (ready, started) = sync_channel(1);
    network.within("s", move || {
        let resolver = UdpSocket::bind("0.0.0.0:53").expect("a socket");
        ready.send(()).expect("the test waits");
        let mut buffer = [0; 512];
        while let Ok((_, from)) = resolver.recv_from(&mut buffer) {
            let name = "shop.example".to_owned();
            let answer = DnsAnswer {
                name: name.clone(),
                kind: 1,
                ttl: 60,
                data: vec![10, 92, 0, 2],
            };
            let answer = dns(1, &name, 1, Some(&[answer]));
            resolver.send_to(&answer, from).expect("answered");
        }
    });
    started.recv().expect("the resolver starts");
    let mut watch = Watch::start(&network, on("veth*"));
    network.inside("c", || {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        let mut buffer = [0; 512];
        let question = dns(1, "shop.example", 1, None);
        socket.send_to(&question, "10.92.0.2:53").expect("asked");
        socket.recv_from(&mut buffer).expect("answered");
        // Nothing listens there, and the pod's kernel reports it by ICMP.
        socket.send_to(b"hello", "10.92.0.2:7777").expect("sent");
    });
    connect(&network, "10.92.0.2:81").expect_err("refused");
    connect(&network, "10.92.0.2:9999").expect_err("dropped by the pod");
    let name = watch.until("name", || {}, |seen| seen.names.first().cloned());
    assert_eq!(name.0, addr(POD).ip());
    assert_eq!(
        (&*name.1.name, name.1.client),
        ("shop.example", addr("10.91.0.2:0").ip())
    );
    for (server, protocol, verdict) in [
        ("10.92.0.2:53", Protocol::Udp, Verdict::Established),
        ("10.92.0.2:7777", Protocol::Udp, Verdict::Refused),
        ("10.92.0.2:81", Protocol::Tcp, Verdict::Refused),
        ("10.92.0.2:9999", Protocol::Tcp, Verdict::Unanswered),
    ] {
        let edge = watch.record(server, |r| goes_to(r, server));
        assert_eq!(
            (edge.protocol, edge.verdict),
            (protocol, verdict),
            "{server}"
        );
        assert_eq!(edge.connections, 1, "{server}");
    }
}

#[test]
fn a_connection_that_is_older_than_the_capture_is_found_in_the_sample() {
    if !network::is_possible() {
        return;
    }
    let network = Network::new();
    echo(&network, 8080);
    let stream = connect(&network, SERVICE).expect("connected");
    let port = stream.local_addr().expect("an address").port();
    exchange(&stream, 10);
    let mut watch = Watch::start(&network, on("auto"));
    let edge = watch.until(
        "edge",
        || (0..100).for_each(|_| exchange(&stream, 2000)),
        |seen| find(seen, |r| r.client_port.is_some()),
    );
    let ends = [
        SocketAddr::new(edge.client, edge.client_port.expect("kept")),
        SocketAddr::new(edge.server, edge.port),
    ];
    let client = SocketAddr::new(IpAddr::from([10, 91, 0, 2]), port);
    assert!(ends.contains(&client), "{edge:#?}");
    assert_eq!(
        (edge.verdict, edge.opening),
        (Verdict::Established, Opening::Undecided)
    );
}

#[test]
fn new_interfaces_are_captured_and_removed_interfaces_are_reported() {
    if !network::is_possible() {
        return;
    }
    for interfaces in ["auto", "veth*"] {
        let network = Network::new();
        echo(&network, 8080);
        let mut watch = Watch::start(&network, on(interfaces));
        let before = watch.address_changes.count();
        network::run(&format!(
            "ip -n {node} link add vethx type veth peer name eth1 netns {client}
             ip -n {node} addr add 10.93.0.1/24 dev vethx
             ip -n {client} addr add 10.93.0.2/24 dev eth1
             ip -n {node} link set vethx up; ip -n {client} link set eth1 up
             ip -n {client} route change default via 10.93.0.1
             ip -n {node} link set vethc down",
            node = network.name("n"),
            client = network.name("c"),
        ));
        let deadline = Instant::now() + DEADLINE;
        while watch.address_changes.count() == before {
            assert!(Instant::now() < deadline, "the new interface was not told");
            std::thread::yield_now();
        }
        let stream = connect(&network, SERVICE).expect("connected");
        exchange(&stream, 10);
        let edge = watch.record("edge", |r| goes_to(r, POD));
        assert_eq!(edge.client, addr("10.93.0.2:0").ip(), "{interfaces}");
        assert_eq!(
            edge.via,
            Some(addr(SERVICE)),
            "seen on the new interface too"
        );
        watch.end().1.expect("a clean end");
    }
}

#[test]
fn a_removed_interface_is_a_loss_and_the_last_removed_one_is_an_error() {
    if !network::is_possible() {
        return;
    }
    let network = Network::new();
    let mut watch = Watch::start(&network, on("vethc,veths"));
    let node = network.name("n");
    network::run(&format!("ip -n {node} link del vethc"));
    assert_eq!(watch.loss(Loss::InterfaceLost), 1);
    network::run(&format!("ip -n {node} link del veths"));
    let thread = watch.thread.take().expect("running");
    let error = thread.join().expect("no panic").expect_err("nothing left");
    let text = error.to_string();
    assert!(
        text.contains("vethc,veths") && text.contains("lo"),
        "{text}"
    );
}

#[test]
fn an_error_on_opening_has_a_remedy() {
    if !network::is_possible() {
        return;
    }
    let network = Network::new();
    let open = |settings| {
        network.inside("n", move || {
            let opened = PacketSocket::open(settings, AddressChanges::default());
            opened.err().expect("an error").to_string()
        })
    };
    let text = open(on("eth7"));
    assert!(
        text.contains("eth7") && text.contains("vethc, veths"),
        "{text}"
    );
    let text = network.inside("n", || {
        let nobody = 65534;
        // SAFETY: only this thread drops its privileges; the C library's call would do so for all threads.
        unsafe { libc::syscall(libc::SYS_setresuid, nobody, nobody, nobody) };
        let opened = PacketSocket::open(on("auto"), AddressChanges::default());
        opened.err().expect("an error").to_string()
    });
    assert!(text.contains("CAP_NET_RAW"), "{text}");
}

/// Sends datagrams to a port on which nothing listens.
fn flood(network: &Network, datagrams: u32) {
    network.inside("c", move || {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        for _ in 0..datagrams {
            // An error is the ICMP answer to an earlier datagram.
            let _ = socket.send_to(&[0; 100], "10.92.0.2:7777");
        }
    });
}

#[test]
fn a_ring_that_overflows_reports_how_much_was_lost() {
    if !network::is_possible() {
        return;
    }
    let network = Network::new();
    let settings = CaptureSettings {
        ring_bytes: 1,
        udp_budget: u64::MAX,
        ..on("auto")
    };
    let mut source = network.inside("n", move || {
        PacketSocket::open(settings, AddressChanges::default()).map_err(|error| error.to_string())
    });
    let source = source.as_mut().expect("opened");
    flood(&network, 20_000);
    let counters = source.counters();
    let mut seen = Observations::default();
    let deadline = Instant::now() + DEADLINE;
    while !seen.losses.contains_key(&Loss::CaptureDropped) {
        assert!(Instant::now() < deadline, "{:?}", seen.losses);
        source.poll(Duration::from_millis(100)).expect("polled");
        seen.append(source.take());
    }
    use std::sync::atomic::Ordering::Relaxed;
    let (taken, lost) = (
        counters.packets.load(Relaxed),
        counters.kernel_drops.load(Relaxed),
    );
    assert_eq!(seen.losses[&Loss::CaptureDropped], lost);
    assert!(taken > 0 && lost > 10_000, "{taken} {lost}");
    // Each datagram is captured on both interfaces. The kernel limits the rate of ICMP answers.
    assert!(taken + lost >= 40_000, "{taken} + {lost}");
}

#[test]
fn udp_beyond_the_budget_is_sampled_and_the_rest_is_counted_as_lost() {
    if !network::is_possible() {
        return;
    }
    let network = Network::new();
    let settings = CaptureSettings {
        udp_budget: 100,
        ..on("auto")
    };
    let mut watch = Watch::start(&network, settings);
    let lost = watch.until(
        "sampling",
        || flood(&network, 2000),
        |seen| seen.losses.get(&Loss::CaptureSampled).copied(),
    );
    assert!(lost > 0);
    let edge = watch.record("edge", |r| goes_to(r, "10.92.0.2:7777"));
    assert_eq!(edge.connections, 1, "none is counted more than once");
}

#[test]
fn records_just_before_the_end_are_reported() {
    if !network::is_possible() {
        return;
    }
    let network = Network::new();
    echo(&network, 8080);
    let watch = Watch::start(&network, on("auto"));
    for _ in 0..5 {
        exchange(&connect(&network, SERVICE).expect("connected"), 10);
    }
    let (seen, outcome) = watch.end();
    outcome.expect("a clean end");
    assert_eq!(connections(&seen, |r| goes_to(r, POD)), 5);
}
