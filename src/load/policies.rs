//! Pods and the policies in force over them: from files, or from the cluster as it is now.

#[cfg(feature = "cluster")]
use super::client::BlockingClient;
use super::cluster_source::{ClusterSource, read_sources};
use super::error::LoadError;
use super::locations::{PolicyLocations, invalid_policy};
use super::notice::{Notice, NoticeSink};
#[cfg(feature = "cluster")]
use super::objects::list_objects;
use crate::cluster::ConnectSettings;
use crate::cluster::{SkippedFile, read_cluster};
use crate::evaluate::EvaluateError;
use crate::inventory::{Inventory, Objects, OtherKinds, OtherPolicy, is_ours, pod_blocks};
use crate::policy_kinds::OtherKindPolicy;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where pods and policies come from.
#[derive(Debug, Clone, Default)]
pub struct PolicySource {
    /// Snapshots; empty: the cluster itself.
    pub cluster: Vec<PathBuf>,
    /// Policies to judge instead of those that nanoseg manages; empty: those of the cluster.
    pub policies: Vec<PathBuf>,
    pub connect: ConnectSettings,
}

/// Pods, and the policies that are in force over them.
pub struct EffectivePolicies {
    /// Without NetworkPolicies.
    pub objects: Objects,
    pub policies: Vec<NetworkPolicy>,
    /// It is known of all policies in force what they open and close.
    pub is_all_judged: bool,
    /// The namespace of the context; `default` for a snapshot.
    pub namespace: String,
}

impl PolicySource {
    /// Reads pods and policies.
    ///
    /// # Errors
    /// Files that cannot be read, or a cluster that does not answer.
    pub fn read(&self, notices: &dyn NoticeSink) -> Result<EffectivePolicies, LoadError> {
        Ok(self.read_beside(notices, |_| ())?.0)
    }

    /// Reads pods, then policies in a thread of its own while `work` runs with the pods.
    ///
    /// # Errors
    /// As [`PolicySource::read`].
    pub fn read_beside<T>(
        &self,
        notices: &dyn NoticeSink,
        work: impl FnOnce(&Objects) -> T,
    ) -> Result<(EffectivePolicies, T), LoadError> {
        let (mut objects, namespace) = read_objects(&self.cluster, &self.connect, notices)?;
        let present = std::mem::take(&mut objects.network_policies);
        let policies = || match self.policies.as_slice() {
            [] => Ok((latest(present), Vec::new(), true)),
            paths => {
                let read = read_files(paths, notices)?;
                let is_all_judged = is_all_judged(&read);
                let policies = applied_over(present, latest(read.network_policies));
                Ok((policies, read.other_kinds, is_all_judged))
            }
        };
        let (policies, done) = std::thread::scope(|scope| {
            let policies = scope.spawn(policies);
            let done = work(&objects);
            let policies = policies.join();
            (
                policies.unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                done,
            )
        });
        let policies: Result<(Vec<NetworkPolicy>, Vec<OtherKindPolicy>, bool), LoadError> =
            policies;
        let (policies, others, of_files) = policies?;
        if !self.policies.is_empty() {
            let present = std::mem::take(&mut objects.other_kinds);
            objects.other_kinds = others_applied_over(present, others);
        }
        let effective = EffectivePolicies {
            policies,
            is_all_judged: of_files && is_all_judged(&objects),
            objects,
            namespace,
        };
        Ok((effective, done))
    }

    /// The files and lines of the policies, as far as they come from files.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn locations(&self) -> Result<PolicyLocations, LoadError> {
        PolicyLocations::find_all(&self.files())
    }

    fn files(&self) -> Vec<PathBuf> {
        let paths = match self.policies.as_slice() {
            [] => &self.cluster,
            _ => &self.policies,
        };
        let files = paths.iter().filter(|path| !ClusterSource::is_live(path));
        files.cloned().collect()
    }

    /// The error for a policy that cannot be judged, with its file and line.
    pub fn invalid(&self, error: EvaluateError) -> LoadError {
        invalid_policy(error, &self.files())
    }
}

/// Returns true if it is known of all policies of other kinds what they open and close.
fn is_all_judged(objects: &Objects) -> bool {
    let mut policies = objects.not_judged.iter();
    objects.unlisted.is_empty() && policies.all(|policy| policy.is_known_at_layer4)
}

/// The objects of snapshots, or of the cluster if there is no snapshot, and the default namespace.
///
/// # Errors
/// Files that cannot be read, or a cluster that does not answer.
pub fn read_objects(
    cluster: &[PathBuf],
    connect: &ConnectSettings,
    notices: &dyn NoticeSink,
) -> Result<(Objects, String), LoadError> {
    if !cluster.is_empty() {
        let read = read_sources(cluster, connect, notices)?;
        return Ok((noted(read, notices), "default".into()));
    }
    read_cluster_now(connect, notices)
}

/// The objects of the cluster as it is now, and the namespace of the context.
#[cfg(feature = "cluster")]
fn read_cluster_now(
    connect: &ConnectSettings,
    notices: &dyn NoticeSink,
) -> Result<(Objects, String), LoadError> {
    let client = BlockingClient::new(connect).map_err(|error| match error {
        LoadError::Connect(error) => LoadError::NoCluster(error),
        other => other,
    })?;
    let objects = client.block_on(list_objects(&client.client, notices))?;
    note_not_judged(&objects.not_judged, notices);
    Ok((objects, client.default_namespace))
}

