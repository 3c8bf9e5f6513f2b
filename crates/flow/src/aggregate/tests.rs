use super::*;
use crate::testing::batches::{batches, deliveries};
use crate::{FlowResult, NoListeners};
use proptest::prelude::*;

fn aggregate(batches: impl IntoIterator<Item = FlowBatch>) -> Aggregate {
    let mut all = Aggregate::default();
    for batch in batches {
        all.apply(batch);
    }
    all
}

fn result(all: Aggregate) -> FlowResult {
    all.into_result(&NoListeners, &AddressEpochs::default(), 256)
}

proptest! {
    #[test]
    fn any_order_and_any_duplication_give_the_same((batches, order) in deliveries()) {
        let once = aggregate(batches.clone());
        let again = aggregate(order.iter().map(|place| batches[*place].clone()));
        prop_assert_eq!(&once, &again);
        prop_assert_eq!(result(once).records, result(again).records);
    }

    #[test]
    fn two_receivers_that_share_the_batches_have_together_what_one_would_have(
        batches in batches(), shares in prop::collection::vec(any::<bool>(), 12)
    ) {
        let whole = aggregate(batches.clone());
        let part = |wanted: bool| {
            let shared = batches.iter().zip(&shares);
            aggregate(shared.filter(|(_, mine)| **mine == wanted).map(|(batch, _)| batch.clone()))
        };
        let (left, right) = (part(true), part(false));
        let mut together = Aggregate::default();
        for half in [&left, &right] {
            for (observer, record) in half.records() {
                together.add_record(Observed { observer: observer.clone(), record: record.clone() });
            }
        }
        prop_assert!(together.records().eq(whole.records()));
    }
}

#[test]
fn batches_are_applied_once_for_each_node_and_run() {
    use crate::{FlowBatch, Instance, Observations};
    use nanoseg_net::Timestamp;
    let batch = |node: &str, run: u8, number: u64| FlowBatch {
        node: node.into(),
        instance: Instance([run; 16]),
        sequence: (number, number),
        span: (Timestamp::from_secs(0), Timestamp::from_secs(1)),
        seen: Observations::default(),
    };
    let mut all = Aggregate::default();
    for (node, run) in [("node-1", 1), ("node-2", 1), ("node-1", 2)] {
        assert_eq!(all.apply(batch(node, run, 1)), Applied::New, "{node} {run}");
        assert_eq!(all.apply(batch(node, run, 1)), Applied::Duplicate);
    }
}

#[test]
fn sequence_numbers_are_known_again_however_they_came() {
    let mut set = SequenceSet::default();
    for (first, last) in [(5, 5), (1, 2), (7, 9), (3, 4), (6, 6)] {
        assert!(set.insert(first, last), "{first}-{last}");
    }
    assert_eq!(set.intervals().collect::<Vec<_>>(), [(1, 9)]);
    for (first, last) in [(1, 9), (1, 1), (9, 12), (0, 1), (4, 3)] {
        assert!(!set.insert(first, last), "{first}-{last}");
    }
    assert!(set.insert(u64::MAX, u64::MAX));
    assert!(!set.insert(u64::MAX, u64::MAX));
    assert_eq!(set.intervals().count(), 2);
}
