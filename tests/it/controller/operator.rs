//! The actions of an operator with a running controller: the real binary, a real API server, and a user with exactly
//! the rights that deploy/ gives operators.

use super::agent::Agent;
use super::process::Controller;
use super::world::World;
use crate::support::kubernetes::{Cluster, PATIENCE, until};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, ListParams};
use nanoseg::flow::Verdict;
use nanoseg::review::resources::ProposalDecision;
use serde_json::Value;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Creates a ClusterRole of deploy/. Returns its name.
pub fn apply_role(cluster: &Cluster, role: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/base/access");
    let file = folder.join(format!("{role}.yaml"));
    let file = file.to_str().expect("a path");
    let done = cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", file]);
    assert!(done.status.success(), "{done:?}");
    format!("nanoseg-{role}")
}

/// A person with a kubeconfig.
pub struct Person {
    pub name: String,
    namespace: String,
    pub kubeconfig: PathBuf,
}

impl Person {
    /// Returns a person with a ClusterRole of deploy/ in the namespace, or without any right.
    pub fn new(cluster: &Cluster, world: &World, name: &str, role: Option<&str>) -> Person {
        let name = cluster.name(name);
        if let Some(role) = role {
            let role = apply_role(cluster, role);
            let arguments = [
                "create",
                "rolebinding",
                &name,
                "-n",
                &world.namespace,
                "--clusterrole",
                &role,
                "--user",
                &name,
            ];
            let done = cluster.kubectl(&arguments);
            assert!(done.status.success(), "{done:?}");
        }
        Person {
            kubeconfig: cluster.kubeconfig_as(&name, &[]),
            namespace: world.namespace.clone(),
            name,
        }
    }

    /// Gives the rights in other namespaces and on nodes too.
    pub fn reads_the_cluster(&self, cluster: &Cluster) {
        self.is_everywhere(cluster, &apply_role(cluster, "reader"));
    }

    /// Gives a ClusterRole in all namespaces.
    pub fn is_everywhere(&self, cluster: &Cluster, role: &str) {
        let name = cluster.name(&self.name);
        let arguments = [
            "create",
            "clusterrolebinding",
            &name,
            "--clusterrole",
            role,
            "--user",
            &self.name,
        ];
        let done = cluster.kubectl(&arguments);
        assert!(done.status.success(), "{done:?}");
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env_remove("NO_COLOR");
        command
    }

    /// Runs `nanoseg ARGUMENTS -n NAMESPACE`.
    fn runs(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(env!("CARGO_BIN_EXE_nanoseg"));
        command.args(arguments).args(["-n", &self.namespace]);
        let output = command.output().expect("it runs");
        eprintln!(
            "$ nanoseg {}\n{}{}",
            arguments.join(" "),
            out(&output),
            err(&output)
        );
        output
    }

