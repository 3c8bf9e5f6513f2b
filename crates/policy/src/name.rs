//! The names of policies and of the files that they are written to.

use super::synthesis::WorkloadPolicy;
use nanoseg_inventory::WorkloadId;
use std::collections::{BTreeMap, BTreeSet};

/// The prefix of every name, because a hand-written policy may have the name without it.
const PREFIX: &str = "nanoseg-";

/// The longest DNS-1123 subdomain, which the name of a NetworkPolicy must be (RFC 1123 section 2.1).
const MAX_NAME: usize = 253;

/// The names of the policies of many workloads, unique per namespace. A name depends only on the set of
/// workloads, never on their order.
#[derive(Debug, Default)]
pub(super) struct PolicyNames(BTreeMap<WorkloadId, String>);

impl PolicyNames {
    /// Gives each workload its plain name. Workloads that would share a name get their kind appended and, if that is
    /// not enough, a hash of their identity.
    pub fn build<'a>(workloads: impl IntoIterator<Item = &'a WorkloadId>) -> Self {
        let mut by_namespace: BTreeMap<&str, BTreeSet<&WorkloadId>> = BTreeMap::new();
        for id in workloads {
            by_namespace.entry(&id.namespace).or_default().insert(id);
        }
        let mut names = BTreeMap::new();
        for ids in by_namespace.into_values() {
            name_namespace(&ids, &mut names);
        }
        PolicyNames(names)
    }

    /// Returns the name of the policy of a workload; for a workload that was not in the list, its plain name.
    pub fn get(&self, id: &WorkloadId) -> String {
        self.0.get(id).cloned().unwrap_or_else(|| plain(id))
    }
}

fn name_namespace(ids: &BTreeSet<&WorkloadId>, names: &mut BTreeMap<WorkloadId, String>) {
    let mut proposed: BTreeMap<&WorkloadId, String> =
        ids.iter().map(|id| (*id, plain(id))).collect();
    for better in [with_kind, with_hash] {
        let mut uses: BTreeMap<String, usize> = BTreeMap::new();
        for name in proposed.values() {
            *uses.entry(name.clone()).or_default() += 1;
        }
        for (id, name) in &mut proposed {
            if uses.get(name).is_some_and(|count| *count > 1) {
                *name = better(id);
            }
        }
    }
    let mut taken = BTreeSet::new();
    for (id, name) in proposed {
        let mut free = name.clone();
        let mut number = 2;
        while !taken.insert(free.clone()) {
            free = valid(&format!("{name}-{number}"), number);
            number += 1;
        }
        names.insert(id.clone(), free);
    }
}

fn plain(id: &WorkloadId) -> String {
    valid(&format!("{PREFIX}{}", id.name), hash(id))
}

fn with_kind(id: &WorkloadId) -> String {
    let text = format!("{PREFIX}{}-{}", id.name, id.kind.to_ascii_lowercase());
    valid(&text, hash(id))
}

fn with_hash(id: &WorkloadId) -> String {
    let kind = id.kind.to_ascii_lowercase();
    let hash = hash(id);
    valid(&format!("{PREFIX}{}-{kind}-{hash:016x}", id.name), hash)
}

/// Returns `text` if it is a DNS-1123 subdomain. Otherwise returns its valid characters with `hash` appended, so that
/// two different texts stay different.
fn valid(text: &str, hash: u64) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        let c = match c {
            'a'..='z' | '0'..='9' => c,
            '.' if !clean.is_empty() && !clean.ends_with(['.', '-']) => c,
            _ => '-',
        };
        if c == '-' && (clean.is_empty() || clean.ends_with('.')) {
            continue;
        }
        clean.push(c);
    }
    let clean = clean.trim_end_matches(['-', '.']);
    if clean == text && (1..=MAX_NAME).contains(&clean.len()) {
        return clean.to_string();
    }
    // Only ASCII is left, so every index is a character boundary.
    let room = clean.len().min(MAX_NAME - 17);
    let head = clean.get(..room).unwrap_or("").trim_end_matches(['-', '.']);
    if head.is_empty() {
        return format!("x{hash:016x}");
    }
    format!("{head}-{hash:016x}")
}

/// Returns `text` if it can be the name of an object, else its valid characters with its hash.
pub(super) fn valid_name(text: &str) -> String {
    valid(text, fnv(&[text]))
}

