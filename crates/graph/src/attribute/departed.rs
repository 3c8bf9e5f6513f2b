//! The workload of a pod that is gone, by what the log says of it (rule: departed-pod-by-its-owner): the owner that it names,
//! the form of the pod's name, the pod's labels. Each counts only if exactly one workload fits.

use nanoseg_flow::PodLabel;
use nanoseg_inventory::{Inventory, Workload};

/// What `GenerateName` adds, and what a name is cut to before (k8s.io/apiserver `names/generate.go`).
const RANDOM: usize = 5;
const MAX_BASE: usize = 58;
/// Kinds that make ReplicaSets, whose names have a hash of the pod template.
const WITH_REPLICA_SETS: [&str; 2] = ["Deployment", "Rollout"];

/// The workload of a pod that is not in the inventory.
pub(super) fn workload<'i>(pod: &PodLabel, inventory: &'i Inventory) -> Option<&'i Workload> {
    let all = || inventory.workloads_of(&pod.namespace);
    if let Some((kind, name)) = &pod.owner {
        let named = all().filter(|workload| workload.id.name == *name);
        return of_kind(
            kind,
            named.map(|workload| (workload, workload.id.kind.clone())),
        );
    }
    let by_name = only(all().filter(|workload| makes(workload, &pod.name)));
    by_name.or_else(|| only(all().filter(|workload| selects(workload, pod))))
}

fn only<T>(mut found: impl Iterator<Item = T>) -> Option<T> {
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// The one of these workloads of one name that has the log's kind; else the only one, since Hubble reports a CronJob's pods as a
/// Job's and the like. `Kind.group` is compared with its group.
pub(super) fn of_kind<T>(said: &str, known: impl Iterator<Item = (T, String)>) -> Option<T> {
    let (kind, group) = said.split_once('.').unwrap_or((said, ""));
    let mut fitting: Vec<(T, bool)> = known
        .filter(|(_, known)| group.is_empty() || group_of(known).is_none_or(|of| of == group))
        .map(|(one, known)| (one, known.split('.').next() == Some(kind)))
        .collect();
    let exact = fitting.iter().position(|(_, exact)| *exact);
    match (exact, fitting.len()) {
        (Some(place), _) => Some(fitting.swap_remove(place).0),
        (None, 1) => fitting.pop().map(|(one, _)| one),
        (None, _) => None,
    }
}

/// The API group of a workload's kind; `None` if it is not known.
fn group_of(kind: &str) -> Option<&str> {
    match kind.split_once('.') {
        Some((_, group)) => Some(group),
        None => match kind {
            "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => Some("apps"),
            "Job" | "CronJob" => Some("batch"),
            _ => None,
        },
    }
}

/// Returns true if the workload's pods have names of this form.
fn makes(workload: &Workload, pod: &str) -> bool {
    let (name, kind) = (workload.id.name.as_str(), workload.id.kind.as_str());
    if kind == "Pod" {
        return pod == name;
    }
    if kind == "StatefulSet" {
        // Calico aggregates by the prefix alone.
        let ordinal = pod
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('-'));
        return ordinal.is_some_and(|text| text == "*" || is_digits(text, 1));
    }
    let Some(base) = without_random(pod) else {
        return false;
    };
    match kind {
        "CronJob" => {
            let job = base
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('-'));
            // The minute of its schedule, and the index of an indexed Job.
            job.is_some_and(|text| match text.split_once('-') {
                None => is_digits(text, 8),
                Some((minutes, index)) => is_digits(minutes, 8) && is_digits(index, 1),
            })
        }
        "Job" if is_indexed(base, name) => true,
        kind if WITH_REPLICA_SETS.contains(&kind) => {
            let hash = base
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('-'));
            hash.is_some_and(is_template_hash)
        }
        _ => base == cut(name),
    }
}

fn is_indexed(base: &str, job: &str) -> bool {
    let index = base
        .strip_prefix(job)
        .and_then(|rest| rest.strip_prefix('-'));
    index.is_some_and(|text| is_digits(text, 1))
}

/// `NAME-` is cut to 58 bytes before five characters are added.
fn cut(name: &str) -> &str {
    name.get(..MAX_BASE).unwrap_or(name)
}

/// The name without what was made at random, or without the star that stands for it.
pub(super) fn without_random(pod: &str) -> Option<&str> {
    if let Some(base) = pod.strip_suffix('*') {
        return base.strip_suffix('-');
    }
    // Behind the hash of a template nothing else stands.
    if let Some((base, end)) = pod.rsplit_once('-')
        && (1..=RANDOM).contains(&end.len())
        && base
            .rsplit_once('-')
            .is_some_and(|(_, hash)| is_template_hash(hash))
    {
        return Some(base);
    }
    let (base, random) = pod.split_at_checked(pod.len().checked_sub(RANDOM)?)?;
    // k8s.io/apimachinery `util/rand`: no vowels, and no digits that look like letters.
    let is_random = |byte: u8| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte);
    let whole = random.bytes().all(is_random);
    // A long name was cut before the dash.
    let base = base
        .strip_suffix('-')
        .or((base.len() == MAX_BASE).then_some(base))?;
    whole.then_some(base)
}