#[cfg(not(feature = "cluster"))]
fn read_cluster_now(
    _connect: &ConnectSettings,
    _notices: &dyn NoticeSink,
) -> Result<(Objects, String), LoadError> {
    Err(LoadError::WithoutCluster(
        "a snapshot of the cluster is missing: give one with --cluster FILE".into(),
    ))
}

/// The NetworkPolicies of files and folders.
///
/// # Errors
/// Files that cannot be read.
pub fn read_policies(
    paths: &[PathBuf],
    notices: &dyn NoticeSink,
) -> Result<Vec<NetworkPolicy>, LoadError> {
    Ok(latest(read_files(paths, notices)?.network_policies))
}

/// All objects of files and folders.
///
/// # Errors
/// Files that cannot be read.
pub fn read_files(paths: &[PathBuf], notices: &dyn NoticeSink) -> Result<Objects, LoadError> {
    Ok(noted(read_cluster(paths)?, notices))
}

/// Reports what was left out, and which policies no verdict includes.
fn noted(read: (Objects, Vec<SkippedFile>), notices: &dyn NoticeSink) -> Objects {
    let (objects, skipped) = read;
    note_skipped(&skipped, notices);
    note_objects(&objects, notices);
    objects
}

/// Reports what of the objects no verdict includes, and what is odd about them.
pub fn note_objects(objects: &Objects, notices: &dyn NoticeSink) {
    note_not_judged(&objects.not_judged, notices);
    for remark in objects.remarks.iter().take(MOST) {
        notices.report(Notice::Remark(remark.clone()));
    }
}

/// How many notices of one sort are reported.
const MOST: usize = 20;

/// Reports which policies have ipBlocks that cover pods.
pub fn note_pod_blocks(
    policies: &[NetworkPolicy],
    inventory: &Inventory,
    notices: &dyn NoticeSink,
) {
    for blocks in pod_blocks(policies, inventory).into_iter().take(MOST) {
        notices.report(Notice::PodBlocks(blocks));
    }
}

/// Reports which policies no verdict includes.
fn note_not_judged(policies: &[OtherPolicy], notices: &dyn NoticeSink) {
    for one in policies.iter().take(MOST) {
        notices.report(Notice::NotJudged(one.clone()));
    }
    let more = policies.len().saturating_sub(MOST);
    if more > 0 {
        notices.report(Notice::MoreNotJudged(more));
    }
    if !policies.is_empty() {
        notices.report(Notice::SomeNotJudged);
    }
}

/// The NetworkPolicies of a folder that `nanoseg generate` wrote.
///
/// # Errors
/// Files that cannot be read.
pub fn read_generated_policies(
    folder: &Path,
    notices: &dyn NoticeSink,
) -> Result<Vec<NetworkPolicy>, LoadError> {
    read_policies(&[folder.to_owned()], notices)
}

/// Reports which files were not manifests. In a folder that `nanoseg generate` wrote, the reports are expected.
pub fn note_skipped(skipped: &[SkippedFile], notices: &dyn NoticeSink) {
    let is_report =
        |file: &Path| file.ends_with("report.json") && file.with_extension("md").exists();
    for skipped in skipped.iter().filter(|one| !is_report(&one.file)) {
        notices.report(Notice::SkippedFile {
            file: skipped.file.clone(),
            reason: skipped.reason.clone(),
        });
    }
}

/// All policies, including those that nanoseg manages; of several versions of one the last that was read.
pub fn current(objects: &Objects) -> Vec<NetworkPolicy> {
    latest(objects.network_policies.clone())
}

/// The policies in force once `policies` are applied over `present`: policies of others stay; those that nanoseg
/// manages and that are not among `policies` are removed.
pub fn applied_over(
    present: Vec<NetworkPolicy>,
    policies: Vec<NetworkPolicy>,
) -> Vec<NetworkPolicy> {
    let mut all = by_name(present);
    all.retain(|_, policy| !is_ours(&policy.metadata));
    all.extend(by_name(policies));
    all.into_values().collect()
}

/// The same for policies of other kinds.
pub fn others_applied_over(
    mut present: Vec<OtherKindPolicy>,
    policies: Vec<OtherKindPolicy>,
) -> Vec<OtherKindPolicy> {
    present.retain(|policy| !is_ours(policy.metadata()));
    present.extend(policies);
    OtherKinds::of(&present).policies
}

/// Of several versions of one policy the last, ordered by namespace and name.
pub fn latest(policies: Vec<NetworkPolicy>) -> Vec<NetworkPolicy> {
    by_name(policies).into_values().collect()
}

fn by_name(
    policies: Vec<NetworkPolicy>,
) -> BTreeMap<(Option<String>, Option<String>), NetworkPolicy> {
    let named = policies.into_iter().map(|policy| {
        let metadata = &policy.metadata;
        ((metadata.namespace.clone(), metadata.name.clone()), policy)
    });
    named.collect()
}
