//! To whom Jobs belong that no CronJob's controller made: those that a person made from a CronJob, and those that a
//! person or a program makes again and again under other names (rule: jobs-by-template). A Job's object may be gone
//! (`ttlSecondsAfterFinished`) while its pods are still known, so the pods' template decides, and not the object.

use super::label_nature::{LabelNature, label_nature};
use super::owners::{OwnerIndex, TopOwner};
use super::value_shape::without_generated_parts;
use super::{Image, WorkloadId};
use crate::kubernetes::{Container, PodSpec};
use std::collections::{BTreeMap, BTreeSet};

type Labels = BTreeMap<String, String>;

/// Labels that the Job controller adds to the pods of a template (k8s.io/api `batch/v1`).
const OF_JOBS: [&str; 5] = [
    "job-name",
    "controller-uid",
    "batch.kubernetes.io/job-name",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-completion-index",
];

/// What two runs of one template share: the labels that last, and the containers with the repositories of their images.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Template {
    labels: BTreeMap<String, String>,
    containers: BTreeSet<(String, String)>,
}

impl Template {
    fn of(labels: &Labels, spec: Option<&PodSpec>) -> Template {
        let lasting = labels.iter().filter(|(key, value)| {
            !OF_JOBS.contains(&key.as_str()) && label_nature(key, value) == LabelNature::Lasting
        });
        let containers = spec.iter().flat_map(|spec| &spec.containers);
        let named = |one: &Container| {
            let image = one.image.as_deref().unwrap_or_default();
            (one.name.clone(), Image::parse(image).name())
        };
        Template {
            labels: lasting.map(|(k, v)| (k.clone(), v.clone())).collect(),
            containers: containers.map(named).collect(),
        }
    }

    /// Returns true if `pod` may be of this template: admission adds labels and sidecars, and takes nothing away.
    fn makes(&self, pod: &Template) -> bool {
        let has = |(key, value): (&String, &String)| pod.labels.get(key) == Some(value);
        !self.containers.is_empty()
            && self.labels.iter().all(has)
            && self.containers.is_subset(&pod.containers)
    }
}

/// Jobs without a controller of their own, with their templates.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    templates: BTreeMap<WorkloadId, Template>,
}

impl Jobs {
    /// Adds a Job if `top` is one: its own template, or what one of its pods shows of it. Also a CronJob that follows
    /// from the name of a Job that is gone: a person may have named it so (`feed-by-hand-20261130`).
    pub fn add(&mut self, top: &TopOwner, labels: &Labels, spec: Option<&PodSpec>) {
        let is_inferred = || {
            let missing = top.missing.as_ref();
            top.id.kind == "CronJob" && missing.is_some_and(|missing| missing.kind == "Job")
        };
        if (top.id.kind == "Job" || is_inferred()) && top.custom.is_none() {
            let template = || Template::of(labels, spec);
            self.templates
                .entry(top.id.clone())
                .or_insert_with(template);
        }
    }

    /// Adds the Jobs that the snapshots have.
    pub fn add_objects(&mut self, owners: &OwnerIndex<'_>) {
        for (top, object) in owners.tops().filter(|(top, _)| top.kind == "Job") {
            let Some(template) = object.template else {
                continue;
            };
            let labels = template.metadata.as_ref().and_then(|m| m.labels.clone());
            let labels = labels.unwrap_or_default();
            self.add(&owners.top_of_object(&top), &labels, template.spec.as_ref());
        }
    }

