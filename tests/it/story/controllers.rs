//! Two real controllers that share a store, with the ServiceAccount and the arguments that deploy/ gives them. The test
//! acts as their kubelet: it restarts a controller that ends.

use super::install::Installation;
use crate::support::kubernetes::{Cluster, PATIENCE, Program, inside, until};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The network address of each controller.
const ADDRESSES: [&str; 2] = ["172.18.0.21", "172.18.0.22"];
/// The kinds that `kubectl get` reads for `nanoseg generate`.
pub const SNAPSHOT: &str = "namespaces,pods,services,endpointslices,nodes,deployments,replicasets,statefulsets,daemonsets,jobs,cronjobs,networkpolicies";
/// The name of their headless Service, which resolves to both.
pub const SERVICE: &str = "nanoseg-controller.nanoseg.svc";

pub struct Controllers {
    pair: Arc<Pair>,
    keeper: Option<JoinHandle<()>>,
}

struct Pair {
    cluster: &'static Cluster,
    folder: tempfile::TempDir,
    /// The arguments of deploy/, with this machine's paths.
    arguments: Vec<String>,
    kubeconfig: PathBuf,
    replicas: [Mutex<Replica>; 2],
    /// Is true if ended controllers are no longer restarted.
    stopped: AtomicBool,
    started: Instant,
    events: Mutex<Vec<String>>,
}

/// One of them.
struct Replica {
    program: Option<Program>,
    /// The number of pods so far: a killed container restarts in its pod, an evicted pod is replaced.
    pod: u32,
}

impl Controllers {
    /// Starts both, and waits until one leads.
    pub fn start(cluster: &'static Cluster, installation: &Installation) -> Controllers {
        for address in ADDRESSES {
            cluster.add_address(&format!("{address}/16"), "br0");
        }
        let (namespace, account) = installation.account("Deployment");
        let folder = tempfile::tempdir().expect("a folder");
        let kubeconfig = inside(&cluster.service_account_kubeconfig(&namespace, &account));
        let arguments = arguments(cluster, installation, folder.path());
        let pair = Arc::new(Pair {
            cluster,
            arguments,
            kubeconfig,
            folder,
            replicas: [0, 1].map(|_| {
                Mutex::new(Replica {
                    program: None,
                    pod: 0,
                })
            }),
            stopped: AtomicBool::new(false),
            started: Instant::now(),
            events: Mutex::default(),
        });
        let keeper = std::thread::spawn({
            let pair = Arc::clone(&pair);
            move || pair.keep()
        });
        let controllers = Controllers {
            pair,
            keeper: Some(keeper),
        };
        controllers.leader();
        controllers
    }

    /// Waits until one leads. Returns its index.
    pub fn leader(&self) -> usize {
        let pair = &self.pair;
        pair.cluster.run(until(PATIENCE, "a leader", async || {
            let leader = [0, 1].into_iter().find(|index| pair.leads(*index));
            leader.ok_or_else(|| self.last_words())
        }))
    }

    /// Returns the index of the present leader, if there is one.
    pub fn is_led(&self) -> bool {
        [0, 1].into_iter().any(|index| self.pair.leads(index))
    }

    /// Sends SIGKILL to the leader. Returns true if there was one. It restarts immediately or, if it is evicted, as
    /// another pod.
    pub fn kill_leader(&self, evict: bool) -> bool {
        let leader = [0, 1].into_iter().find(|index| self.pair.leads(*index));
        if let Some(leader) = leader {
            let mut replica = self.pair.replicas[leader].lock().expect("a replica");
            replica.pod += u32::from(evict);
            if let Some(program) = &mut replica.program {
                program.kill();
            }
            self.pair.note(&format!(
                "{leader} led and is killed{}",
                if evict { " and evicted" } else { "" }
            ));
        }
        leader.is_some()
    }

    /// Returns the path of the shared store.
    pub fn store(&self) -> PathBuf {
        self.pair.store()
    }

    /// Returns the events of both controllers and their complete logs.
    pub fn log(&self) -> String {
        let events = self.pair.events.lock().expect("events").join("\n");
        let logs = self.pair.replicas.each_ref().map(|replica| {
            let replica = replica.lock().expect("a replica");
            replica
                .program
                .as_ref()
                .map(Program::log)
                .unwrap_or_default()
        });
        format!("{events}\n{}", logs.join("\n--\n"))
    }

    fn last_words(&self) -> String {
        let words = self.pair.replicas.each_ref().map(|replica| {
            let replica = replica.lock().expect("a replica");
            replica
                .program
                .as_ref()
                .map(Program::last_words)
                .unwrap_or_default()
        });
        words.join("\n")
    }

