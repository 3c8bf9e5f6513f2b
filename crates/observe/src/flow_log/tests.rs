//! Damaged logs of every form: nothing panics, and what cannot be read is counted.

use super::*;
use nanoseg_flow::{AddressEpochs, Loss, NoListeners};
use proptest::prelude::*;

const OWN: &str = r#"{"client":"10.0.0.1","server":"10.0.0.2","port":80,"protocol":"TCP","time":1767225600,"client_port":4,"windows":{"scale":3,"base":5,"bits":"ff"}}
{"name":"a.example","address":"192.0.2.1","client":"10.0.0.1","from":1,"until":2}
{"scan":{"client":null,"connections":3,"addresses":1,"ports":2,"samples":[],"first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z"}}
"#;

/// The beginning of a real log of each form.
fn samples() -> Vec<Vec<u8>> {
    let read = |path: &str| {
        let path = format!(
            "{}/../../tests/data/flows/{path}",
            env!("CARGO_MANIFEST_DIR")
        );
        let mut bytes = std::fs::read(path).unwrap();
        bytes.truncate(6000);
        bytes
    };
    vec![
        OWN.into(),
        b"client,server,port,protocol,time\n10.0.0.1,10.0.0.2,80,TCP,1\n".to_vec(),
        read("hubble/basic-sample-10-flows.json"),
        read("hubble/basic-sample-330-dns-flows.json"),
        read("calico/flows.log"),
        read("calico/goldmane.json"),
        read("calico/whisker.sse"),
        read("zeek/conn.log"),
        read("zeek/conn.json"),
        read("vpc/default.log"),
        read("vpc/version5.log"),
        read("netobserv/flows.json"),
        read("netobserv/loki.json"),
        read("nfdump/flows.csv"),
        read("nfdump/flows.json"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn no_damage_makes_reading_panic(
        sample in 0usize..15,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let mut bytes = samples().swap_remove(sample);
        for (place, byte) in edits {
            let place = place.index(bytes.len());
            // Digits stay digits every other time, so that numbers become other numbers.
            bytes[place] = if bytes[place].is_ascii_digit() && byte % 2 == 0 { b'0' + byte % 10 } else { byte };
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok((aggregate, _)) = parse_bytes(&bytes, "damaged") {
            let _ = aggregate.into_result(&NoListeners, &AddressEpochs::default(), 4);
        }
    }
}

#[test]
fn a_compressed_log_that_was_cut_counts_one_bad_line() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for port in 1..2000 {
        let line = OWN
            .lines()
            .next()
            .unwrap()
            .replace(":80,", &format!(":{port},"));
        writeln!(gzip, "{line}").unwrap();
    }
    let mut bytes = gzip.finish().unwrap();
    bytes.truncate(bytes.len() / 2);
    let path = folder.path().join("cut.gz");
    std::fs::write(&path, bytes).unwrap();
    let (aggregate, summary) = read_flows(&[path]).unwrap();
    assert!(summary.read[0].flows > 500, "{:?}", summary.read);
    assert_eq!(summary.read[0].malformed, 1, "{:?}", summary.malformed);
    assert_eq!(aggregate.losses().get(&Loss::LineMalformed), Some(&1));
}

#[test]
fn hubble_s_own_losses_and_incomplete_flows_are_counted_and_others_skipped() {
    let text = r#"{"lost_events":{"source":"HUBBLE_RING_BUFFER","num_events_lost":"7"},"node_name":"n"}
{"node_status":{"state_change":"NODE_CONNECTED"}}
{"flow":{"verdict":"FORWARDED","IP":{"source":"10.0.0.1","destination":"10.0.0.2"},"l4":{"ICMPv4":{"type":8}}}}
{"flow":{"verdict":"FORWARDED","l4":{"UDP":{"source_port":1,"destination_port":2}}}}
"#;
    let (aggregate, summary) = parse_bytes(text.as_bytes(), "h").unwrap();
    let losses: Vec<_> = aggregate
        .losses()
        .iter()
        .map(|(l, n)| (l.name(), *n))
        .collect();
    assert_eq!(losses, [("flow-incomplete", 1), ("log-lost", 7)]);
    assert_eq!(summary.incomplete, ["h:4: no address"]);
    let skipped: Vec<_> = summary.skipped.into_iter().collect();
    assert_eq!(skipped, [("hubble-icmp", 1), ("hubble-node-status", 1)]);
}