    /// The workload of each Job that is one run of several.
    pub fn families(&self, owners: &OwnerIndex<'_>) -> BTreeMap<WorkloadId, WorkloadId> {
        let cron_jobs = cron_jobs(owners);
        let mut families = BTreeMap::new();
        let mut rest: BTreeMap<(&str, &Template), BTreeSet<&WorkloadId>> = BTreeMap::new();
        for (job, template) in &self.templates {
            let is_known = job.kind == "CronJob" && owners.get(job).is_some();
            let found = cron_job_of(job, template, &cron_jobs).filter(|_| !is_known);
            match found {
                None if job.kind == "CronJob" => {}
                Some(cron_job) => {
                    families.insert(job.clone(), cron_job.clone());
                }
                None => {
                    let same = rest.entry((&job.namespace, template)).or_default();
                    same.insert(job);
                }
            }
        }
        let mut taken: BTreeSet<WorkloadId> = BTreeSet::new();
        for jobs in rest.into_values() {
            let Some(name) = family_name(&jobs) else {
                taken.extend(jobs.into_iter().cloned());
                continue;
            };
            let first = jobs.first().map(|job| (*job).clone());
            let Some(first) = first else { continue };
            let family = WorkloadId {
                name,
                ..first.clone()
            };
            // Another template has the name already: two makers, so two workloads.
            let family = if taken.insert(family.clone()) {
                family
            } else {
                first
            };
            for job in jobs.into_iter().filter(|job| **job != family) {
                families.insert(job.clone(), family.clone());
            }
        }
        families
    }
}

/// CronJobs with the templates of their pods.
fn cron_jobs(owners: &OwnerIndex<'_>) -> Vec<(WorkloadId, Template)> {
    let tops = owners.tops().filter(|(top, _)| top.kind == "CronJob");
    let with_template = tops.filter_map(|(top, object)| {
        let template = object.template?;
        let labels = template.metadata.as_ref().and_then(|m| m.labels.clone());
        let labels = labels.unwrap_or_default();
        Some((top, Template::of(&labels, template.spec.as_ref())))
    });
    with_template.collect()
}

/// The one CronJob that a Job was made from: the only one with its template; of several the one that its name begins
/// with.
fn cron_job_of<'a>(
    job: &WorkloadId,
    template: &Template,
    cron_jobs: &'a [(WorkloadId, Template)],
) -> Option<&'a WorkloadId> {
    let fits =
        |(id, of): &&(WorkloadId, Template)| id.namespace == job.namespace && of.makes(template);
    let fitting: Vec<&WorkloadId> = cron_jobs.iter().filter(fits).map(|(id, _)| id).collect();
    if let [only] = fitting.as_slice() {
        return Some(only);
    }
    let named = fitting.into_iter().filter(|id| {
        let rest = job.name.strip_prefix(id.name.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    });
    named.max_by_key(|id| id.name.len())
}

/// The name of Jobs of one template: what is left without the parts that tell one run from another. `None` if it is one
/// Job whose name says that there is one.
fn family_name(jobs: &BTreeSet<&WorkloadId>) -> Option<String> {
    let stems: BTreeSet<String> = jobs.iter().map(|job| stem(&job.name)).collect();
    if let (Some(only), 1) = (stems.first(), stems.len()) {
        let is_run = jobs.len() > 1 || jobs.iter().any(|job| job.name != *only);
        return is_run.then(|| only.clone());
    }
    let names: Vec<Vec<&str>> = jobs
        .iter()
        .map(|job| job.name.split('-').collect())
        .collect();
    let first = names.first()?;
    let shared = (0..first.len())
        .take_while(|place| {
            names
                .iter()
                .all(|name| name.get(*place) == first.get(*place))
        })
        .count();
    // Names that share nothing: the first of them stands for all.
    let shared = if shared == 0 { first.len() } else { shared };
    Some(first[..shared].join("-"))
}

/// A Job's name without what its maker added for one run: a random part, a time, a hash, a counter.
fn stem(name: &str) -> String {
    let stripped = without_generated_parts(name).unwrap_or_else(|| name.to_owned());
    let is_counter = |part: &str| {
        let digits = part.strip_prefix(['v', 'r']).unwrap_or(part);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    match stripped.rsplit_once('-') {
        Some((before, last)) if is_counter(last) && !before.is_empty() => before.to_owned(),
        _ => stripped,
    }
}

#[cfg(test)]
mod tests {
    use super::stem;

    #[test]
    fn what_tells_one_run_from_another_is_left_out_of_a_name() {
        for (name, expected) in [
            ("migrate", "migrate"),
            ("migrate-17", "migrate"),
            ("migrate-v3", "migrate"),
            ("import-x7k2p", "import"),
            ("import-1764432000", "import"),
            ("import-3f9d2c1", "import"),
            ("7", "7"),
        ] {
            assert_eq!(stem(name), expected, "{name}");
        }
    }
}