    /// Copies logs that would be deleted with the cluster's folder.
    fn keep_evidence(&self) {
        let folder = std::env::temp_dir().join(format!("nanoseg-story-{}", std::process::id()));
        let _ = std::fs::create_dir_all(&folder);
        let _ = std::fs::write(folder.join("controllers.log"), self.log());
        let snapshot = self
            .pair
            .cluster
            .kubectl(&["get", SNAPSHOT, "-A", "-o", "yaml"]);
        let _ = std::fs::write(folder.join("cluster.yaml"), snapshot.stdout);
        let own = "segmentations,policyproposals,proposaldecisions";
        let own = self.pair.cluster.kubectl(&["get", own, "-A", "-o", "yaml"]);
        let _ = std::fs::write(folder.join("nanoseg.yaml"), own.stdout);
        for name in ["nanoseg.sqlite", "nanoseg.sqlite-wal"] {
            let _ = std::fs::copy(self.pair.folder.path().join(name), folder.join(name));
        }
        eprintln!("what there was at the end is in {}", folder.display());
    }

    /// Sends SIGTERM to both. Returns their exit codes.
    pub fn stop(&mut self) -> Vec<i32> {
        self.pair.stopped.store(true, Ordering::Relaxed);
        if let Some(keeper) = self.keeper.take() {
            keeper.join().expect("the keeper ends well");
        }
        let replicas = &self.pair.replicas;
        for replica in replicas {
            if let Some(program) = &replica.lock().expect("a replica").program {
                program.signal(libc::SIGTERM);
            }
        }
        self.pair
            .cluster
            .run(until(PATIENCE, "controllers to end", async || {
                let ended = replicas.iter().map(|replica| {
                    let mut replica = replica.lock().expect("a replica");
                    replica.program.as_mut().map_or(Some(0), Program::ended)
                });
                ended
                    .collect::<Option<Vec<i32>>>()
                    .ok_or_else(|| self.last_words())
            }))
    }
}

impl Drop for Controllers {
    fn drop(&mut self) {
        self.pair.stopped.store(true, Ordering::Relaxed);
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
        if std::thread::panicking() {
            self.keep_evidence();
        }
    }
}

impl Pair {
    fn store(&self) -> PathBuf {
        self.folder.path().join("nanoseg.sqlite")
    }

    /// Restarts ended controllers, until it is stopped.
    fn keep(&self) {
        while !self.stopped.load(Ordering::Relaxed) {
            for (index, replica) in self.replicas.iter().enumerate() {
                let mut replica = replica.lock().expect("a replica");
                let ended = replica.program.as_mut().map(Program::ended);
                match ended {
                    Some(None) => continue,
                    Some(Some(code)) => self.note(&format!("{index} ended with {code}")),
                    None => {}
                }
                replica.program = Some(self.start(index, replica.pod));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn start(&self, index: usize, pod: u32) -> Program {
        let address = ADDRESSES[index];
        let mut command = self.cluster.command(env!("CARGO_BIN_EXE_nanoseg"));
        let arguments = self
            .arguments
            .iter()
            .map(|word| word.replace("0.0.0.0", address));
        command
            .args(arguments)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig);
        command.env(
            "NANOSEG_IDENTITY",
            format!("nanoseg-controller-{index}-{pod}"),
        );
        command.env("NANOSEG_LEASE_NAMESPACE", "nanoseg");
        command.env("NANOSEG_LOG", "nanoseg=debug,warn");
        Program::start(
            command,
            &self.folder.path().join(format!("controller-{index}.log")),
        )
    }

    fn leads(&self, index: usize) -> bool {
        let address = format!("{}:9090", ADDRESSES[index])
            .parse()
            .expect("an address");
        let metrics = self.cluster.ask(address, "/metrics").unwrap_or_default();
        metrics
            .lines()
            .any(|line| line == "nanoseg_controller_leading 1")
    }

    fn note(&self, words: &str) {
        let event = format!("{:7.3} {words}", self.started.elapsed().as_secs_f64());
        eprintln!("controllers: {event}");
        self.events.lock().expect("events").push(event);
    }
}

/// Returns the arguments of the Deployment. The files of its volumes are in `folder` here.
fn arguments(cluster: &Cluster, installation: &Installation, folder: &Path) -> Vec<String> {
    let serving = cluster.serving_certificate_for(&[SERVICE]);
    let texts = [
        ("/etc/nanoseg/tls/tls.crt", serving.certificate),
        ("/etc/nanoseg/tls/tls.key", serving.key),
        ("/var/lib/nanoseg", folder.to_owned()),
    ];
    let here = |word: String| {
        texts.iter().fold(word, |word, (there, here)| {
            word.replace(there, &here.to_string_lossy())
        })
    };
    installation
        .arguments("Deployment")
        .into_iter()
        .map(here)
        .collect()
}
