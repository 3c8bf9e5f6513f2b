use super::*;
use nanoseg_net::SECOND;

const MILLI: i64 = 1_000_000;

/// A capture of these packets: a number, the time in milliseconds, the hop limit.
fn sample(packets: &[(u64, i64, u8)]) -> Option<Sample> {
    let mut sample = Sample::default();
    for (mark, time, hops) in packets {
        let time = time * MILLI;
        sample.connections.insert(1);
        let span = sample.span.unwrap_or((time, time));
        sample.span = Some((span.0.min(time), span.1.max(time)));
        let sight = Sight {
            time,
            hops: *hops,
            again: false,
        };
        sample.packets.insert(*mark, sight);
    }
    Some(sample)
}

/// Questions and answers between two nodes, each a millisecond on its way, as seen by both.
fn two_nodes(ahead: i64) -> [Option<Sample>; 2] {
    let (mut client, mut server) = (Vec::new(), Vec::new());
    for number in 0..10 {
        let asked = number as i64 * 50;
        client.push((2 * number, asked, 64));
        server.push((2 * number, asked + 1 + ahead, 63));
        server.push((2 * number + 1, asked + 2 + ahead, 64));
        client.push((2 * number + 1, asked + 3, 63));
    }
    [sample(&client), sample(&server)]
}

#[test]
fn a_clock_that_is_ahead_is_set_back_and_an_answer_stays_after_its_question() {
    for ahead in [-6000, 2500] {
        let clocks = compare(&two_nodes(ahead));
        assert_eq!(clocks.references, [0, 0]);
        assert_eq!(clocks.shifts[0], 0);
        let error = clocks.shifts[1] + ahead * MILLI;
        assert!(error.abs() <= MILLI, "{error} ns, {ahead} ms ahead");
        assert_eq!(clocks.unclear, []);
    }
}

#[test]
fn clocks_that_differ_little_are_left_alone() {
    assert_eq!(compare(&two_nodes(20)).shifts, [0, 0]);
}

#[test]
fn some_packets_that_only_look_alike_do_not_matter() {
    let mut nodes = two_nodes(6000);
    for (node, time) in nodes.iter_mut().zip([0, 100 * SECOND]) {
        let sight = Sight {
            time,
            hops: 64,
            again: false,
        };
        node.as_mut().unwrap().packets.insert(999, sight);
    }
    let shift = compare(&nodes).shifts[1];
    assert!((shift + 6 * SECOND).abs() <= MILLI, "{shift}");
}

#[test]
fn the_clock_with_which_the_most_agree_is_right() {
    let node = |ahead: i64| {
        let packets: Vec<(u64, i64, u8)> =
            (0..10).map(|n| (n, n as i64 * 10 + ahead, 64)).collect();
        sample(&packets)
    };
    let clocks = compare(&[node(-4000), node(0), node(0)]);
    assert_eq!(clocks.shifts, [4 * SECOND, 0, 0]);
    assert_eq!(clocks.references, [1, 1, 1]);
}

#[test]
fn captures_of_the_same_connections_without_the_same_packets_cannot_be_compared() {
    let one = sample(&[(1, 0, 64), (2, 10, 64), (3, 20, 64)]);
    let other = sample(&[(4, 5, 64), (5, 15, 64), (6, 25, 64)]);
    assert_eq!(compare(&[one, other]).unclear, [(0, 1)]);
    // Parts of one capture that come after each other are not at the same time.
    let one = sample(&[(1, 0, 64), (2, 10, 64)]);
    let next = sample(&[(4, 50, 64), (5, 55, 64)]);
    assert_eq!(compare(&[one, next, None]).unclear, []);
}

#[test]
fn differences_that_are_all_over_are_no_difference_of_clocks() {
    let one: Vec<(u64, i64, u8)> = (0..20).map(|n| (n, 0, 64)).collect();
    let other: Vec<(u64, i64, u8)> = (0..20).map(|n| (n, n as i64 * 1000, 64)).collect();
    let clocks = compare(&[sample(&one), sample(&other)]);
    assert_eq!((clocks.shifts, clocks.unclear), (vec![0, 0], vec![(0, 1)]));
}
