//! Where the commands that judge policies get pods and policies from: files, or the cluster as it is now.

use super::access::{Access, AccessArgs, list_objects};
use super::places::{Places, refused};
use crate::cluster::{SkippedFile, read_cluster};
use crate::evaluate::EvaluateError;
use crate::inventory::{Objects, OtherPolicy, is_ours};
use crate::report::escape;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Pods and policies: of a snapshot, else of the cluster.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PolicyArgs {
    /// Snapshots of the cluster as kubectl get … -o yaml prints them, or folders of manifests, instead of
    /// the cluster itself.
    #[arg(long, value_name = "FILE|DIR", num_args = 1..)]
    pub cluster: Vec<PathBuf>,
    /// NetworkPolicies to judge instead of those that nanoseg manages; those of others stay in force.
    #[arg(long, value_name = "FILE|DIR", num_args = 1..)]
    pub policies: Vec<PathBuf>,
    #[command(flatten)]
    pub access: AccessArgs,
}

/// Pods, and the policies that are in force over them.
pub struct Judged {
    /// Without NetworkPolicies.
    pub objects: Objects,
    pub policies: Vec<NetworkPolicy>,
    /// The namespace of the context; `default` for a snapshot.
    pub namespace: String,
}

impl PolicyArgs {
    /// Reads both.
    pub fn read(&self) -> anyhow::Result<Judged> {
        Ok(self.read_beside(|_| ())?.0)
    }

    /// Reads both, and does something with the objects while the policies are read.
    pub fn read_beside<T>(&self, work: impl FnOnce(&Objects) -> T) -> anyhow::Result<(Judged, T)> {
        let (mut objects, namespace) = read_objects(&self.cluster, &self.access)?;
        let there = std::mem::take(&mut objects.network_policies);
        let policies = || match self.policies.as_slice() {
            [] => Ok(named_once(there)),
            paths => Ok(replaced(there, read_policies(paths)?)),
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
        let policies: anyhow::Result<Vec<NetworkPolicy>> = policies;
        let judged = Judged {
            policies: policies?,
            objects,
            namespace,
        };
        Ok((judged, done))
    }
}

impl PolicyArgs {
    /// Where the policies that are judged are written, as far as that is in files.
    pub fn places(&self) -> anyhow::Result<Places> {
        Places::find_all(self.files())
    }

    fn files(&self) -> &[PathBuf] {
        match self.policies.as_slice() {
            [] => &self.cluster,
            paths => paths,
        }
    }

    /// What to tell of a policy that cannot be judged.
    pub fn refused(&self, error: EvaluateError) -> anyhow::Error {
        refused(error, self.files())
    }
}

/// The objects of snapshots, or of the cluster if none is named, and the default namespace.
pub fn read_objects(cluster: &[PathBuf], access: &AccessArgs) -> anyhow::Result<(Objects, String)> {
    if cluster.is_empty() {
        let access = Access::open(access).map_err(|error| {
            anyhow::anyhow!("{error:#}, or a snapshot of the cluster with --cluster FILE")
        })?;
        let objects = list_objects(&access)?;
        return Ok((objects, access.default_namespace));
    }
    Ok((read_files(cluster)?, "default".into()))
}

/// The NetworkPolicies of files and folders.
pub fn read_policies(paths: &[PathBuf]) -> anyhow::Result<Vec<NetworkPolicy>> {
    Ok(named_once(read_files(paths)?.network_policies))
}

/// All objects of files and folders.
pub fn read_files(paths: &[PathBuf]) -> anyhow::Result<Objects> {
    let (objects, skipped) = read_cluster(paths)?;
    note_skipped(&skipped);
    note_not_judged(&objects.not_judged);
    Ok(objects)
}

/// Tells which policies there are that no verdict counts in.
fn note_not_judged(policies: &[OtherPolicy]) {
    const MOST: usize = 20;
    for one in policies.iter().take(MOST) {
        let line = format!("note: not judged: {one} in {}", one.file);
        eprintln!("{}", escape::terminal(&line));
    }
    let more = policies.len().saturating_sub(MOST);
    if more > 0 {
        eprintln!("note: not judged: {more} more policies");
    }
    if !policies.is_empty() {
        eprintln!(
            "note: only NetworkPolicies of networking.k8s.io are judged; what the others allow and deny is not known here"
        );
    }
}

/// The NetworkPolicies of a folder that `nanoseg generate` wrote.
pub fn read_generated_policies(folder: &Path) -> anyhow::Result<Vec<NetworkPolicy>> {
    Ok(current(&read_files(&[folder.to_owned()])?))
}

/// Tells which files were no manifests. Of a folder that nanoseg generate wrote that goes without saying.
pub fn note_skipped(skipped: &[SkippedFile]) {
    let is_report =
        |file: &Path| file.ends_with("report.json") && file.with_extension("md").exists();
    for file in skipped.iter().filter(|one| !is_report(&one.file)) {
        eprintln!("note: left out {}: {}", file.file.display(), file.reason);
    }
}

/// All policies, also those that nanoseg wrote; of several versions of one the last read.
pub fn current(objects: &Objects) -> Vec<NetworkPolicy> {
    named_once(objects.network_policies.clone())
}

/// What is in force once `policies` are applied: policies of others stay, those that nanoseg manages and
/// that are not among `policies` go.
pub fn over(objects: &Objects, policies: Vec<NetworkPolicy>) -> Vec<NetworkPolicy> {
    replaced(objects.network_policies.clone(), policies)
}

/// [`over`] what was there.
pub fn replaced(there: Vec<NetworkPolicy>, policies: Vec<NetworkPolicy>) -> Vec<NetworkPolicy> {
    let mut all = by_name(there);
    all.retain(|_, policy| !is_ours(&policy.metadata));
    all.extend(by_name(policies));
    all.into_values().collect()
}

/// Of several versions of one policy the last, in order of their names.
pub fn named_once(policies: Vec<NetworkPolicy>) -> Vec<NetworkPolicy> {
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
