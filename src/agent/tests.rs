//! The agent against receivers that fail in every way, and crashes.

use super::sender::{Outgoing, Sender};
use super::*;
use crate::flow::{Aggregate, BatchId, FlowRecord, Instance, Loss, Observations, Source};
use crate::net::Timestamp;
use crate::observe::{LiveError, LiveSource, Pace, Urgency};
use crate::store::spool::testing::{TestCodec, batch_of, record};
use crate::store::{BatchCodec, Spool, SpoolLimits};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// What has arrived.
#[derive(Default)]
struct Arrived {
    all: Aggregate,
    /// Numbers in the order in which they came for the first time.
    order: Vec<(Instance, u64)>,
    batches: u64,
    malformed: u64,
}

impl Arrived {
    fn take(&mut self, content: &[u8]) {
        let batch = TestCodec.decode(content).expect("a batch");
        let number = (batch.instance, batch.sequence.0);
        self.batches += 1;
        if self.all.apply(batch) == crate::flow::Applied::New {
            self.order.push(number);
        }
    }
}

/// How often what goes wrong, in per cent.
#[derive(Clone, Copy, Default)]
struct Weather {
    refuses_connection: u8,
    breaks_before: u8,
    breaks_after: u8,
    forgets_answer: u8,
    breaks_answering: u8,
    /// Every so manieth batch is malformed.
    malformed_every: u64,
}

struct FlakyLink {
    arrived: Arc<Mutex<Arrived>>,
    weather: Weather,
    /// Batches that are stored, whose answers are on their way.
    answers: VecDeque<BatchId>,
    connected: bool,
    rng: fastrand::Rng,
}

impl FlakyLink {
    fn new(weather: Weather, seed: u64) -> (Self, Arc<Mutex<Arrived>>) {
        let arrived = Arc::default();
        let link = FlakyLink {
            arrived: Arc::clone(&arrived),
            weather,
            answers: VecDeque::new(),
            connected: false,
            rng: fastrand::Rng::with_seed(seed),
        };
        (link, arrived)
    }

    fn fails(&mut self, percent: u8) -> Result<(), LinkError> {
        if self.rng.u8(0..100) < percent {
            self.connected = false;
            return Err(LinkError::Away("broken on purpose".into()));
        }
        Ok(())
    }
}

impl Link for FlakyLink {
    async fn send(&mut self, which: BatchId, content: &[u8]) -> Result<(), LinkError> {
        if !self.connected {
            self.answers.clear();
            self.fails(self.weather.refuses_connection)?;
            self.connected = true;
        }
        self.fails(self.weather.breaks_before)?;
        let every = self.weather.malformed_every;
        if every > 0 && which.sequence.0.is_multiple_of(every) {
            self.connected = false;
            self.arrived.lock().expect("a lock").malformed += 1;
            return Err(LinkError::Malformed(which, "on purpose".into()));
        }
        self.arrived.lock().expect("a lock").take(content);
        self.fails(self.weather.breaks_after)?;
        if self.fails(self.weather.forgets_answer).is_ok() {
            let place = self.rng.usize(0..=self.answers.len());
            self.answers.insert(place, which);
        } else {
            // Only the answer is lost.
            self.connected = true;
        }
        Ok(())
    }

    async fn acknowledged(&mut self) -> Result<BatchId, LinkError> {
        if self.answers.is_empty() {
            return std::future::pending().await;
        }
        self.fails(self.weather.breaks_answering)?;
        match self.answers.pop_front() {
            Some(which) => Ok(which),
            None => std::future::pending().await,
        }
    }
}

const HASTE: Patience = Patience {
    first: Duration::from_millis(1),
    longest: Duration::from_millis(4),
    too_old: Duration::from_millis(5),
    answer: Duration::from_millis(30),
};

/// Hands on each slice at once, then waits.
struct Scripted(Script);

/// What is left to be seen.
type Script = Arc<Mutex<VecDeque<Observations>>>;

impl LiveSource for Scripted {
    fn source(&self) -> Source {
        Source::Conntrack
    }
    fn poll(&mut self, patience: Duration) -> Result<bool, LiveError> {
        std::thread::sleep(patience.min(Duration::from_millis(5)));
        Ok(true)
    }
    fn urgency(&self) -> Urgency {
        if self.0.lock().expect("a lock").is_empty() {
            Urgency::None
        } else {
            Urgency::Full
        }
    }
    fn take(&mut self) -> Observations {
        self.0
            .lock()
            .expect("a lock")
            .pop_front()
            .unwrap_or_default()
    }
}

fn slices(count: u32) -> VecDeque<Observations> {
    (0..count)
        .map(|n| Observations {
            records: vec![
                (Source::Conntrack, record(n % 7, 80, 0)),
                (Source::Conntrack, record(n, 443, 20 * i64::from(n))),
            ],
            ..Observations::default()
        })
        .collect()
}

