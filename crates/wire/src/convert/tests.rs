use super::*;
use nanoseg_flow::testing::batches::batches;
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_batch_comes_back_as_it_was(batches in batches()) {
        for batch in batches {
            prop_assert_eq!(decode(&encode(&batch)).expect("a batch"), batch);
        }
    }

    #[test]
    fn any_bytes_are_a_batch_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(batch) = decode(&bytes) {
            prop_assert_eq!(decode(&encode(&batch)), Ok(batch));
        }
    }

    #[test]
    fn a_batch_with_a_changed_byte_is_a_batch_or_an_error(
        batches in batches(), place in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let mut bytes = encode(&batches[0]);
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if let Ok(batch) = decode(&bytes) {
            prop_assert_eq!(decode(&encode(&batch)), Ok(batch));
        }
    }
}

/// A batch with one of everything.
fn message() -> proto::FlowBatch {
    let address = vec![10, 0, 0, 1];
    let socket = proto::Socket {
        address: address.clone(),
        port: 80,
    };
    proto::FlowBatch {
        schema: SCHEMA,
        node: "node-1".into(),
        instance: vec![7; 16],
        first_sequence: 1,
        last_sequence: 1,
        records: vec![proto::FlowRecord {
            source: proto::Source::Conntrack.into(),
            client: address.clone(),
            server: address.clone(),
            port: 80,
            protocol: proto::Protocol::Tcp.into(),
            verdict: proto::Verdict::Established.into(),
            opening: proto::Opening::Handshake.into(),
            via: Some(socket.clone()),
            windows: Some(proto::Windows::default()),
            ..Default::default()
        }],
        scans: vec![proto::ScanSummary {
            samples: vec![proto::Target {
                socket: Some(socket),
                protocol: proto::Protocol::Udp.into(),
            }],
            ..Default::default()
        }],
        names: vec![proto::Name {
            address: address.clone(),
            client: address.clone(),
            ..Default::default()
        }],
        other: vec![proto::OtherTraffic {
            source: address.clone(),
            destination: address,
            packets: 1,
            kind: Some(proto::other_traffic::Kind::Icmp(true)),
        }],
        ..Default::default()
    }
}

fn error_of(change: impl FnOnce(&mut proto::FlowBatch)) -> String {
    let mut message = message();
    change(&mut message);
    let error = decode(&message.encode_to_vec()).expect_err("a refusal");
    error.to_string()
}

type Mutation = fn(&mut proto::FlowBatch);

