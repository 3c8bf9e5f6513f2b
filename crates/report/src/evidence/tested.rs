//! What `nanoseg probe` tried, as evidence that segmentation is tested (rule: a-test-counts-for-what-it-tried).

use super::{Period, WorkloadLine};
use nanoseg_net::Timestamp;
use nanoseg_probe::{Figures, PolicyDigest, Results, Tried, Verdict};
use serde::Serialize;
use std::collections::BTreeSet;

/// One run of `nanoseg probe`, as far as it is about the scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tested {
    pub from: Timestamp,
    pub to: Timestamp,
    /// The cluster's name, as whoever ran it has it.
    pub cluster: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Of the connections with an end in the scope.
    pub figures: Figures,
    /// Isolated workloads of the scope, and those of them whose policies were seen to stop something.
    pub isolated: usize,
    pub stopping: usize,
    pub is_in_period: bool,
    /// The policies of the scope that were other ones when it was tried, at most [`MOST_CHANGED`].
    pub changed_policies: Vec<String>,
    /// What was otherwise than evaluated.
    pub differences: Vec<Tried>,
    /// The whole run, as it was given.
    #[serde(skip)]
    pub results: Results,
}

/// How many changed policies are listed.
const MOST_CHANGED: usize = 100;

impl Tested {
    /// Takes a run into evidence. `policies` are those that the report judges, `in_scope` tells the namespaces that it is
    /// about.
    pub fn new(
        results: Results,
        policies: &[PolicyDigest],
        workloads: &[WorkloadLine],
        period: &Period,
        in_scope: impl Fn(&str) -> bool,
    ) -> Tested {
        let is_ours = |tried: &&Tried| {
            let server = tried.probe.server.workload.as_ref();
            in_scope(&tried.probe.client.workload.namespace)
                || server.is_some_and(|id| in_scope(&id.namespace))
        };
        let ours: Vec<Tried> = results.tried.iter().filter(is_ours).cloned().collect();
        let isolated = workloads
            .iter()
            .filter(|one| !one.host_network && !one.policies.is_empty());
        let isolated: Vec<&WorkloadLine> = isolated.collect();
        let stopping = isolated.iter().filter(|one| stops(one, &ours)).count();
        Tested {
            from: results.from,
            to: results.to,
            cluster: results.cluster.clone(),
            by: results.by.clone(),
            plugin: results.plugin.clone(),
            figures: Figures::of(&ours),
            isolated: isolated.len(),
            stopping,
            is_in_period: period.contains(results.from) && period.contains(results.to),
            changed_policies: changed(&results.policies, policies, in_scope),
            differences: ours
                .into_iter()
                .filter(|one| one.verdict.differs())
                .collect(),
            results,
        }
    }

    /// Returns true if the run is about the period and the policies of the report.
    pub fn counts(&self) -> bool {
        self.is_in_period && self.changed_policies.is_empty()
    }

    /// Returns true if the policies of every isolated workload were seen to stop something.
    pub fn is_complete(&self) -> bool {
        self.isolated > 0 && self.stopping == self.isolated
    }
}

/// Returns true if a policy of the workload was seen to stop a connection.
fn stops(workload: &WorkloadLine, tried: &[Tried]) -> bool {
    let mut stopped = tried
        .iter()
        .filter(|one| matches!(one.verdict, Verdict::AsExpected | Verdict::Late));
    stopped.any(|one| {
        let ends = [
            Some(&one.probe.client.workload),
            one.probe.server.workload.as_ref(),
        ];
        let is_end = ends.contains(&Some(&workload.workload));
        let mut policies = one.probe.denied_by.iter();
        is_end && policies.any(|policy| workload.policies.contains(policy))
    })
}

/// The policies of the scope that are not the same in both.
fn changed(
    then: &[PolicyDigest],
    now: &[PolicyDigest],
    in_scope: impl Fn(&str) -> bool,
) -> Vec<String> {
    let is_ours = |one: &&PolicyDigest| one.namespace().is_none_or(&in_scope);
    let then: BTreeSet<&PolicyDigest> = then.iter().filter(is_ours).collect();
    let now: BTreeSet<&PolicyDigest> = now.iter().filter(is_ours).collect();
    let names: BTreeSet<&String> = then
        .symmetric_difference(&now)
        .map(|one| &one.policy)
        .collect();
    names.into_iter().take(MOST_CHANGED).cloned().collect()
}