fn hash(id: &WorkloadId) -> u64 {
    fnv(&[&id.kind, &id.namespace, &id.name])
}

/// FNV-1a: the same on every machine and in every version.
fn fnv(parts: &[&str]) -> u64 {
    parts
        .iter()
        .flat_map(|part| part.bytes().chain([0xff]))
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        })
}

/// Returns the path of a policy inside the output folder: `<namespace>/<workload>.yaml`. It is always exactly one
/// folder deep and has only the characters `a-z0-9.-`, whatever the name of the namespace.
pub fn file_name(policy: &WorkloadPolicy) -> String {
    let id = &policy.workload;
    let folder = WorkloadId {
        namespace: String::new(),
        name: String::new(),
        kind: id.namespace.clone(),
    };
    let folder = valid(&id.namespace.replace('.', "-"), hash(&folder));
    let name = policy.policy.metadata.name.as_deref().unwrap_or_default();
    let stem = valid(name.strip_prefix(PREFIX).unwrap_or(name), hash(id));
    format!("{folder}/{stem}.yaml")
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::networking::v1::NetworkPolicy;
    use proptest::prelude::*;

    fn id(kind: &str, name: &str) -> WorkloadId {
        WorkloadId {
            namespace: "shop".into(),
            name: name.into(),
            kind: kind.into(),
        }
    }

    fn is_subdomain(name: &str) -> bool {
        name.len() <= MAX_NAME
            && name.split('.').all(|part| {
                let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
                ends(part.chars().next())
                    && ends(part.chars().last())
                    && part
                        .chars()
                        .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-'))
            })
    }

    #[test]
    fn a_policy_is_named_after_its_workload() {
        let cart = id("Deployment", "cart");
        assert_eq!(PolicyNames::build([&cart]).get(&cart), "nanoseg-cart");
    }

    #[test]
    fn workloads_of_the_same_name_all_get_their_kind() {
        let all = [
            id("Deployment", "cart"),
            id("StatefulSet", "cart"),
            id("Job", "cart-deployment"),
        ];
        let names = PolicyNames::build(&all);
        assert_eq!(names.get(&all[1]), "nanoseg-cart-statefulset");
        let distinct: BTreeSet<String> = all.iter().map(|id| names.get(id)).collect();
        assert_eq!(distinct.len(), 3, "{distinct:?}");
    }

    #[test]
    fn a_name_that_is_too_long_is_cut_and_hashed() {
        let (a, b) = ("a".repeat(252), "a".repeat(251));
        let ids = [id("Deployment", &a), id("Deployment", &b)];
        let names = PolicyNames::build(&ids);
        assert!(names.get(&ids[0]).len() <= MAX_NAME);
        assert_ne!(names.get(&ids[0]), names.get(&ids[1]));
    }

    #[test]
    fn a_hostile_namespace_does_not_leave_the_folder() {
        for namespace in [
            "..",
            "../../etc",
            "/etc",
            "",
            ".",
            "kustomization.yaml",
            "a/b",
        ] {
            let mut workload = id("Deployment", "../x");
            workload.namespace = namespace.into();
            let mut api = NetworkPolicy::default();
            api.metadata.name = Some(PolicyNames::build([&workload]).get(&workload));
            let policy = WorkloadPolicy {
                workload,
                policy: api,
                open: Vec::new(),
                native: None,
                rules: Vec::new(),
                reach: None,
            };
            let file = file_name(&policy);
            let (folder, name) = file.split_once('/').unwrap();
            assert!(is_subdomain(folder) && is_subdomain(name), "{file}");
            assert!(!folder.contains('.'), "{file}");
        }
    }

    proptest! {
        #[test]
        fn names_are_valid_and_unique_for_any_workloads(
            ids in prop::collection::btree_set(("[a-cA.\\-é]{0,4}|[a-z]{240,260}", "Job|Pod|J-O"), 1..12)
        ) {
            let ids: Vec<_> = ids.iter().map(|(name, kind)| id(kind, name)).collect();
            let names = PolicyNames::build(&ids);
            let mut seen = BTreeSet::new();
            for id in &ids {
                let name = names.get(id);
                prop_assert!(is_subdomain(&name), "{}", name);
                prop_assert!(name.starts_with(PREFIX), "{}", name);
                prop_assert!(seen.insert(name));
            }
        }
    }
}
