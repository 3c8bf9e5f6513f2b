//! What the readers of other programs' logs make of small logs (`tests/data/flows`): the same traffic in every format, as far as
//! the format can tell it.

use super::*;
use nanoseg_flow::{FlowRecord, Opening, PeerLabel};

fn file(path: &str) -> Vec<u8> {
    let root = env!("CARGO_MANIFEST_DIR");
    std::fs::read(format!("{root}/../../tests/data/flows/{path}")).unwrap()
}

/// The records as `CLIENT → SERVER PORT VERDICT`, with `?` where nothing shows who opened it, and what was skipped and lost.
fn read(path: &str) -> Vec<String> {
    told(&file(path), path)
}

fn told(bytes: &[u8], name: &str) -> Vec<String> {
    let (aggregate, summary) = parse_bytes(bytes, name).unwrap();
    assert_eq!(summary.malformed, Vec::<String>::new());
    let line = |record: &FlowRecord| {
        let doubt = match record.opening {
            Opening::Undecided => format!("? from {}", record.client_port.unwrap_or(0)),
            _ => String::new(),
        };
        format!(
            "{} → {} {}/{} {:?}{doubt}",
            record.client, record.server, record.port, record.protocol, record.verdict
        )
    };
    let mut lines: Vec<String> = aggregate.records().map(|(_, r)| line(r)).collect();
    lines.sort();
    lines.dedup();
    let skipped = summary.skipped.iter();
    lines.extend(skipped.map(|(reason, n)| format!("skipped {reason} {n}")));
    let lost = aggregate.losses().iter();
    lines.extend(lost.map(|(loss, n)| format!("lost {loss} {n}")));
    lines.extend(
        summary
            .incomplete
            .iter()
            .map(|what| format!("incomplete {what}")),
    );
    lines
}

#[test]
fn zeek_s_states_decide_the_verdict_and_the_history_the_direction() {
    let expected = [
        "10.244.1.5 → 10.244.0.10 53/UDP Established",
        "10.244.1.5 → 10.244.0.10 8125/UDP OneWay",
        "10.244.1.5 → 10.244.2.6 9000/TCP Established",
        "10.244.1.5 → 10.244.2.6 9000/TCP Established? from 46003",
        "10.244.1.5 → 10.244.2.6 9001/TCP Established",
        "10.244.1.77 → 10.244.2.6 22/TCP Unanswered",
        "10.244.1.77 → 10.244.2.6 3306/TCP Unanswered",
        "10.244.1.77 → 10.244.2.6 5432/TCP Refused",
        "10.244.1.77 → 10.244.2.6 6379/TCP Unanswered",
        "10.244.1.77 → 10.244.2.6 9000/TCP Unanswered",
        "10.244.2.6 → 10.244.1.5 46002/TCP Established? from 9000",
        "10.244.2.6 → 10.244.1.5 46004/TCP Unanswered? from 9000",
        "skipped zeek-one-side-seen 1",
    ];
    assert_eq!(read("zeek/conn.log"), expected);
    assert_eq!(read("zeek/conn.json"), expected);
    let (aggregate, _) = parse_bytes(&file("zeek/conn.log"), "z").unwrap();
    let result = aggregate.into_result(&nanoseg_flow::NoListeners, &Default::default(), 4);
    assert_eq!(result.other.len(), 2, "a ping and its answer");
}

#[test]
fn zeek_s_header_lines_are_obeyed() {
    let text = "#separator \\x2c\n#unset_field,none\n#path,conn\n\
                #fields,ts,id.orig_h,id.orig_p,id.resp_h,id.resp_p,proto,conn_state,history,resp_pkts\n\
                1772445600.5,::ffff:10.0.0.1,1000,10.0.0.2,80,tcp,SF,none,3\n\
                1772445600.5,10.0.0.1,1001,10.0.0.2,81,tcp,SF,none,0\n";
    assert_eq!(
        told(text.as_bytes(), "z"),
        [
            "10.0.0.1 → 10.0.0.2 80/TCP Established",
            "10.0.0.1 → 10.0.0.2 81/TCP Unanswered",
        ]
    );
    let refused = |text: &str| parse_bytes(text.as_bytes(), "z").unwrap_err().to_string();
    assert!(refused("#separator \\x09\n#path\tdns\n").contains("Zeek's dns log"));
}

#[test]
fn accept_without_a_record_back_is_no_answer_in_a_vpc_flow_log() {
    assert_eq!(
        read("vpc/default.log"),
        [
            "10.244.1.5 → 10.244.2.6 7777/TCP Unanswered? from 45001",
            "10.244.1.5 → 10.244.2.6 9000/TCP Established? from 44000",
            "10.244.1.5 → 10.244.2.6 9000/TCP Established? from 44001",
            "10.244.1.5 → 10.244.2.6 9000/TCP Established? from 44002",
            "10.244.1.5 → 10.244.2.6 9999/TCP Dropped? from 45000",
            "skipped vpc-no-data 1",
            "lost log-lost 1",
        ]
    );
    assert_eq!(
        read("vpc/version5.log"),
        [
            "10.244.1.5 → 10.244.2.6 7777/TCP Unanswered",
            "10.244.1.5 → 10.244.2.6 8888/TCP Refused",
            "10.244.1.5 → 10.244.2.6 9000/TCP Established",
            "10.244.1.5 → 10.244.2.6 9999/TCP Dropped? from 45000",
        ]
    );
}