#[test]
fn each_bad_field_is_refused_by_its_name() {
    decode(&message().encode_to_vec()).expect("the message that is changed below is good");
    let cases: &[(Mutation, &str)] = &[
        (|m| m.node.clear(), "node: 0 bytes are no node's name"),
        (
            |m| m.instance.truncate(3),
            "instance: 3 bytes instead of 16",
        ),
        (
            |m| m.first_sequence = 0,
            "first_sequence: 0 to 1 is no sequence",
        ),
        (
            |m| m.first_sequence = 2,
            "first_sequence: 2 to 1 is no sequence",
        ),
        (
            |m| m.last_sequence = u64::MAX,
            "first_sequence: 1 to 18446744073709551615 is no sequence",
        ),
        (
            |m| m.records[0].client.truncate(3),
            "records[0].client: an address has 4 or 16 bytes, not 3",
        ),
        (
            |m| m.records[0].server.clear(),
            "records[0].server: an address has 4 or 16 bytes, not 0",
        ),
        (
            |m| m.records[0].port = 65536,
            "records[0].port: 65536 is more than 65535",
        ),
        (
            |m| m.records[0].client_port = Some(70000),
            "records[0].client_port: 70000 is more than 65535",
        ),
        (
            |m| m.records[0].via.as_mut().unwrap().port = 65536,
            "records[0].via.port: 65536 is more than 65535",
        ),
        (
            |m| m.records[0].seen_as = vec![1],
            "records[0].seen_as: an address has",
        ),
        (
            |m| m.records[0].protocol = 0,
            "records[0].protocol: missing",
        ),
        (
            |m| m.records[0].protocol = 9,
            "records[0].protocol: 9 is unknown",
        ),
        (
            |m| m.records[0].source = 9,
            "records[0].source: 9 is unknown",
        ),
        (
            |m| m.records[0].verdict = -1,
            "records[0].verdict: -1 is unknown",
        ),
        (|m| m.records[0].opening = 0, "records[0].opening: missing"),
        (
            |m| m.records[0].windows = None,
            "records[0].windows: missing",
        ),
        (
            |m| m.records[0].windows.as_mut().unwrap().base = 7,
            "records[0].windows: outside of the range of timestamps",
        ),
        (
            |m| {
                m.records[0].windows = Some(proto::Windows {
                    base: i64::MAX,
                    low: 1,
                    ..Default::default()
                })
            },
            "records[0].windows: outside of the range of timestamps",
        ),
        (
            |m| {
                m.records[0].claims = Some(proto::PeerLabels {
                    client: Some(proto::PeerLabel { claim: None }),
                    ..Default::default()
                })
            },
            "records[0].claims.client.claim: missing",
        ),
        (
            |m| m.scans[0].samples[0].socket = None,
            "scans[0].samples[0].socket: missing",
        ),
        (
            |m| m.names[0].address.clear(),
            "names[0].address: an address has",
        ),
        (|m| m.other[0].kind = None, "other[0].kind: missing"),
        (
            |m| m.other[0].kind = Some(proto::other_traffic::Kind::IpProtocol(256)),
            "other[0].ip_protocol: 256 is more than 255",
        ),
        (
            |m| {
                m.losses.insert("mislaid".into(), 1);
            },
            "losses: no loss is called \"mislaid\"",
        ),
    ];
    for (change, expected) in cases {
        let error = error_of(change);
        assert!(
            error.contains(expected),
            "{error:?} should name {expected:?}"
        );
    }
}

#[test]
fn another_schema_is_refused_with_what_to_do() {
    let error = error_of(|m| m.schema = 2);
    assert_eq!(
        error,
        "failed to read flow batch: it has schema 2, this program knows 1; upgrade the controller first"
    );
    assert!(matches!(
        decode(&[]),
        Err(WireError::Schema { found: 0, .. })
    ));
}

#[test]
fn a_truncated_batch_is_refused_wherever_it_ends() {
    let bytes = message().encode_to_vec();
    for end in 0..bytes.len() {
        let cut = decode(&bytes[..end]);
        // Cut between two fields it still is a message, of less.
        if let Ok(batch) = cut {
            assert!(
                batch.seen.records.len() + batch.seen.other.len() < 2,
                "{end}"
            );
        }
    }
    assert!(matches!(
        decode(&bytes[..bytes.len() - 1]),
        Err(WireError::Protobuf(_))
    ));
}

#[test]
fn a_batch_that_would_take_too_much_memory_is_refused_before_decoding() {
    let mut message = message();
    message.records = vec![proto::FlowRecord::default(); MAX_ITEMS];
    let error = decode(&message.encode_to_vec()).expect_err("too many");
    assert_eq!(error.reason(), "too-large", "{error}");
    message.records.clear();
    message.scans[0].samples = vec![proto::Target::default(); 1000];
    let error = decode(&message.encode_to_vec()).expect_err("too many");
    assert_eq!(error.reason(), "too-large", "{error}");
    assert!(matches!(
        decode(&vec![0; MAX_BATCH_BYTES + 1]),
        Err(WireError::TooLarge { what: "bytes", .. })
    ));
}

proptest! {
    #[test]
    fn an_ipv4_mapped_address_of_a_message_is_the_ipv4_address(batches in batches()) {
        let mut batch = batches[0].clone();
        for (address, _) in &mut batch.seen.names {
            *address = "::ffff:10.0.0.1".parse().unwrap();
        }
        let names = decode(&encode(&batch)).expect("a batch").seen.names;
        let plain: std::net::IpAddr = "10.0.0.1".parse().unwrap();
        prop_assert!(names.iter().all(|(address, _)| *address == plain));
    }
}
