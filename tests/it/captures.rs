//! Unusual but legal captures of every format, link type and tunnel. None may cause a crash, each gives packets or a
//! clear reason, and the connections equal those of another analyser.
//!
//! The basic part runs on `tests/data/captures`. If `../shared/data/captures` exists, all of it is read.

use crate::places::{captures_of, shared};
use nanoseg::flow::{
    AddressEpochs, ConnectionReport, FlowConfig, FlowTable, NoListeners, Opening, SkipCounters,
    Verdict, decode, infer_server,
};
use nanoseg::observe::{CaptureSet, CaptureSummary, ObserveError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The result of reading one capture with `observe` and `flow`.
struct Read {
    summary: CaptureSummary,
    skips: SkipCounters,
    decoded: u64,
    connections: Vec<ConnectionReport>,
}

fn read(path: &Path) -> Result<Read, ObserveError> {
    let set = CaptureSet::open(&[path.to_path_buf()])?;
    let limits = FlowConfig::default();
    let mut table = FlowTable::with_sink(NoListeners, AddressEpochs::default(), limits, Vec::new());
    let (mut skips, mut decoded) = (SkipCounters::default(), 0);
    let summary = set.for_each(
        |frame| match decode(frame.link, frame.data, frame.original_length, frame.time) {
            Ok(packet) => {
                decoded += 1;
                table.ingest(&packet);
            }
            Err(reason) => skips.add(reason),
        },
        |_| {},
    )?;
    Ok(Read {
        summary,
        skips,
        decoded,
        connections: table.into_sink().0,
    })
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Captures from which no packet can be decoded, and why.
const WITHOUT_PACKETS: &[(&str, &str)] = &[
    ("802.1ad_QinQ.pcap", "2 arp"),
    ("arp-oobr.pcap", "2282 arp"),
    ("arp-too-long-tha.pcap", "1 arp"),
    ("arp__detect-arp-03-vlan__input.pcap", "3 arp"),
    ("communityid__arp.pcap", "6 arp"),
    ("decode-nsh-type2__input.pcap", "1 unsupported-ethertype"),
    ("empty.pcap", "no packets in it"),
    ("empty.pcapng", "no packets in it"),
    // Mirrored frames of a type without Ethernet; tshark does not read them either.
    (
        "erspan-type-iii-ft-7.pcap",
        "48 llc; 10 unsupported-ethertype",
    ),
    ("ipoib.pcap", "30 unsupported-link-type"),
    (
        "ipv6-bad-version.pcap",
        "2 neighbour-discovery; 2 bad-header",
    ),
    ("ipv6_39_byte_header.pcap", "1 too-short"),
    ("ipv6hdr-heapoverflow.pcap", "1 too-short"),
    ("kday1.pcap", "1 bad-header"),
    ("linuxsll-arp.pcap", "12 arp"),
    ("nflog-bad-tlv-len.pcap", "1 too-short"),
    ("nsh-over-vxlan-gpe.pcap", "1 unsupported-tunnel"),
    ("ppp_ip_udp_dns.pcap", "1 ppp-control"),
    ("slow-ossp.pcap", "1 slow-protocol"),
    ("snap-arp.pcapng", "4 arp"),
    ("test003.pcapng", "no packets in it"),
    ("test014.pcapng", "no packets in it"),
    ("test017-be.pcapng", "no packets in it"),
    ("test017-le.pcapng", "no packets in it"),
    ("test017.pcapng", "no packets in it"),
    (
        "trunc__ip-discarder-truncated-tcp-oob.pcapng",
        "1 too-short",
    ),
    ("trunc__ip4-trunc.pcap", "1 too-short"),
    (
        "trunc__ipv4-internally-truncated-header.pcap",
        "1 too-short",
    ),
    ("trunc__ipv4-truncated-broken-header.pcap", "1 bad-header"),
    ("truncated-aack.pcap", "1 ppp-control"),
    // 802.11 inside GRE, which only wireless controllers use.
    ("tunnels__gre-aruba-amsdu.pcap", "1 unsupported-tunnel"),
    ("unsupported-link-type-160.pcap", "1 unsupported-link-type"),
    ("unsupported-link-type-dbus.pcap", "2 unsupported-link-type"),
    ("vsock-1.pcapng", "10 unsupported-link-type"),
];

#[test]
fn every_capture_gives_packets_or_a_clear_reason() {
    let mut without = BTreeMap::new();
    for path in captures_of(&[]) {
        let reason = match read(&path) {
            Err(error) => error
                .to_string()
                .replace(&path.display().to_string(), "FILE"),
            Ok(read) => {
                let skipped = read.skips.total();
                assert_eq!(
                    read.summary.packets,
                    read.decoded + skipped,
                    "{}",
                    path.display()
                );
                if read.decoded > 0 {
                    continue;
                }
                let skips: Vec<_> = read
                    .skips
                    .listing()
                    .iter()
                    .map(|(r, n)| format!("{n} {r}"))
                    .collect();
                let troubles = read.summary.troubles.iter().map(|t| t.message.clone());
                let all: Vec<_> = skips.into_iter().chain(troubles).collect();
                if all.is_empty() {
                    "no packets in it".into()
                } else {
                    all.join("; ")
                }
            }
        };
        without.insert(name(&path), reason);
    }
    let mut wrong = Vec::new();
    let known: BTreeMap<_, _> = WITHOUT_PACKETS.iter().copied().collect();
    for (capture, reason) in &without {
        if known.get(capture.as_str()) != Some(&reason.as_str()) {
            wrong.push(format!("    (\"{capture}\", \"{reason}\"),"));
        }
    }
    assert!(wrong.is_empty(), "no packets in:\n{}", wrong.join("\n"));
}

/// One line per connection, in a form that is common to both analysers.
fn line(protocol: &str, client: &str, server: &str, answered: bool) -> String {
    let verdict = if answered { "answered" } else { "not answered" };
    format!("{protocol} {client} > {server} {verdict}")
}

fn ours(connections: &[ConnectionReport]) -> Vec<String> {
    let mut lines: Vec<_> = connections
        .iter()
        .map(|c| {
            let (mut client, mut server) = (c.client, c.server);
            if matches!(c.opening, Opening::Undecided)
                && infer_server([client, server], [0, 0]) == 0
            {
                (client, server) = (server, client);
            }
            let protocol = c.protocol.as_str().to_lowercase();
            let answered = c.verdict == Verdict::Established;
            line(
                &protocol,
                &client.to_string(),
                &server.to_string(),
                answered,
            )
        })
        .collect();
    lines.sort();
    lines
}

/// The TCP, UDP and SCTP connections of a Zeek conn.log.
fn zeek(log: &str) -> Vec<String> {
    let fields: Vec<&str> = log
        .lines()
        .find_map(|line| line.strip_prefix("#fields\t"))
        .expect("a conn.log names its fields")
        .split('\t')
        .collect();
    let mut lines: Vec<_> = log
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .filter_map(|row| {
            let row: BTreeMap<_, _> = fields.iter().copied().zip(row.split('\t')).collect();
            let protocol = row["proto"];
            if !matches!(protocol, "tcp" | "udp" | "sctp") {
                return None;
            }
            let end = |host: &str, port: &str| {
                if host.contains(':') {
                    format!("[{host}]:{port}")
                } else {
                    format!("{host}:{port}")
                }
            };
            let seen = |field: &str| row.get(field).is_some_and(|n| *n != "0" && *n != "-");
            let answered = match row["conn_state"] {
                "S0" | "REJ" | "SH" | "RSTOS0" => false,
                _ => seen("orig_pkts") && seen("resp_pkts"),
            };
            let client = end(row["id.orig_h"], row["id.orig_p"]);
            let server = end(row["id.resp_h"], row["id.resp_p"]);
            Some(line(protocol, &client, &server, answered))
        })
        .collect();
    lines.sort();
    lines
}

const TO_ALL: &str = "To all or many: counted as not expressible, no connection.";
const TUNNEL: &str =
    "The tunnel's own datagrams between nodes are no connections; what is inside is.";

/// The differences to Zeek's connections: the capture, the reason, and exactly which lines. Only Zeek has `-` lines,
/// only nanoseg has `+` lines.
const DIFFERENCES: &[(&str, &str, &[&str])] = &[
    (
        "dhcp__dhcp.pcap",
        "Broadcasts are counted as not expressible. Only the server's unicast was captured; Zeek knows its port, nanoseg takes the first packet's sender for the client unless the inventory knows a listener.",
        &[
            "- udp 0.0.0.0:68 > 255.255.255.255:67 not answered",
            "- udp 128.2.6.152:67 > 255.255.255.255:68 not answered",
            "- udp 128.2.6.189:68 > 128.2.6.152:67 not answered",
            "- udp 128.2.6.97:68 > 128.2.6.152:67 not answered",
            "+ udp 128.2.6.152:67 > 128.2.6.189:68 not answered",
            "+ udp 128.2.6.152:67 > 128.2.6.97:68 not answered",
        ],
    ),
    (
        "mixed-vlan-mpls.pcap",
        "Only the client's packets were captured, but their acknowledgment numbers move: the server really answered.",
        &[
            "- tcp 10.1.2.1:11001 > 10.34.0.1:23 not answered",
            "+ tcp 10.1.2.1:11001 > 10.34.0.1:23 answered",
        ],
    ),
    (
        "modbus__modbus-and-non-modbus-p502.pcap",
        "A scanner: the first connection of these ports is a handshake that the client reset (Zeek: RSTO with history ShR), \
         the second one data without a handshake that was only reset.",
        &[
            "- tcp 198.74.56.135:60293 > 192.168.10.111:502 answered",
            "- tcp 198.74.56.135:60293 > 192.168.10.111:502 answered",
            "+ tcp 198.74.56.135:60293 > 192.168.10.111:502 not answered",
            "+ tcp 198.74.56.135:60293 > 192.168.10.111:502 not answered",
        ],
    ),
    (
        "ntp__misordered-ntp.pcap",
        "The reply comes first in the file; Zeek knows the port, and matches nothing.",
        &[
            "- udp 192.168.1.95:123 > 17.253.4.253:123 not answered",
            "+ udp 17.253.4.253:123 > 192.168.1.95:123 answered",
        ],
    ),
    (
        "pop3__pop3.pcap",
        "The same SYN, sent again after each of two resets, is one attempt; Zeek counts three.",
        &[
            "- tcp 192.168.0.4:26242 > 212.227.15.188:110 not answered",
            "- tcp 192.168.0.4:26242 > 212.227.15.188:110 not answered",
            "- tcp 192.168.0.4:26245 > 212.227.15.171:110 not answered",
            "- tcp 192.168.0.4:26245 > 212.227.15.171:110 not answered",
        ],
    ),
    (
        "pppoe.pcap",
        TO_ALL,
        &["- udp [fe80::ce05:eff:fe88:0]:546 > [ff02::1:2]:547 not answered"],
    ),
    (
        "q-in-q.pcap",
        TO_ALL,
        &[
            "- udp 172.19.51.37:47808 > 172.19.51.63:47808 not answered",
            "- udp 193.1.186.60:9875 > 224.2.127.254:9875 not answered",
        ],
    ),
    (
        "radiotap.pcap",
        TO_ALL,
        &["- udp [fe80::a667:6ff:fef7:ec54]:5353 > [ff02::fb]:5353 not answered"],
    ),
    (
        "ssh__ssh.pcap",
        TO_ALL,
        &["- udp 192.168.1.31:57621 > 192.168.1.255:57621 not answered"],
    ),
    (
        "tunnels__ayiya-large-identity.pcap",
        "Sent in a broadcast frame, and AYIYA is not unwrapped: between pods it is the application itself.",
        &[
            "- udp 10.0.0.1:12345 > 10.0.0.2:5072 not answered",
            "- udp [fd00::1]:40000 > [fd00::2]:40001 not answered",
        ],
    ),
    (
        "tunnels__geneve-ipv6.pcap",
        TUNNEL,
        &["- udp 10.0.0.1:12345 > 10.0.0.2:6081 not answered"],
    ),
    (
        "tunnels__geneve-vxlan-dns-truncated.pcap",
        TUNNEL,
        &[
            "- udp 127.0.0.1:11803 > 127.0.0.1:6081 not answered",
            "- udp 127.0.0.1:26383 > 127.0.0.1:4789 not answered",
        ],
    ),
    (
        "tunnels__gre-aruba-amsdu.pcap",
        "802.11 frames inside GRE, which only wireless controllers speak, are not read.",
        &["- tcp 157.240.18.16:443 > 149.159.130.184:49392 not answered"],
    ),
    (
        "tunnels__gre-within-gre.pcap",
        TO_ALL,
        &[
            "- udp 3.3.3.1:520 > 224.0.0.9:520 not answered",
            "- udp 3.3.3.2:520 > 224.0.0.9:520 not answered",
        ],
    ),
    (
        "tunnels__gtp__gtp10_not_0xff.pcap",
        "An anonymised address of this capture is a multicast one: counted as not expressible.",
        &["- udp 247.56.43.214:2152 > 237.56.101.238:2152 answered"],
    ),
    (
        "tunnels__gtp__gtp2_different_udp_port.pcap",
        "GTP-U is not unwrapped: between the pods of a 5G core it is the application itself.",
        &["- tcp 10.131.17.170:51803 > 173.199.115.168:80 answered"],
    ),
    (
        "tunnels__gtp__gtp7_ipv6.pcap",
        "To all or many: counted as not expressible, no connection. GTP-U is not unwrapped.",
        &["- udp [fe80::224c:4fff:fe43:414c]:1234 > [ff02::1:3]:5355 not answered"],
    ),
    (
        "tunnels__teredo_bubble_with_payload.pcap",
        "Teredo is not unwrapped; and only the server's packet was captured of one conversation.",
        &[
            "- tcp [2001:0:4137:9e50:8000:f12a:b9c8:2815]:1286 > [2001:4860:0:2001::68]:80 answered",
            "- udp 192.168.2.16:3797 > 65.55.158.81:3544 not answered",
            "+ udp 65.55.158.81:3544 > 192.168.2.16:3797 not answered",
        ],
    ),
    (
        "tunnels__vxlan-encapsulated-http.pcap",
        TUNNEL,
        &["- udp 10.1.200.131:50000 > 10.1.1.172:4789 not answered"],
    ),
    (
        "tunnels__vxlan.pcap",
        TUNNEL,
        &[
            "- udp 192.168.56.11:39924 > 192.168.56.12:4789 not answered",
            "- udp 192.168.56.11:48134 > 192.168.56.12:4789 not answered",
            "- udp 192.168.56.12:38071 > 192.168.56.11:4789 not answered",
            "- udp 192.168.56.12:40908 > 192.168.56.11:4789 not answered",
        ],
    ),
    (
        "wlanmon.pcap",
        TO_ALL,
        &["- udp [fe80::a667:6ff:fef7:ec54]:5353 > [ff02::fb]:5353 not answered"],
    ),
];

/// Returns the lines of `a` that `b` does not have, each as often as it is missing.
fn missing(a: &[String], b: &[String], sign: char) -> Vec<String> {
    let mut rest = b.to_vec();
    let mut out = Vec::new();
    for line in a {
        match rest.iter().position(|other| other == line) {
            Some(place) => drop(rest.swap_remove(place)),
            None => out.push(format!("{sign} {line}")),
        }
    }
    out
}

#[test]
fn connections_equal_those_of_zeek_except_for_explained_differences() {
    let explained: BTreeMap<_, _> = DIFFERENCES
        .iter()
        .map(|(c, _, lines)| (*c, *lines))
        .collect();
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for path in captures_of(&["zeek"]) {
        let logs = path.with_file_name("expected-conn-log");
        let Ok(log) = std::fs::read_to_string(logs.join(format!("{}.conn.log", name(&path))))
        else {
            continue;
        };
        compared += 1;
        let (theirs, ours) = (
            zeek(&log),
            ours(&read(&path).expect("a capture").connections),
        );
        let mut differences = missing(&theirs, &ours, '-');
        differences.extend(missing(&ours, &theirs, '+'));
        let expected = explained.get(name(&path).as_str()).copied().unwrap_or(&[]);
        if differences != expected {
            wrong.push(format!("{}: {differences:#?}", name(&path)));
        }
    }
    println!("{compared} captures compared with Zeek");
    assert!(compared >= 10 && wrong.is_empty(), "{}", wrong.join("\n"));
    if shared("captures").is_some() {
        assert!(compared >= 51);
    }
}

/// Captures for which tshark has another count, and the reason.
const OTHER_COUNTS: &[(&str, &str, u64)] = &[
    (
        "test017-be.pcapng",
        "tshark shows custom blocks as frames",
        0,
    ),
    (
        "test017-le.pcapng",
        "tshark shows custom blocks as frames",
        0,
    ),
    ("test017.pcapng", "tshark shows custom blocks as frames", 0),
    ("test018.pcapng", "tshark shows custom blocks as frames", 4),
    ("test102.pcapng", "tshark shows custom blocks as frames", 5),
];

#[test]
fn packet_counts_equal_those_of_tshark() {
    if Command::new("tshark").arg("--version").output().is_err() {
        println!("skipped: tshark is not installed");
        return;
    }
    let mut wrong = Vec::new();
    for path in captures_of(&[]) {
        let Ok(ours) = read(&path) else { continue };
        let output = Command::new("tshark")
            .args(["-n", "-r"])
            .arg(&path)
            .args(["-T", "fields", "-e", "frame.number"])
            .output()
            .expect("tshark runs");
        let theirs = output.stdout.iter().filter(|byte| **byte == b'\n').count() as u64;
        let known = OTHER_COUNTS
            .iter()
            .find(|(capture, ..)| *capture == name(&path));
        let expected = known.map_or(theirs, |(.., count)| *count);
        if ours.summary.packets != expected {
            wrong.push(format!(
                "{}: {} and not {theirs}",
                name(&path),
                ours.summary.packets
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn scanned_ports_that_did_not_answer_are_not_established() {
    let [path] = &captures_of(&["k8s-pod"])[..] else {
        panic!("one capture of a scan")
    };
    let read = read(path).expect("a capture");
    let established: Vec<_> = read
        .connections
        .iter()
        .filter(|connection| connection.verdict == Verdict::Established)
        .map(|connection| format!("{} {}", connection.server, connection.protocol))
        .collect();
    // The only answers in this capture are resets, ICMP errors and echo replies.
    assert!(established.is_empty(), "{established:#?}");
    let refused = read
        .connections
        .iter()
        .filter(|c| c.verdict == Verdict::Refused)
        .count();
    assert!(refused >= 5 && read.connections.len() > 20, "it is a scan");
}

#[test]
fn inputs_that_once_failed_are_handled() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/regressions");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder")
        .map(|f| f.expect("a file").path())
        .collect();
    files.sort();
    for path in files
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "bin"))
    {
        let bytes = std::fs::read(path).expect("a file");
        let mut table =
            FlowTable::new(NoListeners, AddressEpochs::default(), FlowConfig::default());
        // Read as a capture, and as a frame of every supported link type.
        let _ = nanoseg::observe::read_capture_bytes(&bytes, |frame| {
            if let Ok(packet) = decode(frame.link, frame.data, frame.original_length, frame.time) {
                table.ingest(&packet);
            }
        });
        for link in 0..300 {
            let link = nanoseg::flow::LinkType(link);
            let time = nanoseg::net::Timestamp::from_secs(0);
            if let Ok(packet) = decode(link, &bytes, bytes.len() as u32, time) {
                table.ingest(&packet);
            }
        }
        table.finish();
    }
}