    /// Does the same and checks the exit code. Returns stdout.
    pub fn says(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.runs(arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {}",
            err(&output)
        );
        out(&output)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.says(0, &[arguments, &["-o", "json"]].concat());
        serde_json::from_str(&text).expect("JSON")
    }
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn an_operator_reviews_decides_explains_and_rolls_back() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "operator", &[]);
    let world = World::make(cluster);
    let mut agent = Agent::new(cluster, &controller);
    world.segment("Enforce");
    agent.learn(&world, &[("web", "api", 8080), ("api", "db", 5432)]);
    for workload in ["web", "api", "db"] {
        world.open(workload);
    }
    let olga = Person::new(cluster, &world, "olga", Some("operator"));
    olga.reads_the_cluster(cluster);

    // The open proposals.
    let list = olga.says(0, &["proposals"]);
    assert!(
        ["web-1", "api-1", "db-1"]
            .iter()
            .all(|name| list.contains(name)),
        "{list}"
    );
    assert_eq!(olga.json(&["proposals"]).as_array().map(Vec::len), Some(3));
    let review = olga.says(0, &["review", "db-1"]);
    let ns = &world.namespace;
    assert!(
        review.contains("first policy: what was observed so far"),
        "{review}"
    );
    assert!(
        review.contains(&format!("{ns}/api")) && review.contains("5432/TCP"),
        "{review}"
    );
    assert!(!review.contains('\u{1b}'), "no colour but on a terminal");

    // A decision needs the right, and has the name of the person.
    let victor = Person::new(cluster, &world, "victor", Some("viewer"));
    victor.says(0, &["review", "db-1"]);
    let refused = victor.runs(&["approve", "db-1", "--reason", "I want to"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(err(&refused).contains("forbidden"), "{}", err(&refused));
    olga.says(0, &["approve", "db-1", "--reason", "CHG-1: reviewed"]);
    olga.says(0, &["approve", "--all", "--reason", "CHG-1: the rest"]);
    assert!(
        world.find_policy("nanoseg-db").is_some(),
        "approve waits until it is applied"
    );
    let decisions: Api<ProposalDecision> = world.api();
    let all = cluster
        .run(decisions.list(&ListParams::default()))
        .expect("decisions");
    assert_eq!(all.items.len(), 3);
    assert!(
        all.items
            .iter()
            .all(|decision| decision.spec.decided_by == olga.name)
    );
    let status = olga.json(&["status"]);
    assert_eq!(status[0]["enforced"], 3, "{status}");
    let table = olga.says(0, &["status"]);
    assert!(table.contains("Enforce"), "{table}");

    // The explanation of a denied connection.
    let why = olga.says(1, &["explain", "web", "db", "5432"]);
    assert!(why.contains("nanoseg-db"), "{why}");
    let why = olga.says(0, &["explain", "api", "db", "5432"]);
    assert!(why.contains("nanoseg-db"), "{why}");

    // It is attempted, proposed, and allowed; then rolled back.
    agent.see(&world, ("web", "db", 5432), Verdict::Refused, 3);
    for workload in ["db", "web"] {
        let asked = world.open(workload);
        let name = asked.metadata.name.expect("a name");
        let review = olga.says(0, &["review", &name]);
        assert!(review.contains("blocked-traffic"), "{review}");
        olga.says(
            0,
            &["approve", &name, "--reason", "CHG-2: reports", "--yes"],
        );
    }
    olga.says(0, &["explain", "web", "db", "5432"]);
    olga.says(0, &["rollback", "db", "--reason", "CHG-2 was a mistake"]);
    olga.says(1, &["explain", "web", "db", "5432"]);
    olga.says(
        0,
        &["rollback", "web", "--to", "none", "--reason", "a test"],
    );
    world.until_policy("nanoseg-web", "none", |policy| policy.is_none());

    the_record_is_verified_while_the_controller_runs(cluster, &olga, &controller);
    kubectl_finds_the_plugin(cluster, &olga);
    two_sets_of_policies_are_compared_by_what_they_allow(cluster, &olga, &world);
}

fn the_record_is_verified_while_the_controller_runs(
    cluster: &Cluster,
    olga: &Person,
    controller: &Controller,
) {
    let store = controller.store();
    let store = store.to_str().expect("a path");
    let run = |arguments: &[&str]| {
        let output = olga
            .command(env!("CARGO_BIN_EXE_nanoseg"))
            .args(arguments)
            .output();
        let output = output.expect("it runs");
        eprintln!(
            "$ nanoseg {}\n{}{}",
            arguments.join(" "),
            out(&output),
            err(&output)
        );
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        out(&output)
    };
    // The same record is published in the cluster, where no access to the controller's disk is needed.
    let published = |command: &str| {
        run(&[
            "record",
            command,
            "cluster",
            "--controller-namespace",
            "default",
        ])
    };
    cluster.run(until(PATIENCE, "the record is published", async || {
        let (here, there) = (run(&["record", "verify", store]), published("verify"));
        (here == there)
            .then_some(())
            .ok_or_else(|| format!("{here}{there}"))
    }));
    assert!(published("show").contains("CHG-2 was a mistake"));
    let shown = run(&["record", "show", store]);
    assert!(
        shown.contains(&olga.name) && shown.contains("CHG-2"),
        "{shown}"
    );
}

fn kubectl_finds_the_plugin(cluster: &Cluster, olga: &Person) {
    let folder = tempfile::tempdir().expect("a folder");
    symlink(
        env!("CARGO_BIN_EXE_nanoseg"),
        folder.path().join("kubectl-nanoseg"),
    )
    .expect("a link");
    let kubectl = cluster.program("kubectl");
    let run = |arguments: &[&str]| {
        let mut command = olga.command(&kubectl);
        command
            .env("PATH", folder.path())
            .arg("nanoseg")
            .args(arguments);
        command.output().expect("kubectl runs")
    };
    let status = run(&["status", "-n", &olga.namespace]);
    assert!(
        status.status.success() && out(&status).contains("Enforce"),
        "{status:?}"
    );
    let wrong = run(&["status", "--no-such-option"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        err(&wrong).contains("Usage: kubectl nanoseg status"),
        "{}",
        err(&wrong)
    );
}

fn two_sets_of_policies_are_compared_by_what_they_allow(
    cluster: &Cluster,
    olga: &Person,
    world: &World,
) {
    let folder = tempfile::tempdir().expect("a folder");
    let policies: Api<NetworkPolicy> = world.api();
    let all = cluster
        .run(policies.list(&ListParams::default()))
        .expect("policies");
    let [before, after] = ["before", "after"].map(|name| folder.path().join(name));
    for side in [&before, &after] {
        std::fs::create_dir(side).expect("a folder");
    }
    for policy in all.items {
        let name = policy.metadata.name.clone().expect("a name");
        let write = |side: &Path, policy: &NetworkPolicy| {
            let text = serde_yaml::to_string(policy).expect("YAML");
            std::fs::write(side.join(format!("{name}.yaml")), text).expect("a file");
        };
        write(&before, &policy);
        if name != "nanoseg-db" {
            write(&after, &policy);
        }
    }
    let snapshot = folder.path().join("cluster.yaml");
    let kinds = "namespaces,pods,services,nodes";
    let got = cluster.kubectl(&["get", kinds, "-A", "-o", "yaml"]);
    std::fs::write(&snapshot, got.stdout).expect("a file");
    let text = |path: &Path| path.to_str().expect("a path").to_owned();
    let (before, after, snapshot) = (text(&before), text(&after), text(&snapshot));
    let run = |one: &str, other: &str| {
        let mut command = olga.command(env!("CARGO_BIN_EXE_nanoseg"));
        let output = command
            .args(["diff", one, other, "--cluster", &snapshot])
            .output();
        let output = output.expect("it runs");
        eprintln!("{}{}", out(&output), err(&output));
        output
    };
    let same = run(&before, &before);
    assert_eq!(same.status.code(), Some(0), "{same:?}");
    // Without its policy, every pod may reach the database.
    let opened = run(&before, &after);
    assert_eq!(opened.status.code(), Some(1), "{opened:?}");
    assert!(
        out(&opened).contains(&format!("{}/db", world.namespace)),
        "{opened:?}"
    );
}
