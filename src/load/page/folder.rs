//! A folder that `nanoseg generate` wrote: each of its policies is a proposal.

use crate::cluster::ConnectSettings;
use crate::finding::Finding;
use crate::graph::{Graph, Requirement, ServiceEnforcements, requirements};
use crate::inventory::{Inventory, OwnerRule, WorkloadId};
use crate::load::cluster_source::{ClusterSource, read_sources};
use crate::load::controller_state;
use crate::load::error::LoadError;
use crate::load::generated_folder::GeneratedFolder;
use crate::load::notice::NoticeSink;
use crate::load::policies::{applied_over, current};
use crate::load::risk::RiskSource;
use crate::net::Timestamp;
use crate::plugin::Profile;
use crate::review::resources::{PolicyProposal, PolicyProposalSpec, WorkloadRef};
use crate::review::{ImpactInputs, assess_impact};
use crate::web::{GraphSource, RecordSource, View, ViewInputs};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Seconds of a day.
const DAY: i64 = 24 * 3600;

const REASON: &str = "Generated from what was observed.";

/// Where the page of a generated folder comes from.
pub struct FolderSource<'a> {
    pub folder: &'a Path,
    /// Snapshots; empty: those that the folder was generated from.
    pub cluster: &'a [PathBuf],
    /// For the word `live` among them.
    pub connect: &'a ConnectSettings,
    /// A copy of the controller's state.
    pub state: Option<&'a Path>,
    pub risk: &'a RiskSource,
    pub enforcement: ServiceEnforcements,
    /// The network plugin, if it is not the one that the cluster's objects show.
    pub network_plugin: Option<Profile>,
}

/// The page of a generated folder.
///
/// # Errors
/// Files that cannot be read, or policies that the API server would refuse.
pub fn read_folder(source: FolderSource<'_>, notices: &dyn NoticeSink) -> Result<View, LoadError> {
    let FolderSource {
        folder,
        cluster,
        connect,
        state,
        risk,
        enforcement,
        network_plugin,
    } = source;
    let GeneratedFolder {
        run,
        graph,
        policies: ours,
        findings: of_run,
    } = GeneratedFolder::read(folder, notices)?;
    let paths = snapshots(cluster, &run)?;
    let (objects, _) = read_sources(&paths, connect, notices)?;
    let (mut inventory, mut findings) = Inventory::build(&objects, OwnerRule::Infer);
    inventory.take_network_plugin(network_plugin);
    findings.extend(of_run);
    let risk = risk.read(&objects.scans)?;
    findings.extend(risk.findings(&inventory, |_| true));
    let now = current(&objects);
    let inputs = Inputs {
        graph: &graph,
        inventory: &inventory,
        required: requirements(&graph, &inventory, &enforcement),
        enforcement: &enforcement,
        now: &now,
        run: &run,
        findings: &findings,
    };
    let proposals = inputs.proposals(&ours)?;
    let (events, record_problem) = controller_state::record(state)?;
    let view = View::new(ViewInputs {
        graph_source: GraphSource::Flows,
        enforcement,
        subject: folder.display().to_string(),
        proposed: applied_over(objects.network_policies, ours),
        volume: controller_state::volume(state, &inventory)?,
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
        waiting: Default::default(),
        can_decide: false,
    });
    view.map_err(|source| LoadError::Judge {
        what: "the policies",
        source,
    })
}

/// The snapshots that are named, else those that the folder was generated from.
fn snapshots(named: &[PathBuf], run: &Value) -> Result<Vec<PathBuf>, LoadError> {
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    let inputs = run["inputs"]["snapshots"].as_array().into_iter().flatten();
    let paths: Vec<PathBuf> = inputs
        .filter_map(|one| one["name"].as_str())
        .map(PathBuf::from)
        .collect();
    // What a cluster has now is not what it had then.
    let is_there = |path: &PathBuf| path.exists() && !ClusterSource::is_live(path);
    if !paths.is_empty() && paths.iter().all(is_there) {
        Ok(paths)
    } else {
        Err(LoadError::NoSnapshots)
    }
}

/// What the proposals are made of.
struct Inputs<'a> {
    graph: &'a Graph,
    inventory: &'a Inventory,
    enforcement: &'a ServiceEnforcements,
    required: Vec<Requirement>,
    now: &'a [NetworkPolicy],
    run: &'a Value,
    /// The findings of reading and of the run.
    findings: &'a [Finding],
}

impl Inputs<'_> {
    fn proposals(&self, ours: &[NetworkPolicy]) -> Result<Vec<PolicyProposal>, LoadError> {
        let mut workloads: BTreeMap<(String, String), WorkloadId> = BTreeMap::new();
        for one in self.run["policies"].as_array().into_iter().flatten() {
            let id: WorkloadId =
                serde_json::from_value(one["workload"].clone()).map_err(|error| {
                    LoadError::unreadable(
                        "report.json",
                        "it has a policy without a workload",
                        error,
                    )
                })?;
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

    /// The proposal to apply one policy; `None` if it has no spec.
    fn proposal(
        &self,
        id: &WorkloadId,
        name: &str,
        policy: &NetworkPolicy,
    ) -> Result<Option<PolicyProposal>, LoadError> {
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
        })
        .map_err(|source| LoadError::Judge {
            what: "a policy",
            source,
        })?;
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
                review,
            },
        );
        proposal.metadata.namespace = Some(id.namespace.clone());
        Ok(Some(proposal))
    }

    /// The time that the proposals are about: the last observation. In an observation of at most a day everything would
    /// count as new; there the time is a day later.
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
