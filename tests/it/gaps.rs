//! Random clusters with random gaps: nodes that were not in view, snapshots that lack kinds or namespaces, addresses that
//! change hands between snapshots, logs that only name pods. Whatever is missing, no true connection is blocked without
//! an error that names its workload, and no edge is learned for a wrong owner.
//!
//! The cases are numbered and always the same. `NANOSEG_GAPS=first..last` runs some of them.

mod observation;
mod random;
mod world;

use nanoseg::cluster::ConnectSettings;
use nanoseg::evaluate::{BlockedBy, Evaluation, HostNetwork, Span};
use nanoseg::finding::{Code, Finding, Severity};
use nanoseg::graph::{End, Lesson, Peer, Requirement};
use nanoseg::inventory::WorkloadId;
use nanoseg::load::{LoadedTraffic, Notice, NoticeSink, TrafficSource, read_with_snapshots};
use nanoseg::pipeline::{self, Generated, Options};
use observation::Observation;
use random::Random;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use world::{Call, Server, World};

/// How many cases there are.
const CASES: u64 = 10_000;

struct Silence;

impl NoticeSink for Silence {
    fn report(&self, _: Notice) {}
}

fn cases() -> Range<u64> {
    let Ok(range) = std::env::var("NANOSEG_GAPS") else {
        return 0..CASES;
    };
    let (first, last) = range.split_once("..").expect("first..last");
    let number = |text: &str| text.parse().expect("a number");
    number(first)..number(last)
}

#[test]
fn whatever_is_missing_nothing_is_blocked_without_a_word_or_learned_for_another() {
    let cases = cases();
    let next = AtomicU64::new(cases.start);
    let isolating = AtomicU64::new(0);
    let work = || {
        let folder = tempfile::tempdir().expect("a folder");
        let mut wrong = Vec::new();
        loop {
            let case = next.fetch_add(1, Ordering::Relaxed);
            if case >= cases.end || wrong.len() > 3 {
                return wrong;
            }
            match check(case, folder.path()) {
                Ok(isolates) => {
                    isolating.fetch_add(u64::from(isolates), Ordering::Relaxed);
                }
                Err(why) => wrong.push(format!("case {case}: {why}")),
            }
        }
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        all.into_iter()
            .flat_map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    // A test of policies that are never written would prove nothing.
    let (isolating, all) = (isolating.into_inner(), cases.end - cases.start);
    println!("{isolating} of {all} cases have a policy that isolates");
    assert!(
        isolating * 4 >= all,
        "only {isolating} of {all} cases isolate"
    );
}

/// Returns true if some policy was written.
fn check(case: u64, folder: &Path) -> Result<bool, String> {
    let mut random = Random::new(case);
    let world = World::any(&mut random);
    let observation = Observation::any(&world, &mut random);
    let (flows, cluster) = observation.write(folder);
    let source = TrafficSource::new(Vec::new(), flows);
    let read = match read_with_snapshots(&source, &cluster, &ConnectSettings::default(), &Silence) {
        Ok(read) => read,
        // Nothing is learned and nothing is written: the operator is told.
        Err(_) => return Ok(false),
    };
    let generated = pipeline::generate(
        &read.flows,
        read.span,
        &read.vantage,
        &read.inventory,
        &[],
        &Options::default(),
    )
    .map_err(|e| e.to_string())?;
    let described = || format!("{world:#?}\n{observation:#?}");
    let wrong = wrong_owners(&world, &generated);
    if !wrong.is_empty() {
        return Err(format!(
            "learned for a wrong owner: {wrong:?}\n{}",
            described()
        ));
    }
    let blocked = blocked_without_a_word(&world, &observation, &read, &generated);
    if !blocked.is_empty() {
        let findings: Vec<String> = findings(&read, &generated)
            .iter()
            .map(|f| format!("{} {} {}", f.code, f.subject, f.message))
            .collect();
        return Err(format!(
            "blocked without a word: {blocked:?}\nfindings: {findings:#?}\n{}",
            described()
        ));
    }
    Ok(!generated.synthesis.policies.is_empty())
}

fn findings(read: &LoadedTraffic, generated: &Generated) -> Vec<Finding> {
    read.findings
        .iter()
        .chain(&generated.findings)
        .cloned()
        .collect()
}

/// The edges that were learned and that no true connection has.
fn wrong_owners(world: &World, generated: &Generated) -> Vec<String> {
    let truth: BTreeSet<(String, String, u16)> = world
        .calls
        .iter()
        .map(|call| (world.client(call), world.server(call), world.port(call)))
        .collect();
    let learned = generated.graph.edges().into_iter();
    learned
        .filter(|(.., edge)| edge.lesson == Lesson::Learned)
        .filter_map(|(client, server, edge)| {
            let known = truth
                .iter()
                .any(|(from, to, port)| is(client, from) && is(server, to) && edge.port == *port);
            (!known).then(|| format!("{client} → {server} {}", edge.port))
        })
        .collect()
}

/// Returns true if the peer is that workload or outside address. Without its owners in the snapshot a workload has the
/// name of its ReplicaSet or pod.
fn is(peer: &Peer, name: &str) -> bool {
    match peer {
        Peer::Workload(id) => belongs(id, name),
        Peer::Outside(address) => address.to_string() == name,
        _ => false,
    }
}

fn belongs(id: &WorkloadId, name: &str) -> bool {
    let id = id.to_string();
    id == name
        || id
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('-'))
}

