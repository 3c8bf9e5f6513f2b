//! Random histories of pods that come and go at a few addresses, seen in a few snapshots: nobody else's time is ever
//! given to a pod (rule: owner-at-that-time).

use super::ip;
use crate::testing::{node, objects};
use crate::{Inventory, LinkSpan, Objects, Owner, OwnerRule};
use nanoseg_net::{SECOND, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// 2026-01-01T10:00:00Z.
const START: i64 = 1_767_261_600;
const MILLI: i64 = 1_000_000;
/// How long a finished pod's object stays.
const KEPT: i64 = 60_000;
const WITNESS: &str = "10.244.1.99";

/// A pod's time with an address, in milliseconds.
#[derive(Debug, Clone)]
struct Life {
    address: usize,
    from: i64,
    up: i64,
    end: i64,
    /// It finishes, and its object stays for a while; otherwise it is deleted.
    finishes: bool,
    /// When it sends, if ever.
    sends: Option<(i64, i64)>,
    /// Its object has no address any more once it has finished.
    emptied: bool,
}

#[derive(Debug, Clone)]
struct History {
    lives: Vec<Life>,
    /// When snapshots were taken, and how much older the last heartbeat was.
    snapshots: Vec<(i64, i64)>,
    /// Captures have link identities.
    linked: bool,
}

fn address(number: usize) -> IpAddr {
    ip(&format!("10.244.1.{}", 10 + number))
}

fn lives(address: usize) -> impl Strategy<Value = Vec<Life>> {
    let one = (
        // No owner comes nearer than the tolerance for clocks: that one is for addresses that nobody else had.
        12_000i64..90_000,
        500i64..4_000,
        5_000i64..300_000,
        any::<bool>(),
        prop::option::of((0i64..50, 50i64..=100)),
        any::<bool>(),
    );
    prop::collection::vec(one, 0..6).prop_map(move |all| {
        let mut now = 0;
        let mut lives = Vec::new();
        for (gap, network, runs, finishes, sends, emptied) in all {
            let from = now + gap;
            let (up, end) = (from + network, from + network + runs);
            now = end;
            lives.push(Life {
                address,
                from,
                up,
                end,
                finishes,
                sends: sends.map(|(a, b)| (up + runs * a / 100, up + runs * b / 100 - 1)),
                emptied,
            });
        }
        lives
    })
}

fn history() -> impl Strategy<Value = History> {
    let snapshots = prop::collection::vec((0i64..1_500_000, 0i64..60_000), 1..5);
    (lives(0), lives(1), snapshots, any::<bool>()).prop_map(
        |(mut lives, more, mut snapshots, linked)| {
            lives.extend(more);
            lives.sort_by_key(|life| life.from);
            snapshots.sort();
            History {
                lives,
                snapshots,
                linked,
            }
        },
    )
}

/// A time as Kubernetes writes it: cut to the second.
fn text(at: i64) -> String {
    let seconds = START + at.div_euclid(1000);
    jiff::Timestamp::from_second(seconds)
        .expect("a time")
        .to_string()
}

fn time(at: i64) -> Timestamp {
    Timestamp::from_nanos(START * SECOND + at * MILLI)
}

fn pod(number: usize, life: &Life, at: i64, deleted: Option<i64>) -> String {
    let over = life.finishes && life.end <= at;
    let (phase, state) = if over {
        let times = format!(
            "startedAt: '{}', finishedAt: '{}'",
            text(life.up),
            text(life.end)
        );
        ("Succeeded", format!("terminated: {{{times}}}"))
    } else {
        (
            "Running",
            format!("running: {{startedAt: '{}'}}", text(life.up)),
        )
    };
    let address = if over && life.emptied {
        String::new()
    } else {
        address(life.address).to_string()
    };
    let deleted = deleted.map_or(String::new(), |at| {
        format!(", deletionTimestamp: '{}'", text(at))
    });
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{namespace: a, name: p{number}, uid: u{number}, \
         resourceVersion: '{version}'{deleted}}}\nspec: {{nodeName: n1, containers: [{{name: c}}]}}\n\
         status: {{phase: {phase}, podIP: '{address}', startTime: '{start}', \
         containerStatuses: [{{name: c, state: {{{state}}}}}]}}",
        version = at + 1,
        start = text(life.from),
    )
}

