//! A live test: three nodes with real programs (tests/cluster), an agent on each node, and a receiver. The result must
//! equal the truth of the scenario, edge by edge, whatever is killed meanwhile.

mod programs;
mod testbed;
mod truth;

use crate::binary::nanoseg;
use programs::{Secrets, Set};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use testbed::Testbed;
use truth::Truth;

/// The timeout of every wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// Repeats a check until it has no reason to wait.
fn wait_until(what: &str, mut lacking: impl FnMut() -> Vec<String>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reasons = lacking();
        if reasons.is_empty() {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{what}: waited in vain\n  {}",
            reasons.join("\n  ")
        );
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn wait_for_agents(testbed: &Testbed, sets: &[Set]) {
    for set in sets {
        for (node, program) in &set.agents {
            wait_until(&format!("{} on {node} to be ready", set.name), || match set
                .ask(testbed, node, "/readyz")
            {
                Some(answer) if answer.starts_with("HTTP/1.1 200") => Vec::new(),
                answer => vec![answer.unwrap_or_default(), program.log()],
            });
        }
    }
}

/// Runs `nanoseg generate` on the records of a set's receiver.
fn generate(testbed: &Testbed, secrets: &Secrets, set: &Set) -> Value {
    let (store, cluster) = (set.store(secrets), testbed.folder().join("cluster.yaml"));
    let run = nanoseg([
        "generate".into(),
        "--output".into(),
        "json".into(),
        "--flows".into(),
        store.into_os_string(),
        "--cluster".into(),
        cluster.into_os_string(),
    ]);
    if run.json.is_null() {
        eprintln!("{}: {}", set.name, run.stderr);
    }
    run.json
}

fn start(testbed: &Testbed, secrets: &Secrets) -> Vec<Set> {
    let mut sets = vec![
        Set::new(1, "conntrack", &["conntrack"]),
        Set::new(2, "capture", &["capture"]),
        Set::new(3, "both", &["conntrack", "capture"]),
        Set::new(4, "nats", &["conntrack", "capture"]).by_nats(),
    ];
    for set in &mut sets {
        set.start_nats(testbed, secrets);
        set.start_receiver(testbed, secrets);
        for (node, _) in testbed.nodes() {
            set.start_agent(testbed, secrets, &node);
        }
    }
    sets
}

/// Receivers are stopped while shop/counter counts: agents keep their records.
fn count_without_receivers(testbed: &mut Testbed, secrets: &Secrets, sets: &mut [Set]) {
    sets.iter_mut().for_each(Set::kill_receiver);
    testbed.run("count");
    for set in sets {
        set.start_nats(testbed, secrets);
        set.start_receiver(testbed, secrets);
    }
}

#[test]
fn the_graph_of_a_live_cluster_equals_the_truth_although_receivers_and_agents_are_killed() {
    let Some(mut testbed) = Testbed::start() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let secrets = Secrets::make(folder.path(), &testbed);
    secrets.write_wrong_token("token-node3-conntrack", "node3");
    let mut sets = start(&testbed, &secrets);
    wait_for_agents(&testbed, &sets);
    testbed.run("start");
    count_without_receivers(&mut testbed, &secrets, &mut sets);
    testbed.run("scan");
    testbed.tell(json!({"do": "replace-pod", "old": "shop/feed", "new": "shop/batch"}));
    testbed.tell(json!({"do": "replace-pod", "old": "shop/batch", "new": "shop/feed"}));
    wait_until("the log to tell of the wrong token", || {
        let log = sets[0].agent("node3").log();
        let told = log.contains("failed to prove who we are");
        if told { Vec::new() } else { vec![log] }
    });
    secrets.write_token("token-node3-conntrack", "node3");
    sets[2].agent("node2").kill();
    sets[2].start_agent(&testbed, &secrets, "node2");
    sets[2].restarts += 1;
    testbed.run("half-open");
    testbed.tell(json!({"do": "drop-interface", "workload": "shop/redis"}));
    compare(&mut testbed, &secrets, &sets);
}

/// With NANOSEG_KEEP=FOLDER the stores, logs and the snapshot are kept there, for the analysis of a failure.
fn keep(testbed: &Testbed, folder: &Path) {
    let Ok(kept) = std::env::var("NANOSEG_KEEP") else {
        return;
    };
    for folder in [testbed.folder(), folder] {
        for entry in folder.read_dir().expect("a folder").flatten() {
            if entry.path().is_file() {
                let _ = std::fs::copy(entry.path(), Path::new(&kept).join(entry.file_name()));
            }
        }
    }
}

/// Compares all sets, so that a failure lists all differences.
fn compare(testbed: &mut Testbed, secrets: &Secrets, sets: &[Set]) {
    testbed.run("snapshot");
    let folder = secrets.path("");
    let truth = Truth::read(&testbed.folder().join("truth.json"));
    wait_until("graphs to equal the truth", || {
        let mut wrong = Vec::new();
        for set in sets {
            let run = generate(testbed, secrets, set);
            let own = truth.differences(&run, set.sources, set.restarts);
            wrong.extend(own.into_iter().map(|what| format!("{}: {what}", set.name)));
        }
        keep(testbed, &folder);
        wrong
    });
}
