//! Installs nanoseg from deploy/, as in its README. The test acts as the kubelet of its pods.

use crate::support::kubernetes::{Cluster, PATIENCE, until};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::MutexGuard;

/// Kinds that this test's kubelet replaces, or that only a real kubelet uses.
const NOT_APPLIED: [&str; 3] = ["Deployment", "DaemonSet", "PersistentVolumeClaim"];
/// Objects that would disturb other tests on this cluster.
const TAKEN_AWAY: [&str; 2] = [
    "ValidatingAdmissionPolicyBinding",
    "ValidatingAdmissionPolicy",
];

/// The installation. The admission policies are deleted when the value is dropped.
pub struct Installation {
    cluster: &'static Cluster,
    objects: Vec<Value>,
    _alone: MutexGuard<'static, ()>,
}

impl Installation {
    pub fn make(cluster: &'static Cluster) -> Installation {
        let alone = cluster.one_controller();
        let installation = Installation {
            cluster,
            objects: objects(cluster),
            _alone: alone,
        };
        installation.forget_published();
        let applied = |object: &&Value| !NOT_APPLIED.contains(&kind(object));
        let items: Vec<&Value> = installation.objects.iter().filter(applied).collect();
        // Namespaces and definitions first, because their instances need them.
        let (first, then): (Vec<&Value>, Vec<&Value>) = items
            .into_iter()
            .partition(|object| ["Namespace", "CustomResourceDefinition"].contains(&kind(object)));
        for part in [first, then] {
            installation.kubectl(&["apply", "--server-side", "--force-conflicts"], &part);
        }
        for definition in installation.names("CustomResourceDefinition") {
            let wait = [
                "wait",
                "--for=condition=Established",
                "--timeout=60s",
                "crd",
                &definition,
            ];
            let waited = cluster.kubectl(&wait);
            assert!(waited.status.success(), "{waited:?}");
        }
        installation
    }

    /// Deletes what another test published in the controller's namespace: the first leader has another state. The
    /// admission policy that protects it may be there for some seconds after it was deleted.
    fn forget_published(&self) {
        let delete = [
            "-n",
            "nanoseg",
            "delete",
            "configmap",
            "--ignore-not-found",
            "nanoseg-record",
            "nanoseg-graph",
        ];
        let gone = until(PATIENCE, "the published record to go", async || {
            let done = self.cluster.kubectl(&delete);
            if done.status.success() {
                return Ok(());
            }
            Err(format!("{done:?}"))
        });
        self.cluster.run(gone);
    }

    /// Returns the arguments of the container of a Deployment or DaemonSet.
    pub fn arguments(&self, of: &str) -> Vec<String> {
        let pod = &self.object(of)["spec"]["template"]["spec"];
        let arguments = pod["containers"][0]["args"].as_array().expect("arguments");
        let arguments = arguments
            .iter()
            .map(|word| word.as_str().expect("text").to_owned());
        arguments.collect()
    }

    /// Returns namespace and name of the ServiceAccount of a Deployment or DaemonSet.
    pub fn account(&self, of: &str) -> (String, String) {
        let object = self.object(of);
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let name = &object["spec"]["template"]["spec"]["serviceAccountName"];
        (text(&object["metadata"]["namespace"]), text(name))
    }

    fn object(&self, kind_wanted: &str) -> &Value {
        let found = self
            .objects
            .iter()
            .find(|object| kind(object) == kind_wanted);
        found.unwrap_or_else(|| panic!("deploy/ has a {kind_wanted}"))
    }

    fn names(&self, kind_wanted: &str) -> Vec<String> {
        let objects = self
            .objects
            .iter()
            .filter(|object| kind(object) == kind_wanted);
        let names = objects.map(|object| object["metadata"]["name"].as_str().expect("a name"));
        names.map(str::to_owned).collect()
    }

    /// Waits until nobody can use another name in a decision: the API server needs some time to compile the rules.
    pub fn await_admission(&self, decide_as_other: impl Fn() -> Result<(), String>) -> String {
        let wait = until(
            PATIENCE,
            "the admission policy",
            async || match decide_as_other() {
                Ok(()) => Err("it was let through".to_owned()),
                Err(refusal) => Ok(refusal),
            },
        );
        self.cluster.run(wait)
    }

    fn kubectl(&self, verb: &[&str], objects: &[&Value]) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let file = self.cluster.path(&self.cluster.name("install"));
        std::fs::write(&file, list.to_string()).expect("a file");
        let file = file.to_string_lossy();
        let done = self.cluster.kubectl(&[verb, &["-f", &*file]].concat());
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        for taken in TAKEN_AWAY {
            for name in self.names(taken) {
                self.cluster
                    .kubectl(&["delete", taken, &name, "--wait=false"]);
            }
        }
    }
}

fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

/// Returns all objects of deploy/base.
fn objects(cluster: &Cluster) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/base");
    let built = cluster.kubectl(&["kustomize", &folder.to_string_lossy()]);
    assert!(built.status.success(), "{built:?}");
    let text = String::from_utf8(built.stdout).expect("text");
    let documents = serde_yaml::Deserializer::from_str(&text);
    documents
        .map(|document| Value::deserialize(document).expect("an object"))
        .collect()
}
