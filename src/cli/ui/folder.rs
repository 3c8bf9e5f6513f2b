//! A folder that `nanoseg generate` wrote: each of its policies is a proposal.

use super::parts;
use crate::cli::generated::GeneratedFolder;
use crate::cli::policies::{current, over};
use crate::cli::risk::RiskArgs;
use crate::cluster::read_cluster;
use crate::finding::Finding;
use crate::graph::{Graph, Requirement, ServiceEnforcements, requirements};
use crate::inventory::{Inventory, OwnerRule, WorkloadId};
use crate::net::Timestamp;
use crate::review::resources::{PolicyProposal, PolicyProposalSpec, WorkloadRef};
use crate::review::{ImpactInputs, assess_impact};
use crate::web::{GraphSource, RecordSource, View, ViewInputs};
use anyhow::Context;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// In seconds.
const DAY: i64 = 24 * 3600;

const REASON: &str = "Generated from what was observed.";

pub fn read(
    folder: &Path,
    cluster: &[PathBuf],
    state: Option<&Path>,
    risk: &RiskArgs,
    enforcement: ServiceEnforcements,
) -> anyhow::Result<View> {
    let GeneratedFolder {
        run,
        graph,
        policies: ours,
        findings: of_run,
    } = GeneratedFolder::read(folder)?;
    let paths = snapshots(cluster, &run)?;
    let (objects, _) = read_cluster(&paths)?;
    let (inventory, mut findings) = Inventory::build(&objects, OwnerRule::Infer);
    findings.extend(of_run);
    let risk = risk.read(&objects.scans)?;
    findings.extend(risk.findings(&inventory, |_| true));
    let now = current(&objects);
    let given = Given {
        graph: &graph,
        inventory: &inventory,
        required: requirements(&graph, &inventory, &enforcement),
        enforcement: &enforcement,
        now: &now,
        run: &run,
        findings: &findings,
    };
    let proposals = given.proposals(&ours)?;
    let (events, record_problem) = parts::record(state)?;
    let view = View::new(ViewInputs {
        graph_source: GraphSource::Flows,
        enforcement,
        subject: folder.display().to_string(),
        proposed: over(&objects, ours),
        volume: parts::volume(state, &inventory)?,
        risk,
        now,
        proposals,
        events,
        record_problem,
        record_source: match state {
            Some(_) => RecordSource::State,
            None => RecordSource::Nowhere,
        },
        findings,
        graph,
        inventory,
        can_decide: false,
    });
    view.context("failed to judge the policies")
}

/// The snapshots that are named, else those that the folder was generated from.
fn snapshots(named: &[PathBuf], run: &Value) -> anyhow::Result<Vec<PathBuf>> {
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    let inputs = run["inputs"]["snapshots"].as_array().into_iter().flatten();
    let paths: Vec<PathBuf> = inputs
        .filter_map(|one| one["name"].as_str())
        .map(PathBuf::from)
        .collect();
    anyhow::ensure!(
        !paths.is_empty() && paths.iter().all(|path| path.exists()),
        "the snapshots that the folder was generated from are not here; name them with --cluster"
    );
    Ok(paths)
}

struct Given<'a> {
    graph: &'a Graph,
    inventory: &'a Inventory,
    enforcement: &'a ServiceEnforcements,
    required: Vec<Requirement>,
    now: &'a [NetworkPolicy],
    run: &'a Value,
    /// Of reading and of the run.
    findings: &'a [Finding],
}

impl Given<'_> {
    fn proposals(&self, ours: &[NetworkPolicy]) -> anyhow::Result<Vec<PolicyProposal>> {
        let mut workloads: BTreeMap<(String, String), WorkloadId> = BTreeMap::new();
        for one in self.run["policies"].as_array().into_iter().flatten() {
            let id: WorkloadId = serde_json::from_value(one["workload"].clone())
                .context("failed to read report.json: a policy without a workload")?;
            let name = one["name"].as_str().unwrap_or_default().to_owned();
            workloads.insert((id.namespace.clone(), name), id);
        }
        let mut proposals = Vec::new();
        for policy in ours {
            let metadata = &policy.metadata;
            let key = (
                metadata.namespace.clone().unwrap_or_default(),
                metadata.name.clone().unwrap_or_default(),
            );
            if let Some(id) = workloads.get(&key) {
                proposals.extend(self.proposal(id, &key.1, policy)?);
            }
        }
        Ok(proposals)
    }

    /// What one policy would do; nothing if it is there already.
    fn proposal(
        &self,
        id: &WorkloadId,
        name: &str,
        policy: &NetworkPolicy,
    ) -> anyhow::Result<Option<PolicyProposal>> {
        let Some(spec) = &policy.spec else {
            return Ok(None);
        };
        let is_own = |one: &&NetworkPolicy| {
            one.metadata.name.as_deref() == Some(name)
                && one.metadata.namespace.as_deref() == Some(id.namespace.as_str())
        };
        let base = self
            .now
            .iter()
            .find(is_own)
            .and_then(|one| one.spec.as_ref());
        let others: Vec<NetworkPolicy> = self
            .now
            .iter()
            .filter(|one| !is_own(one))
            .cloned()
            .collect();
        let review = assess_impact(&ImpactInputs {
            inventory: self.inventory,
            graph: self.graph,
            enforcement: self.enforcement,
            requirements: &self.required,
            wanted_blocked: &[],
            workload: id,
            policy_name: name,
            base,
            policy: spec,
            others: &others,
            findings: self.findings,
            coverage: self.coverage(id),
            reason: REASON,
            now: self.now(),
        });
        let mut proposal = PolicyProposal::new(
            name,
            PolicyProposalSpec {
                workload: WorkloadRef {
                    kind: id.kind.clone(),
                    name: id.name.clone(),
                },
                policy_name: name.to_owned(),
                policy: spec.clone(),
                base: base.cloned(),
                review: review.context("failed to judge a policy")?,
            },
        );
        proposal.metadata.namespace = Some(id.namespace.clone());
        Ok(Some(proposal))
    }

    /// The last observation. Where nothing is a day old nothing is new: it is taken as if it were a day ago.
    fn now(&self) -> Timestamp {
        match self.graph.span() {
            None => Timestamp::MIN,
            Some((first, last)) if last.secs_since(first) <= DAY => last.plus_secs(DAY),
            Some((_, last)) => last,
        }
    }

    fn coverage(&self, id: &WorkloadId) -> Option<f64> {
        let all = self.run["learning"]["workloads"].as_array()?;
        let own = all.iter().find(|one| {
            one["workload"]["namespace"] == id.namespace.as_str()
                && one["workload"]["name"] == id.name.as_str()
        })?;
        own["estimate"]["coverage"]
            .as_f64()
            .or_else(|| own["coverage"].as_f64())
    }
}