fn records_of(all: &Aggregate) -> Vec<FlowRecord> {
    all.records()
        .map(|(_, r)| FlowRecord {
            // What the codec of these tests leaves out.
            bytes_to_client: 0,
            bytes_to_server: 0,
            windows: Default::default(),
            last: r.first,
            ..r.clone()
        })
        .collect()
}

fn truth(slices: &VecDeque<Observations>) -> Vec<FlowRecord> {
    let mut all = Aggregate::default();
    for slice in slices {
        all.add(&"node-1".into(), slice.clone());
    }
    records_of(&all)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

async fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "it never came true");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn settings(spool: Option<&std::path::Path>) -> Settings {
    let mut limits = SpoolLimits::default();
    // Many small batches.
    limits.batch.max_records = 4;
    Settings {
        node: "node-1".parse().expect("a name"),
        pace: Pace::default(),
        spool: spool.map(Into::into),
        limits,
        listen: None,
        patience: HASTE,
    }
}

fn scripted(script: &Script) -> Vec<SourceSpec> {
    let script = Arc::clone(script);
    vec![SourceSpec {
        source: Source::Conntrack,
        open: Box::new(move || Ok(Box::new(Scripted(Arc::clone(&script))))),
        figures: Arc::new(Vec::new),
    }]
}

#[test]
fn whatever_the_receiver_does_everything_arrives_in_order_and_counts_once() {
    let storm = Weather {
        refuses_connection: 30,
        breaks_before: 10,
        breaks_after: 10,
        forgets_answer: 5,
        breaks_answering: 10,
        malformed_every: 0,
    };
    for (seed, with_disk) in [(1, true), (2, false), (3, true)] {
        let slices = slices(100);
        let expected = truth(&slices);
        let (link, arrived) = FlakyLink::new(storm, seed);
        let dir = tempfile::tempdir().expect("a folder");
        let all_there = {
            let (arrived, expected) = (Arc::clone(&arrived), expected.clone());
            async move { until(|| records_of(&arrived.lock().expect("a lock").all) == expected).await }
        };
        let settings = settings(with_disk.then_some(dir.path()));
        block_on(run(
            settings,
            scripted(&Arc::new(Mutex::new(slices))),
            link,
            TestCodec,
            all_there,
        ))
        .expect("it runs");
        let arrived = arrived.lock().expect("a lock");
        assert_eq!(records_of(&arrived.all), expected);
        assert!(arrived.order.is_sorted(), "{:?}", arrived.order);
        assert!(
            arrived.batches > arrived.order.len() as u64,
            "some came twice"
        );
        let left = std::fs::read_dir(dir.path()).expect("the folder");
        let batches = left.filter(|e| e.as_ref().is_ok_and(|e| e.path().extension().is_some()));
        assert_eq!(batches.count(), 0, "nothing is left");
    }
}

#[test]
fn batches_that_were_not_sent_at_the_end_are_sent_by_the_next_run() {
    let dir = tempfile::tempdir().expect("a folder");
    let slices = slices(50);
    let expected = truth(&slices);
    let away = Weather {
        refuses_connection: 100,
        ..Weather::default()
    };
    let (link, arrived) = FlakyLink::new(away, 1);
    let begun = Instant::now();
    let script = Arc::new(Mutex::new(slices));
    let seen = until(|| script.lock().expect("a lock").is_empty());
    block_on(run(
        settings(Some(dir.path())),
        scripted(&script),
        link,
        TestCodec,
        seen,
    ))
    .expect("it ends without an error");
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "it gives up after five seconds"
    );
    assert!(arrived.lock().expect("a lock").order.is_empty());
    let (link, arrived) = FlakyLink::new(Weather::default(), 1);
    let all_there = until(|| records_of(&arrived.lock().expect("a lock").all) == expected);
    block_on(run(
        settings(Some(dir.path())),
        scripted(&Arc::default()),
        link,
        TestCodec,
        all_there,
    ))
    .expect("it runs");
}

