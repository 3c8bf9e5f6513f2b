use super::super::super::parse_line;
use super::*;
use nanoseg_flow::{Source, Verdict};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + seconds)
}

fn events(cluster: Option<&str>) -> NodeEvents {
    NodeEvents::new(cluster.map(str::to_owned), Arc::default())
}

fn tell(events: &mut NodeEvents, line: &str, now: i64) {
    let event = Event::Line(parse_line(line));
    events.ingest(event, at(now)).unwrap();
}

fn status(state: &str, nodes: &str) -> String {
    format!(
        r#"{{"node_status":{{"state_change":"{state}","node_names":{nodes}}},"node_name":"relays-own"}}"#
    )
}

/// A handshake's packet from 10.0.0.1 to 10.0.0.2, with the names that Cilium has for them.
fn packet(node: &str, flags: &str, reply: bool) -> String {
    let ends = [("10.0.0.1", 40000, "a"), ("10.0.0.2", 80, "b")];
    let [from, to] = if reply { [ends[1], ends[0]] } else { ends };
    format!(
        r#"{{"flow":{{"time":"2027-01-15T08:00:00Z","verdict":"FORWARDED","node_name":"{node}","is_reply":{reply},"IP":{{"source":"{}","destination":"{}"}},"l4":{{"TCP":{{"source_port":{},"destination_port":{},"flags":{{{flags}}}}}}},"source":{{"namespace":"shop","pod_name":"{}"}},"destination":{{"namespace":"shop","pod_name":"{}"}},"destination_names":["forged.example"]}}}}"#,
        from.0, to.0, from.1, to.1, from.2, to.2
    )
}

const SYN: &str = r#""SYN":true"#;
const SYN_ACK: &str = r#""SYN":true,"ACK":true"#;

#[test]
fn each_node_tells_by_addresses_what_it_saw_itself() {
    let mut events = events(None);
    for node in ["prod/n1", "prod/n2"] {
        tell(&mut events, &packet(node, SYN, false), 0);
    }
    tell(&mut events, &packet("prod/n2", SYN_ACK, true), 0);
    events.settle(at(20));
    let taken = events.take(at(20), false);
    let told: Vec<_> = taken.iter().map(|one| &*one.node).collect();
    assert_eq!(told, ["n1", "n2"]);
    let verdicts: Vec<Verdict> = taken
        .iter()
        .map(|one| one.seen.records[0].1.verdict)
        .collect();
    assert_eq!(verdicts, [Verdict::Unanswered, Verdict::Established]);
    for one in &taken {
        assert_eq!(one.span, (at(0), at(20)));
        let (source, record) = &one.seen.records[0];
        assert_eq!((*source, &record.labels), (Source::Hubble, &None));
        assert!(one.seen.names.is_empty(), "names of the source itself");
    }
}

#[test]
fn a_node_is_in_view_only_while_relay_sees_it() {
    let mut events = events(None);
    tell(&mut events, &status("NODE_CONNECTED", r#"["n1","n2"]"#), 0);
    tell(
        &mut events,
        &status("NODE_UNAVAILABLE", r#"["n2","n3"]"#),
        10,
    );
    assert!(
        events
            .take(at(29), false)
            .iter()
            .all(|one| &*one.node == "n2")
    );
    let spans = |taken: Vec<NodeObservations>| -> Vec<(String, i64, i64)> {
        let secs = |time: Timestamp| time.secs_since(at(0));
        let span =
            |one: NodeObservations| (one.node.to_string(), secs(one.span.0), secs(one.span.1));
        taken.into_iter().map(span).collect()
    };
    assert_eq!(spans(events.take(at(30), false)), [("n1".into(), 0, 30)]);
    tell(&mut events, &status("NODE_CONNECTED", r#"["n2"]"#), 40);
    events.ingest(Event::Broken, at(50)).unwrap();
    let expected = [("n1".into(), 30, 50), ("n2".into(), 40, 50)];
    assert_eq!(
        spans(events.take(at(80), false)),
        expected,
        "not since it broke"
    );
    assert!(events.take(at(300), true).is_empty());
    tell(&mut events, &packet("n1", SYN, false), 400);
    assert_eq!(spans(events.take(at(430), true)), [("n1".into(), 400, 430)]);
}

#[test]
fn losses_are_of_the_node_that_is_named_and_else_of_every_node() {
    let mut events = events(None);
    tell(&mut events, &status("NODE_CONNECTED", r#"["n1","n2"]"#), 0);
    let lost = r#"{"lost_events":{"source":"HUBBLE_RING_BUFFER","num_events_lost":"7"}"#;
    tell(
        &mut events,
        &format!("{lost},\"node_name\":\"prod/n1\"}}"),
        1,
    );
    tell(&mut events, &format!("{lost}}}"), 1);
    let taken = events.take(at(2), false);
    let lost: Vec<u64> = taken
        .iter()
        .map(|one| one.seen.losses[&Loss::LogLost])
        .collect();
    assert_eq!(lost, [14, 7]);
}

#[test]
fn nodes_of_another_cluster_count_for_nobody() {
    let mut events = events(Some("prod"));
    tell(
        &mut events,
        &status("NODE_CONNECTED", r#"["prod/n1","other/n1"]"#),
        0,
    );
    tell(&mut events, &packet("other/n1", SYN, false), 0);
    tell(&mut events, &status("NODE_GONE", r#"["other/n1"]"#), 5);
    let taken = events.take(at(40), true);
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].span, (at(0), at(40)));
    assert!(taken[0].seen.records.is_empty());
    let mut unsaid = NodeEvents::new(None, Arc::default());
    tell(&mut unsaid, &packet("prod/n1", SYN, false), 0);
    let other = Event::Line(parse_line(&packet("other/n2", SYN, false)));
    let error = unsaid.ingest(other, at(0)).unwrap_err();
    assert!(error.to_string().contains("--hubble-cluster"), "{error}");
}

#[test]
fn nodes_beyond_what_a_cluster_has_are_counted_and_take_no_room() {
    let mut events = events(None);
    for number in 0..MAX_NODES + 3 {
        let names = format!(r#"["n{number}"]"#);
        tell(&mut events, &status("NODE_CONNECTED", &names), 0);
    }
    assert_eq!(events.nodes.len(), MAX_NODES);
    let lost = events
        .counters
        .lost
        .load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(lost, 3);
}