#[test]
fn a_vpc_flow_log_is_known_in_each_of_its_forms_and_says_whose_addresses_it_has() {
    let masked = |bytes: &[u8]| {
        let (_, summary) = parse_bytes(bytes, "v").unwrap();
        summary.read[0].interface_addresses
    };
    assert!(masked(&file("vpc/interface-addresses.log")));
    assert!(!masked(&file("vpc/version5.log")));
    let text = String::from_utf8(file("vpc/default.log")).unwrap();
    let exported: String = text
        .lines()
        .map(|line| format!("2026-03-02T10:00:00.000Z {line}\n"))
        .collect();
    assert_eq!(told(exported.as_bytes(), "v"), read("vpc/default.log"));
    let events: Vec<_> = text
        .lines()
        .map(|line| serde_json::json!({"timestamp": 1, "message": line}))
        .collect();
    let events = serde_json::json!({ "events": events }).to_string();
    assert_eq!(told(events.as_bytes(), "v"), read("vpc/default.log"));
    let refused = |text: &[u8]| parse_bytes(text, "v").unwrap_err().to_string();
    assert!(refused(b"PAR1\x15\x00").contains("Parquet is not read"));
    assert!(refused(b"srcaddr dstaddr action\n").contains("${tcp-flags}"));
}

#[test]
fn netobserv_s_records_of_both_nodes_are_one_connection_however_they_are_exported() {
    let expected = [
        "10.244.1.5 → 10.244.2.6 7777/TCP Unanswered",
        "10.244.1.5 → 10.244.2.6 8888/TCP Refused",
        "10.244.1.5 → 10.244.2.6 9000/TCP Established",
    ];
    assert_eq!(read("netobserv/flows.json"), expected);
    assert_eq!(read("netobserv/loki.json"), expected);
    let (aggregate, summary) = parse_bytes(&file("netobserv/flows.json"), "n").unwrap();
    let answered = aggregate
        .records()
        .filter(|(_, record)| record.port == 9000);
    let (connections, bytes) = answered.fold((0, 0), |(n, bytes), (_, record)| {
        (n + record.connections, bytes + record.bytes_to_server)
    });
    assert_eq!((connections, bytes), (3, 1500), "counted once");
    let views: Vec<&str> = aggregate.views().keys().map(AsRef::as_ref).collect();
    assert_eq!(views, ["192.168.0.11", "192.168.0.12"]);
    assert!(summary.read[0].names_observers);
    let named = aggregate.records().any(|(_, record)| {
        let client = record.labels.as_ref().and_then(|labels| labels.client.clone());
        matches!(client, Some(PeerLabel::Pod(pod)) if pod.owner == Some(("Deployment".into(), "web".into())))
    });
    assert!(named);
}

#[test]
fn nfdump_s_output_is_paired_in_each_of_its_forms() {
    let expected = [
        "10.244.1.5 → 10.244.0.10 53/UDP Established",
        "10.244.1.5 → 10.244.2.6 7777/TCP Unanswered",
        "10.244.1.5 → 10.244.2.6 8888/TCP Refused",
        "10.244.1.5 → 10.244.2.6 9000/TCP Established",
        "10.244.1.5 → 10.244.2.6 9000/TCP Unanswered",
    ];
    assert_eq!(read("nfdump/flows.csv"), expected);
    assert_eq!(read("nfdump/flows.json"), expected);
    assert_eq!(read("nfdump/flows-1.7.csv"), expected);
}

#[test]
fn an_event_stream_is_read_as_its_data() {
    let read = read("calico/whisker.sse");
    assert_eq!(read.len(), 1, "{read:?}");
    assert!(read[0].ends_with("9000/TCP Established"), "{read:?}");
    let empty = parse_bytes(b": nothing\n\n", "s").unwrap_err().to_string();
    assert!(empty.contains("no data"), "{empty}");
}

#[test]
fn a_scan_in_a_log_of_one_direction_is_bounded_and_summed_up() {
    let mut text = String::from("ts,te,td,sa,da,sp,dp,pr,flg,ipkt,ibyt\n");
    for port in 1..2000 {
        text += &format!(
            "2026-03-02 10:00:00,2026-03-02 10:00:00,0,10.0.0.9,10.0.0.2,40000,{port},TCP,......S.,1,60\n"
        );
    }
    let (aggregate, _) = parse_bytes(text.as_bytes(), "n").unwrap();
    let result = aggregate.into_result(&nanoseg_flow::NoListeners, &Default::default(), 100);
    let failed = result
        .records
        .iter()
        .filter(|r| r.verdict == nanoseg_flow::Verdict::Unanswered);
    assert_eq!(failed.count(), 100);
    let more: u64 = result.scans.iter().map(|(_, scan)| scan.connections).sum();
    assert_eq!(more, 1899);
}
