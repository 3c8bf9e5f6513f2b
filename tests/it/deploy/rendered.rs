//! What `helm template` and `kubectl kustomize` make of deploy/.

use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Objects by kind, namespace and name.
pub type Objects = BTreeMap<(String, String, String), Value>;

/// A folder of the repository.
pub fn root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Returns a file of the repository.
pub fn text(name: &str) -> String {
    std::fs::read_to_string(root(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Returns a program of `tests/cluster/components`. Prints that it is missing, or fails if nothing may be missing
/// (NANOSEG_REQUIRE_ALL=1).
pub fn program(name: &str) -> Option<PathBuf> {
    let path = root("target/go/bin").join(name);
    if path.exists() {
        return Some(path);
    }
    let required = std::env::var("NANOSEG_REQUIRE_ALL").is_ok_and(|value| value == "1");
    assert!(!required, "needs {name} (tests/cluster/components)");
    eprintln!("skipped: needs {name} (tests/cluster/components)");
    None
}

/// Returns the objects of a folder below deploy/, as kubectl builds them; an empty name is deploy/ itself.
pub fn kustomize(folder: &str) -> Option<Objects> {
    let kubectl = program("kubectl")?;
    let folder = root("deploy").join(folder);
    let built = Command::new(kubectl).arg("kustomize").arg(&folder).output();
    let built = built.expect("kubectl starts");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{}: {said}", folder.display());
    Some(objects(&built.stdout))
}

/// Returns what Helm says to `helm template` with arguments beside.
pub fn helm_output(arguments: &[&str]) -> Option<Output> {
    let helm = program("helm")?;
    let mut command = Command::new(helm);
    command.args(["template", "nanoseg"]);
    command.arg(root("deploy/helm/nanoseg"));
    command.args(["--kube-version", "1.35.0", "-n", "nanoseg"]);
    Some(command.args(arguments).output().expect("helm starts"))
}

/// Returns the objects of the chart with values in YAML.
pub fn helm(values: &str) -> Option<Objects> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), values).expect("a file");
    let file = file.path().to_str().expect("a path");
    let output = helm_output(&["--include-crds", "-f", file])?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{values}: {said}");
    Some(objects(&output.stdout))
}

/// Returns the objects of a YAML text.
pub fn objects(yaml: &[u8]) -> Objects {
    let text = std::str::from_utf8(yaml).expect("text");
    let documents = serde_yaml::Deserializer::from_str(text);
    let all = documents.filter_map(|d| Option::<Value>::deserialize(d).expect("an object"));
    let key = |object: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let meta = &object["metadata"];
        (
            text(&object["kind"]),
            text(&meta["namespace"]),
            text(&meta["name"]),
        )
    };
    all.map(|object| (key(&object), object)).collect()
}

/// Takes out of both what each way of installing has for itself, and says that it was there: Helm makes the namespace
/// itself, and keeps by an annotation what kustomize keeps by a label. Lists whose items have names are sorted by them.
pub fn comparable(chart: &mut Objects, kustomized: &mut Objects) {
    let key = |kind: &str, namespace: &str, name: &str| {
        (kind.to_owned(), namespace.to_owned(), name.to_owned())
    };
    let namespace = kustomized.remove(&key("Namespace", "", "nanoseg"));
    assert!(namespace.is_some(), "kustomize makes the namespace");
    if let Some(claim) = chart.get_mut(&key("PersistentVolumeClaim", "nanoseg", "nanoseg-store")) {
        let metadata = claim["metadata"].as_object_mut().expect("metadata");
        let kept = metadata.remove("annotations");
        assert_eq!(kept, Some(json!({"helm.sh/resource-policy": "keep"})));
    }
    for ((kind, _, name), object) in kustomized.iter_mut() {
        if !["PersistentVolumeClaim", "CustomResourceDefinition"].contains(&kind.as_str()) {
            continue;
        }
        let metadata = object["metadata"].as_object_mut().expect("metadata");
        let labels = metadata.get_mut("labels").and_then(Value::as_object_mut);
        let labels = labels.unwrap_or_else(|| panic!("labels of {name}"));
        let kept = labels.remove("nanoseg.dev/on-uninstall");
        assert_eq!(kept, Some(json!("keep")), "{kind} {name}");
        if labels.is_empty() {
            metadata.remove("labels");
        }
    }
    for object in chart.values_mut().chain(kustomized.values_mut()) {
        sort_by_name(object);
    }
}

/// Sorts lists of which each item has a name (containers, volumes, variables): the order has no meaning for them.
fn sort_by_name(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(sort_by_name);
            if items.iter().all(|item| item["name"].is_string()) {
                items.sort_by_key(|item| item["name"].to_string());
            }
        }
        Value::Object(fields) => fields.values_mut().for_each(sort_by_name),
        _ => {}
    }
}

/// Fails with the first difference.
pub fn assert_same(what: &str, chart: &Objects, kustomized: &Objects) {
    assert_eq!(
        chart.keys().collect::<Vec<_>>(),
        kustomized.keys().collect::<Vec<_>>(),
        "{what}"
    );
    for (key, object) in chart {
        assert_eq!(object, &kustomized[key], "{what}: {key:?}");
    }
}