/// A hash of 32 bits in decimal, of which each digit is a letter or digit (`rand.SafeEncodeString`): ten characters occur.
fn is_template_hash(text: &str) -> bool {
    (4..=10).contains(&text.len()) && text.bytes().all(|byte| b"456789bcdf".contains(&byte))
}

fn is_digits(text: &str, least: usize) -> bool {
    text.len() >= least && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns true if the workload's own selector selects pods with these labels.
fn selects(workload: &Workload, pod: &PodLabel) -> bool {
    let wanted = &workload.match_labels;
    let has = |(key, value): (&String, &String)| pod.labels.contains(&format!("{key}={value}"));
    !wanted.is_empty() && wanted.iter().all(has)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nanoseg_inventory::WorkloadId;

    fn owner(kind: &str, name: &str) -> Workload {
        Workload {
            match_labels: [("app".to_owned(), name.to_owned())].into(),
            ..Workload::new(WorkloadId {
                namespace: "shop".into(),
                name: name.into(),
                kind: kind.into(),
            })
        }
    }

    /// The owners of these that fit a pod of this name.
    fn fits(pod: &str) -> Vec<String> {
        let all = [
            owner("Deployment", "web"),
            owner("Deployment", "web-api"),
            owner("StatefulSet", "db"),
            owner("DaemonSet", "agent"),
            owner("CronJob", "report"),
            owner("Job", "migrate"),
            owner("ReplicaSet", "old-5d4f8c7b9"),
            owner("Pod", "debug"),
        ];
        let inventory = Inventory {
            workloads: all.map(|one| (one.id.clone(), one)).into(),
            ..Inventory::default()
        };
        let found = workload(&PodLabel::named("shop", pod), &inventory);
        found
            .map(|one| format!("{} {}", one.id.kind, one.id.name))
            .into_iter()
            .collect()
    }

    #[test]
    fn the_form_of_a_name_tells_the_owner() {
        for (pod, expected) in [
            ("web-5d4f8c7b9-x2x7q", "Deployment web"),
            ("web-5d4f8c7b9-*", "Deployment web"),
            ("web-api-6c9d4-zz42x", "Deployment web-api"),
            ("db-12", "StatefulSet db"),
            ("db-*", "StatefulSet db"),
            ("agent-x2x7q", "DaemonSet agent"),
            ("report-29512345-x2x7q", "CronJob report"),
            ("report-29512345-0-x2x7q", "CronJob report"),
            ("migrate-x2x7q", "Job migrate"),
            ("migrate-3-x2x7q", "Job migrate"),
            ("old-5d4f8c7b9-x2x7q", "ReplicaSet old-5d4f8c7b9"),
            ("debug", "Pod debug"),
        ] {
            assert_eq!(fits(pod), [expected], "{pod}");
        }
    }

    #[test]
    fn a_name_of_another_form_tells_nothing() {
        for pod in [
            "web-x2x7q",
            "web-cache",
            "web-cache-x2x7q",
            "web-db-x2x7q",
            "agent-other",
            "db-primary",
            "report-7-x2x7q",
            "debug-x2x7q",
            "other-5d4f8c7b9-x2x7q",
            "*",
            "",
            "é-x2x7",
        ] {
            assert_eq!(fits(pod), Vec::<String>::new(), "{pod}");
        }
    }

    #[test]
    fn labels_tell_the_owner_if_one_selector_fits() {
        let all = [owner("Deployment", "web"), owner("Deployment", "api")];
        let mut inventory = Inventory {
            workloads: all.map(|one| (one.id.clone(), one)).into(),
            ..Inventory::default()
        };
        let labelled = PodLabel {
            labels: ["app=web", "x=y"].map(str::to_owned).into(),
            ..PodLabel::named("shop", "anything")
        };
        let found =
            |inventory: &Inventory| workload(&labelled, inventory).map(|w| w.id.name.clone());
        assert_eq!(found(&inventory).as_deref(), Some("web"));
        let mut twin = owner("StatefulSet", "web-2");
        twin.match_labels = [("app".to_owned(), "web".to_owned())].into();
        inventory.workloads.insert(twin.id.clone(), twin);
        assert_eq!(found(&inventory), None, "two fit");
    }

    #[test]
    fn kinds_are_compared_with_their_group_where_it_is_said() {
        for (said, known, same) in [
            ("Deployment", "Deployment", true),
            ("Deployment.apps", "Deployment", true),
            ("Job.batch.volcano.sh", "Job", false),
            ("Job", "CronJob", true),
            ("Job.batch", "CronJob", true),
            ("Rollout.argoproj.io", "Rollout", true),
            ("", "Deployment", true),
        ] {
            let found = of_kind(said, std::iter::once(((), known.to_owned())));
            assert_eq!(found.is_some(), same, "{said} {known}");
        }
        let two = ["Deployment", "StatefulSet"].map(|kind| (kind, kind.to_owned()));
        assert_eq!(
            of_kind("StatefulSet", two.clone().into_iter()),
            Some("StatefulSet")
        );
        assert_eq!(of_kind("Job", two.into_iter()), None);
    }
}
