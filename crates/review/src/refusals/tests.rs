use super::*;
use crate::testing::{at, peer};
use nanoseg_flow::Verdict;
use nanoseg_graph::{UnguardedCause, UnguardedPeriod};

fn connection(client: &str, server: &str, port: u16) -> IntendedConnection {
    IntendedConnection {
        client: peer(client),
        server: peer(server),
        protocol: Protocol::Tcp,
        port,
    }
}

fn refused(how: RefusedBy, answered: u64) -> RefusedConnection {
    RefusedConnection {
        connection: connection("shop/web", "shop/db", 5432),
        names: BTreeSet::new(),
        by: "ann".into(),
        at: at(0),
        proposal: "db-2".into(),
        how,
        seen: Some(SeenTraffic {
            answered,
            first: Some(at(-10 * HOUR)),
        }),
    }
}

fn edge(verdict: Verdict, count: u64, last: i64) -> Edge {
    let mut edge = Edge::new(Protocol::Tcp, 5432);
    edge.verdicts.insert(verdict, count);
    (edge.first, edge.last) = (Some(at(-10 * HOUR)), Some(at(last)));
    edge
}

fn change(one: &RefusedConnection, edge: &Edge, now: i64) -> Option<TrafficChange> {
    one.change(edge, &UnguardedPeriods::default(), at(now))
}

#[test]
fn more_of_the_same_is_no_change_and_much_more_is() {
    let one = refused(RefusedBy::Rejection, 1000);
    let later = |count, hours| change(&one, &edge(Verdict::Established, count, HOUR), hours * HOUR);
    // 100 per hour before.
    assert_eq!(later(1001, 2), None);
    assert_eq!(later(10_000, 90), None, "the same rate");
    assert_eq!(later(2_800, 2), None, "nine times as many");
    assert_eq!(later(50_000, 0), None, "too early to tell");
    let much = TrafficChange::Volume {
        before: 100,
        now: 1000,
    };
    assert_eq!(later(3_000, 2), Some(much));
    // Counts may shrink where records are merged.
    assert_eq!(later(10, 2), None);
}

#[test]
fn attempts_are_no_change_and_the_first_answer_is() {
    let one = refused(RefusedBy::Rejection, 0);
    let tried = edge(Verdict::Refused, 1_000_000, HOUR);
    assert_eq!(change(&one, &tried, 5 * HOUR), None);
    let answered = edge(Verdict::Established, 1, HOUR);
    assert_eq!(change(&one, &answered, HOUR), Some(TrafficChange::Answered));
    // While the glass is broken everything is answered.
    let period = UnguardedPeriod {
        from: at(10),
        to: Some(at(20)),
        cause: UnguardedCause::BrokenGlass,
    };
    let glass = UnguardedPeriods {
        namespaces: BTreeMap::from([("shop".to_owned(), vec![period])]),
        workloads: BTreeMap::new(),
    };
    assert_eq!(one.change(&answered, &glass, at(HOUR)), None);
}

#[test]
fn what_was_open_for_a_time_is_asked_about_when_it_is_tried_again() {
    let one = refused(RefusedBy::Expiry, 5);
    let last = |secs| change(&one, &edge(Verdict::Unanswered, 9, secs), HOUR);
    assert_eq!(last(-5), None);
    assert_eq!(last(30), None, "what was under way");
    assert_eq!(last(300), Some(TrafficChange::TriedAgain));
}

#[test]
fn another_address_of_the_same_name_is_the_same_connection_and_another_name_is_not() {
    let mut one = refused(RefusedBy::Rejection, 0);
    one.connection = connection("shop/web", "192.0.2.1", 443);
    one.names = BTreeSet::from(["api.example".to_owned()]);
    let all = Refusals::new([&one]);
    let named = |address: &str, name: &str| {
        let address: IpAddr = address.parse().expect("an address");
        BTreeMap::from([(address, BTreeSet::from([name.to_owned()]))])
    };
    let other = connection("shop/web", "192.0.2.77", 443);
    assert!(all.of(&one.connection, &BTreeMap::new()).is_some());
    assert!(
        all.of(&other, &named("192.0.2.77", "api.example"))
            .is_some()
    );
    assert!(
        all.of(&other, &named("192.0.2.77", "www.example"))
            .is_none()
    );
    assert!(all.of(&other, &BTreeMap::new()).is_none());
    let other_port = connection("shop/web", "192.0.2.77", 80);
    let names = named("192.0.2.77", "api.example");
    assert!(all.of(&other_port, &names).is_none());
}

#[test]
fn another_client_or_port_of_the_same_server_is_named_as_such() {
    let one = refused(RefusedBy::Rejection, 0);
    let all = Refusals::new([&one]);
    let like = |client, server, port| {
        let found = all.like(&connection(client, server, port));
        found.map(|(_, change)| change)
    };
    let port = TrafficChange::OtherPort { refused: 5432 };
    assert_eq!(like("shop/web", "shop/db", 9187), Some(port));
    let client = TrafficChange::OtherClient {
        refused: "shop/web".into(),
    };
    assert_eq!(like("shop/job", "shop/db", 5432), Some(client));
    assert_eq!(like("shop/job", "shop/db", 9187), None);
    assert_eq!(like("shop/web", "shop/api", 5432), None);
}
