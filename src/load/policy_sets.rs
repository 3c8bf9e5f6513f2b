//! Two sets of policies over the same pods, for a comparison.

use super::error::LoadError;
use super::notice::{Notice, NoticeSink};
use super::policies::{applied_over, latest, others_applied_over, read_files, read_objects};
use crate::cluster::ConnectSettings;
use crate::cluster::{append, has_files};
use crate::inventory::{Inventory, Objects, OtherKinds, OtherPolicy, OwnerRule};
use crate::policy_kinds::OtherKindPolicy;
use crate::report::changes::{NotJudged, not_judged};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::path::{Path, PathBuf};

/// The pods, and both sets over them.
pub struct PolicySets {
    pub inventory: Inventory,
    pub before: Vec<NetworkPolicy>,
    pub after: Vec<NetworkPolicy>,
    /// The policies of other kinds before and after; those of the inventory are among them.
    pub others: [Vec<OtherKindPolicy>; 2],
    /// Policies of other kinds that differ and are not judged, or not wholly.
    pub not_judged: Vec<NotJudged>,
}

impl PolicySets {
    /// Reads two sets: a file, a folder, or the word cluster. Pods come from the snapshots, else from the sets where
    /// both have workloads, else from the cluster.
    ///
    /// # Errors
    /// Files that cannot be read, or a cluster that does not answer.
    pub fn read(
        before: &Path,
        after: &Path,
        snapshots: &[PathBuf],
        connect: &ConnectSettings,
        notices: &dyn NoticeSink,
    ) -> Result<PolicySets, LoadError> {
        let cluster = || Cluster::read(snapshots, connect, notices);
        // A snapshot first: its text is dropped before the policies need memory.
        let of_snapshots = if snapshots.is_empty() {
            None
        } else {
            Some(cluster()?)
        };
        let (before, after) = (read_set(before, notices)?, read_set(after, notices)?);
        Ok(match (before, after, of_snapshots) {
            (Some(before), Some(after), None)
                if has_workloads(&before) && has_workloads(&after) =>
            {
                PolicySets::of_manifests(before, after)
            }
            (before, after, Some(cluster)) => cluster.sets(before, after),
            (before, after, None) => cluster()?.sets(before, after),
        })
    }

    /// Two folders of manifests: both sets over the workloads of both.
    fn of_manifests(mut before: Objects, mut after: Objects) -> PolicySets {
        let sets =
            [&mut before, &mut after].map(|one| latest(std::mem::take(&mut one.network_policies)));
        let [old, new] = sets;
        let not_judged = not_judged(&before.not_judged, &after.not_judged);
        let others = [&mut before, &mut after].map(|one| std::mem::take(&mut one.other_kinds));
        // The later state of a workload counts.
        append(&mut before, after);
        PolicySets {
            inventory: Inventory::build(&before, OwnerRule::Infer).0,
            before: old,
            after: new,
            others: others.map(|one| OtherKinds::of(&one).policies),
            not_judged,
        }
    }
}

/// The objects of a file or a folder; `None` for the word cluster. A repository may have no policies yet, or no
/// more: an empty folder is a set without policies.
fn read_set(path: &Path, notices: &dyn NoticeSink) -> Result<Option<Objects>, LoadError> {
    if path.as_os_str() == "cluster" {
        return Ok(None);
    }
    if has_files(path)? {
        return read_files(&[path.to_owned()], notices).map(Some);
    }
    notices.report(Notice::NoManifests(path.to_owned()));
    Ok(Some(Objects::default()))
}

/// Returns true if there are objects over which policies can be judged.
fn has_workloads(objects: &Objects) -> bool {
    let policies = objects.network_policies.len() + objects.other_kinds.len();
    objects.count() > objects.namespaces.len() + policies
}

/// The cluster: its pods, and the policies that it has.
struct Cluster {
    inventory: Inventory,
    policies: Vec<NetworkPolicy>,
    others: Vec<OtherKindPolicy>,
    not_judged: Vec<OtherPolicy>,
}

impl Cluster {
    fn read(
        snapshots: &[PathBuf],
        connect: &ConnectSettings,
        notices: &dyn NoticeSink,
    ) -> Result<Cluster, LoadError> {
        let (mut objects, _) = read_objects(snapshots, connect, notices)?;
        Ok(Cluster {
            policies: latest(std::mem::take(&mut objects.network_policies)),
            others: std::mem::take(&mut objects.other_kinds),
            not_judged: std::mem::take(&mut objects.not_judged),
            inventory: Inventory::build(&objects, OwnerRule::Infer).0,
        })
    }

    /// Both sets; `None` is the set that the cluster has.
    fn sets(self, before: Option<Objects>, after: Option<Objects>) -> PolicySets {
        let both_are_files = before.is_some() && after.is_some();
        let others = |given: Option<&Objects>| -> Vec<OtherPolicy> {
            let of_cluster = self.not_judged.iter().filter(|_| !both_are_files);
            let given = given.into_iter().flat_map(|objects| &objects.not_judged);
            of_cluster.chain(given).cloned().collect()
        };
        let not_judged = not_judged(&others(before.as_ref()), &others(after.as_ref()));
        let set = |given: Option<Objects>| match given {
            None => (self.policies.clone(), self.others.clone()),
            Some(given) if both_are_files => {
                let others = OtherKinds::of(&given.other_kinds).policies;
                (latest(given.network_policies), others)
            }
            Some(given) => (
                applied_over(self.policies.clone(), given.network_policies),
                others_applied_over(self.others.clone(), given.other_kinds),
            ),
        };
        let ((before, others_before), (after, others_after)) = (set(before), set(after));
        PolicySets {
            before,
            after,
            others: [others_before, others_after],
            inventory: self.inventory,
            not_judged,
        }
    }
}