#[test]
fn batches_that_the_receiver_refuses_for_good_are_put_aside_and_counted_and_the_rest_continues() {
    let dir = tempfile::tempdir().expect("a folder");
    let picky = Weather {
        malformed_every: 5,
        breaks_before: 5,
        ..Weather::default()
    };
    let (link, arrived) = FlakyLink::new(picky, 7);
    let metrics = Arc::new(Metrics::new(Duration::from_secs(10), &[]));
    let mut spool = Spool::open(dir.path(), TestCodec, SpoolLimits::default()).expect("a spool");
    for sequence in 1..=20 {
        spool.push(&batch_of(1, sequence, vec![record(1, 80, 0)]));
    }
    block_on(async {
        let (offers, batches) = mpsc::channel(100);
        let (outcome_in, outcomes) = std::sync::mpsc::channel();
        let sender = Sender::new(link, HASTE, metrics);
        let sending = sender.run(batches, move |answer| {
            outcome_in.send(answer).expect("the receiver is open")
        });
        let keeping = async move {
            while !spool.is_empty() {
                while let Some((which, content)) = spool.hand_out() {
                    offers
                        .send(Outgoing { which, content })
                        .await
                        .expect("taken");
                }
                while let Ok(answer) = outcomes.try_recv() {
                    assert!(match answer {
                        DeliveryOutcome::Acknowledged(which) => spool.acknowledged(which),
                        DeliveryOutcome::Malformed(which, _) => spool.refused(which),
                    });
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::join!(sending, keeping);
    });
    let aside = std::fs::read_dir(dir.path()).expect("the folder");
    let refused = aside.filter(|e| {
        let path = e.as_ref().expect("an entry").path();
        path.extension().is_some_and(|e| e == "refused")
    });
    assert_eq!(refused.count(), 4);
    let arrived = arrived.lock().expect("a lock");
    assert_eq!(arrived.order.len(), 16);
    assert!(arrived.malformed >= 4);
}

/// What may happen to a spool and its receiver.
#[derive(Debug, Clone)]
enum Act {
    Push(u8),
    /// One more batch goes out; whether it arrives, and whether the answer does.
    Send(bool, bool),
    /// Only the disk remains.
    Crash,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0u8..6).prop_map(Act::Push),
        6 => (any::<bool>(), any::<bool>()).prop_map(|(a, b)| Act::Send(a, b)),
        1 => Just(Act::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn after_any_crashes_the_receiver_knows_the_truth(acts in prop::collection::vec(act(), 1..200)) {
        let dir = tempfile::tempdir().expect("a folder");
        // So small that batches are merged on the way.
        let limits = SpoolLimits { disk_bytes: 28 * 4096, ..SpoolLimits::default() };
        let open = || Spool::open(dir.path(), TestCodec, limits).expect("a spool");
        let (mut run, mut sequence, mut spool) = (1, 0, open());
        let (mut expected, mut arrived) = (Aggregate::default(), Arrived::default());
        for act in acts.into_iter().chain([Act::Crash]) {
            match act {
                Act::Push(count) => {
                    sequence += 1;
                    let records = (0..count).map(|n| record(u32::from(n) + sequence as u32 % 3, 80, 0));
                    let batch = batch_of(run, sequence, records.collect());
                    spool.push(&batch);
                    expected.apply(batch);
                }
                Act::Send(arrives, answered) => {
                    let Some((which, content)) = spool.hand_out() else { continue };
                    if arrives {
                        arrived.take(&content);
                        if answered {
                            spool.acknowledged(which);
                        }
                    }
                }
                Act::Crash => {
                    drop(spool);
                    spool = open();
                    run += 1;
                    sequence = 0;
                }
            }
        }
        while let Some((which, content)) = spool.hand_out() {
            arrived.take(&content);
            spool.acknowledged(which);
        }
        prop_assert!(spool.is_empty());
        prop_assert_eq!(records_of(&arrived.all), records_of(&expected));
        prop_assert!(!arrived.all.losses().contains_key(&Loss::RecordDropped));
        prop_assert!(arrived.all.span().is_none_or(|(first, _)| first == Timestamp::from_secs(0)));
    }
}

/// What is logged, as lines.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Fails so many times, and works then.
struct Later(u32, VecDeque<BatchId>);

impl Link for Later {
    async fn send(&mut self, which: BatchId, _: &[u8]) -> Result<(), LinkError> {
        if self.0 > 0 {
            self.0 -= 1;
            return Err(LinkError::Away("failed to connect: refused".into()));
        }
        self.1.push_back(which);
        Ok(())
    }

    async fn acknowledged(&mut self) -> Result<BatchId, LinkError> {
        match self.1.pop_front() {
            Some(which) => Ok(which),
            None => std::future::pending().await,
        }
    }
}

#[test]
fn a_receiver_that_is_away_is_one_line_and_its_return_is_another() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _logged = tracing::subscriber::set_default(subscriber);
    let metrics = Arc::new(Metrics::new(Duration::from_secs(1), &[]));
    let patience = Patience {
        first: Duration::from_micros(10),
        longest: Duration::from_micros(10),
        ..Patience::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (offers, batches) = mpsc::channel(4);
        for number in 1..=3 {
            let which = BatchId {
                instance: Instance([1; 16]),
                sequence: (number, number),
            };
            offers
                .send(Outgoing {
                    which,
                    content: vec![1],
                })
                .await
                .unwrap();
        }
        drop(offers);
        let sender = Sender::new(Later(40, VecDeque::new()), patience, metrics);
        sender.run(batches, |_| {}).await;
    });
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(
        lines[0].contains("WARN") && lines[0].contains("refused"),
        "{text}"
    );
    assert!(lines[1].contains("and 40 failures"), "{text}");
}