fn witness() -> String {
    let life = Life {
        address: 0,
        from: -3_600_000,
        up: -3_599_000,
        end: i64::MAX,
        finishes: false,
        sends: None,
        emptied: false,
    };
    pod(1000, &life, 0, None).replace(&address(0).to_string(), WITNESS)
}

impl History {
    fn objects(&self) -> Objects {
        let mut all = Objects::default();
        for (taken, age) in &self.snapshots {
            let there = |life: &Life| {
                let kept = if life.finishes { KEPT } else { 0 };
                life.from <= *taken && *taken < life.end + kept
            };
            let mut documents = vec![witness(), node("n1", "10.244.1.0/24", "172.18.0.2")];
            for (number, life) in self.lives.iter().enumerate().filter(|(_, l)| there(l)) {
                documents.push(pod(number, life, *taken, None));
            }
            let mark = all.mark();
            let read = objects(&documents.join("\n---\n"));
            all.pods.extend(read.pods);
            all.nodes.extend(read.nodes);
            all.heartbeat = Some(time(taken - age));
            all.note_snapshot(mark);
        }
        all
    }

    /// As a controller knows it that saw every pod come and go.
    fn watched(&self) -> Objects {
        let lives = self.lives.iter().enumerate();
        let documents: Vec<String> = lives
            .map(|(number, life)| {
                let gone = (!life.finishes).then_some(life.end);
                pod(
                    number,
                    life,
                    i64::from(life.finishes) * (life.end + 1),
                    gone,
                )
            })
            .chain([witness()])
            .collect();
        objects(&documents.join("\n---\n"))
    }

    fn confirm(&self, inventory: &mut Inventory) {
        let mut links: BTreeMap<IpAddr, Vec<LinkSpan>> = BTreeMap::new();
        let mut interfaces = BTreeMap::from([(ip(WITNESS), 1)]);
        for (number, life) in self.lives.iter().enumerate() {
            let Some((first, last)) = life.sends else {
                continue;
            };
            let index = number as u32 + 2;
            interfaces.insert(address(life.address), index);
            links
                .entry(address(life.address))
                .or_default()
                .push(LinkSpan {
                    first: time(first),
                    last: time(last),
                    interface: Some(index),
                });
        }
        inventory.addresses.confirm(&links, &interfaces);
    }

    fn owner(&self, address: usize, at: i64) -> Option<usize> {
        let mut lives = self.lives.iter();
        lives.position(|life| life.address == address && life.from <= at && at < life.end)
    }

    /// Checks every time before `end`: whoever is there in the last snapshot is taken to stay.
    fn check(&self, inventory: &Inventory, end: i64) -> Result<(), TestCaseError> {
        for number in 0..2 {
            for at in (0..end).step_by(1_370) {
                let Some(owner) = self.owner(number, at) else {
                    continue;
                };
                if let Owner::Pod(index) = inventory.resolve(address(number), time(at)) {
                    let name = &inventory.pods[index].name;
                    prop_assert_eq!(name, &format!("p{owner}"), "{} at {}", address(number), at);
                }
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_the_snapshots_miss_no_pod_gets_the_time_of_another(history in history()) {
        let (mut inventory, _) = Inventory::build(&history.objects(), OwnerRule::Infer);
        if history.linked {
            history.confirm(&mut inventory);
        }
        let (last, _) = history.snapshots[history.snapshots.len() - 1];
        history.check(&inventory, last)?;
    }

    #[test]
    fn where_everything_was_watched_nothing_is_uncertain(mut history in history()) {
        // A watch has seen the address before it was emptied.
        history.lives.iter_mut().for_each(|life| life.emptied = false);
        let (inventory, _) = Inventory::build(&history.watched(), OwnerRule::Infer);
        history.check(&inventory, 2_000_000)?;
        for (number, life) in history.lives.iter().enumerate() {
            for at in [life.up, (life.up + life.end) / 2, life.end - 1] {
                match inventory.resolve(address(life.address), time(at)) {
                    Owner::Pod(index) => {
                        prop_assert_eq!(&inventory.pods[index].name, &format!("p{number}"));
                    }
                    other => prop_assert!(false, "p{} at {}: {:?}", number, at, other),
                }
            }
        }
    }
}
