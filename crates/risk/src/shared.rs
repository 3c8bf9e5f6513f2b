//! Findings that nearly all workloads share (rule: shared-findings-raise-no-risk): they say something of the cluster and
//! nothing of one proposal, so they are said once and do not raise the risk of each.
//!
//! Who writes workloads cannot make its own finding a shared one: its own namespace does not count, every other namespace
//! has one vote however many workloads it has, and only warnings about a workload count, never errors. The findings
//! stay in each proposal, so automatic approval refuses what it refused.

use super::privileges::privileges;
use nanoseg_finding::{Code, Severity};
use nanoseg_inventory::{Workload, WorkloadId};
use std::collections::{BTreeMap, BTreeSet};

/// So much of a namespace's workloads must have a finding for its vote, and so many of the namespaces must have voted, in
/// percent.
const NEARLY_ALL: usize = 90;
/// With fewer workloads in other namespaces nothing is shared.
const FEWEST: usize = 3;

/// How many workloads of each namespace have which findings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedFindings {
    workloads: BTreeMap<String, usize>,
    having: BTreeMap<Code, BTreeMap<String, usize>>,
}

/// A finding that nearly all workloads share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SharedFinding {
    pub code: Code,
    /// How many workloads have it, of how many.
    pub workloads: usize,
    pub of: usize,
}

/// The warnings that a workload has for what it is, whether or not lists of approved images make them findings.
pub fn standing_warnings(workload: &Workload) -> BTreeSet<Code> {
    let mutable = workload.containers.iter().any(|one| one.image.is_mutable());
    let of_privileges = privileges(workload).into_iter().map(|one| one.code);
    of_privileges
        .chain(mutable.then_some(Code::MutableTag))
        .filter(|code| code.severity() == Severity::Warning)
        .collect()
}

impl SharedFindings {
    /// Counts the workloads with the warnings of each.
    pub fn count<'w>(all: impl IntoIterator<Item = (&'w WorkloadId, BTreeSet<Code>)>) -> Self {
        let mut shared = SharedFindings::default();
        for (id, codes) in all {
            *shared.workloads.entry(id.namespace.clone()).or_default() += 1;
            for code in codes {
                let known = shared.having.entry(code).or_default();
                *known.entry(id.namespace.clone()).or_default() += 1;
            }
        }
        shared
    }

    /// The findings that raise no risk in a namespace: nearly all workloads of nearly all other namespaces have them.
    pub fn codes_for(&self, namespace: &str) -> BTreeSet<Code> {
        let others = || self.workloads.iter().filter(|(name, _)| *name != namespace);
        if others().map(|(_, count)| count).sum::<usize>() < FEWEST {
            return BTreeSet::new();
        }
        let is_shared = |(code, having): (&Code, &BTreeMap<String, usize>)| {
            let votes = others().filter(|(name, count)| {
                let with = having.get(*name).copied().unwrap_or_default();
                is_nearly_all(with, **count)
            });
            is_nearly_all(votes.count(), others().count()).then_some(*code)
        };
        self.having.iter().filter_map(is_shared).collect()
    }

    /// All that are shared for some namespace, to be said once for the cluster.
    pub fn all(&self) -> Vec<SharedFinding> {
        let namespaces = self.workloads.keys();
        let codes: BTreeSet<Code> = namespaces.flat_map(|name| self.codes_for(name)).collect();
        let of = self.workloads.values().sum();
        let finding = |code: Code| SharedFinding {
            code,
            workloads: self
                .having
                .get(&code)
                .into_iter()
                .flat_map(BTreeMap::values)
                .sum(),
            of,
        };
        codes.into_iter().map(finding).collect()
    }
}

fn is_nearly_all(some: usize, of: usize) -> bool {
    some > 0 && some.saturating_mul(100) >= of.saturating_mul(NEARLY_ALL)
}

#[cfg(test)]
mod tests {
    use super::super::testing::workload;
    use super::*;

    /// Workloads as `namespace/name`, with a mutable tag where that ends with `!`.
    fn shared(names: &[&str]) -> SharedFindings {
        let all: Vec<Workload> = names
            .iter()
            .map(|name| match name.strip_suffix('!') {
                Some(name) => workload(name, "nginx:1"),
                None => workload(name, "nginx@sha256:aa"),
            })
            .collect();
        SharedFindings::count(all.iter().map(|one| (&one.id, standing_warnings(one))))
    }

    #[test]
    fn what_nearly_all_others_have_raises_no_risk_and_is_said_once() {
        let all = shared(&[
            "shop/a!",
            "ops/b!",
            "ops/c!",
            "kube-system/d!",
            "kube-system/e!",
        ]);
        assert_eq!(all.codes_for("shop"), [Code::MutableTag].into());
        let said = all.all();
        assert_eq!(
            (said[0].code, said[0].workloads, said[0].of),
            (Code::MutableTag, 5, 5)
        );
    }

    #[test]
    fn who_stands_alone_with_it_is_raised() {
        let all = shared(&["shop/a!", "ops/b", "ops/c", "kube-system/d"]);
        assert_eq!(all.codes_for("shop"), BTreeSet::new());
        assert_eq!(all.all(), []);
    }

    #[test]
    fn nobody_makes_its_own_finding_a_shared_one() {
        // A tenant fills its own namespace, and another one that it has.
        let mut names = vec!["ops/b", "ops/c", "kube-system/d"];
        let own: Vec<String> = (0..500).map(|n| format!("evil/w{n}!")).collect();
        let second: Vec<String> = (0..500).map(|n| format!("evil-too/w{n}!")).collect();
        names.extend(own.iter().chain(&second).map(String::as_str));
        assert_eq!(shared(&names).codes_for("evil"), BTreeSet::new());
        // Alone in the cluster it is compared with nobody.
        let alone: Vec<&str> = own.iter().map(String::as_str).collect();
        assert_eq!(shared(&alone).codes_for("evil"), BTreeSet::new());
    }

    #[test]
    fn errors_are_never_shared() {
        let mut all: Vec<Workload> = ["a/x", "b/y", "c/z", "d/w"]
            .iter()
            .map(|name| workload(name, "nginx@sha256:aa"))
            .collect();
        for one in &mut all {
            one.containers[0].privileged = true;
        }
        let shared = SharedFindings::count(all.iter().map(|one| (&one.id, standing_warnings(one))));
        for code in shared.codes_for("a") {
            assert_eq!(code.severity(), Severity::Warning, "{code}");
        }
    }
}