/// The true connections that the policies would block in the whole cluster, without an error about the workload that
/// is isolated.
fn blocked_without_a_word(
    world: &World,
    observation: &Observation,
    read: &LoadedTraffic,
    generated: &Generated,
) -> Vec<String> {
    let policies: Vec<_> = generated
        .synthesis
        .policies
        .iter()
        .map(|one| one.policy.clone())
        .collect();
    let whole = world.inventory();
    let evaluation =
        Evaluation::new(&whole, &policies, HostNetwork::Exact).expect("policies that are valid");
    let all = findings(read, generated);
    let errors: Vec<&Finding> = all
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .collect();
    let mut wrong = Vec::new();
    // What comes before the first and after the last thing that was observed is no part of the observation: nothing
    // tells that somebody still listened then.
    let observed = |call: &&Call| {
        let at = world::moment(call.at);
        read.span.0 <= at && at <= read.span.1
    };
    for call in world.calls.iter().filter(observed) {
        let requirement = requirement(world, call);
        for blocked in evaluation.blocked(&requirement) {
            let (isolated, pod) = match blocked.by {
                BlockedBy::Ingress(_) => (world.server(call), call.server.pod()),
                BlockedBy::Egress(_) => (world.client(call), Some(call.client)),
                BlockedBy::UnknownWorkload(id) => panic!("{id} is in the world"),
            };
            // A pod that no snapshot has and no log names could be anybody's, and so could a Service's: nobody can know
            // the workload, and the error names the pod's address, or whom it talked to. If not even the call was
            // seen, nobody can know that there was such a pod.
            let is_nameless = pod.is_some_and(|pod| observation.is_nameless(world, call, pod));
            if is_nameless && !observation.saw(world, call) {
                continue;
            }
            let ends = [Some(call.client), call.server.pod()];
            let ends = ends.into_iter().flatten().filter(|_| is_nameless);
            let others: BTreeSet<String> = ends
                .flat_map(|pod| [world.name(pod), world.pods[pod].address.to_string()])
                .collect();
            let told = errors.iter().any(|error| {
                error.subject == isolated
                    || error.subject.starts_with(&format!("{isolated}-"))
                    || others.contains(&error.subject)
            });
            let told = told || is_nameless && is_told_as_missing(world, observation, call, &all);
            if !told {
                let ends = [&blocked.client, &blocked.server].map(Span::to_string);
                wrong.push(format!(
                    "{} → {} ({isolated} is isolated)",
                    ends[0], ends[1]
                ));
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    wrong
}

/// Where neither end has a name and not even the range of pods is known, there is no workload and no pod to name: the
/// snapshot is said to lack what would explain the addresses (rule: unexplained-address).
fn is_told_as_missing(
    world: &World,
    observation: &Observation,
    call: &Call,
    all: &[Finding],
) -> bool {
    let ends = [Some(call.client), call.server.pod()];
    let nameless = |pod: usize| observation.is_nameless(world, call, pod);
    let client = world.pods[call.client].address.to_string();
    ends.into_iter().flatten().all(nameless)
        && all.iter().any(|finding| {
            finding.code == Code::MissingServices && finding.subject.ends_with(&client)
        })
}

fn requirement(world: &World, call: &Call) -> Requirement {
    Requirement {
        client: world.end(call.client),
        server: match call.server {
            Server::Pod(pod) | Server::Service(_, pod) => world.end(pod),
            Server::Outside(address) => End::Addresses(BTreeSet::from([address])),
        },
        protocol: nanoseg::net::Protocol::Tcp,
        port: world.port(call),
        label: None,
        outside: false,
        edge: 0,
    }
}
