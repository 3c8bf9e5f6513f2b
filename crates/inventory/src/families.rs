//! Pods of one maker that come and go with releases, runs or users are one workload: the revisions of a Knative
//! Service, the runs of a task, the servers of JupyterHub's users (rule: releases-and-users-are-one-workload).
//!
//! The name of the family is worked out from one member alone, so it stays the same when others come or go.

use super::WorkloadId;
use super::label_nature::{LabelNature, key_nature, label_nature, may_name_a_person};
use super::owners::TopOwner;
use super::value_shape::{is_of_a_release, without_generated_parts, without_random};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;

type Labels = BTreeMap<String, String>;

/// The last words of kinds of which each object is one release or one run.
const RELEASE_KINDS: [&str; 8] = [
    "Revision",
    "Version",
    "Run",
    "Build",
    "Execution",
    "Attempt",
    "Workflow",
    "Runner",
];
/// Labels that last and say nothing of what a pod is.
const NOT_TELLING: [&str; 6] = [
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/created-by",
    "heritage",
    "istio.io/rev",
    "security.istio.io/tlsMode",
    "linkerd.io/control-plane-ns",
];

/// Returns the family of a pod, if it is a member of one. `metadata` is the pod's own, `None` for a template.
pub(super) fn family_of(
    top: &TopOwner,
    labels: &Labels,
    metadata: Option<&ObjectMeta>,
) -> Option<WorkloadId> {
    let bare = top.id.kind == "Pod"
        && metadata.is_some_and(|m| m.owner_references.iter().flatten().next().is_none());
    // Most pods are of a built-in owner and of nobody in particular; this is quick.
    if !bare && top.custom.is_none() && !labels.keys().any(|key| may_name_a_person(key)) {
        return None;
    }
    let telling = telling(labels);
    if telling.is_empty() {
        return None;
    }
    if bare && let Some(name) = metadata.and_then(generated_name) {
        return Some(named(&top.id, name.to_owned()));
    }
    if let Some(family) = of_users(top, bare, labels, &telling) {
        return Some(family);
    }
    if bare {
        return of_runs(top, labels);
    }
    of_releases(top, labels, &telling)
}

/// A pod without an owner that a program made for one run: its name has a generated part, and a label tells the run.
fn of_runs(top: &TopOwner, labels: &Labels) -> Option<WorkloadId> {
    let mut all = labels.iter();
    let of_a_run = all.any(|(key, value)| key_nature(key, value) == LabelNature::Release);
    let name = without_generated_parts(&top.id.name).filter(|_| of_a_run)?;
    Some(named(&top.id, name))
}

/// The labels that last and tell what a pod is.
fn telling(labels: &Labels) -> BTreeMap<&str, &str> {
    let all = labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    all.filter(|(key, value)| {
        !value.is_empty()
            && !NOT_TELLING.contains(key)
            && label_nature(key, value) == LabelNature::Lasting
    })
    .collect()
}

/// A pod without an owner whose name the API server completed is one of several.
fn generated_name(metadata: &ObjectMeta) -> Option<&str> {
    let name = metadata
        .generate_name
        .as_deref()?
        .trim_end_matches(['-', '.']);
    (!name.is_empty()).then_some(name)
}

/// A pod that runs for a person: the person's name is taken out of its own. A built-in owner has the person in its name
/// if it is the person's: the label alone may tell who made it.
fn of_users(
    top: &TopOwner,
    bare: bool,
    labels: &Labels,
    telling: &BTreeMap<&str, &str>,
) -> Option<WorkloadId> {
    let users = labels
        .iter()
        .filter(|(key, value)| !value.is_empty() && key_nature(key, value) == LabelNature::Person);
    let users: Vec<&str> = users.map(|(_, value)| value.as_str()).collect();
    if users.is_empty() {
        return None;
    }
    let name = &top.id.name;
    let is_end = |rest: &str| rest.is_empty() || rest.starts_with(['-', '.']);
    let before = users.iter().filter_map(|user| {
        let start = name.find(user)?;
        let (before, rest) = (&name[..start], &name[start + user.len()..]);
        let whole = (before.is_empty() || before.ends_with(['-', '.'])) && is_end(rest);
        whole.then(|| before.trim_end_matches(['-', '.']))
    });
    let shortest = before.min_by_key(|before| before.len());
    let name = match shortest {
        Some(before) if !before.is_empty() => before,
        None if !bare && top.custom.is_none() => return None,
        _ => best_name(telling)?,
    };
    Some(named(&top.id, name.to_owned()))
}

/// The value of the label that names a pod best.
fn best_name<'a>(telling: &BTreeMap<&'a str, &'a str>) -> Option<&'a str> {
    let keys = [
        "app.kubernetes.io/component",
        "component",
        "app.kubernetes.io/name",
        "app",
        "k8s-app",
        "name",
    ];
    keys.iter().find_map(|key| telling.get(key).copied())
}

/// One release or run of several, below a custom owner.
fn of_releases(
    top: &TopOwner,
    labels: &Labels,
    telling: &BTreeMap<&str, &str>,
) -> Option<WorkloadId> {
    let owner = top.custom.as_ref()?;
    let kind = owner.kind.split('.').next().unwrap_or_default();
    let by_kind = RELEASE_KINDS.iter().any(|word| kind.ends_with(word));
    // `serving.knative.dev/revision: hello-blue`: the owner's name is one of a release by the label that holds it.
    let by_label = labels
        .iter()
        .any(|(key, value)| *value == owner.name && key_nature(key, value) == LabelNature::Release);
    let stripped = without_generated_parts(&owner.name).filter(|_| is_of_a_release(&owner.name));
    if !by_kind && !by_label && stripped.is_none() {
        return None;
    }
    let starts = |value: &&str| {
        let rest = owner.name.strip_prefix(*value);
        rest.is_some_and(|rest| rest.starts_with('-'))
    };
    let longest = telling
        .values()
        .copied()
        .filter(starts)
        .max_by_key(|value| value.len());
    let of_run = || without_random(&owner.name).filter(|_| by_kind);
    let family = longest.map(str::to_owned).or(stripped).or_else(of_run)?;
    if top.id == *owner {
        return Some(named(owner, family));
    }
    // One custom owner may have several Deployments: what tells these apart stays.
    let rest = top.id.name.strip_prefix(owner.name.as_str())?;
    Some(named(&top.id, format!("{family}{rest}")))
}

fn named(id: &WorkloadId, name: String) -> WorkloadId {
    WorkloadId { name, ..id.clone() }
}
