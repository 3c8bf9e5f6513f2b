//! What a label says of its pod, judged by the words of its key and the shape of its value: something that lasts, or
//! something that the next release, fail-over, restart or user changes (rule: lasting-labels-select).

use super::value_shape::is_of_a_release;

/// What a label tells of a pod. All but [`LabelNature::Lasting`] have another value one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LabelNature {
    /// Nothing shows that it changes: a name, a component, a team.
    Lasting,
    /// A release, revision, build, commit or time.
    Release,
    /// A role or state that moves from pod to pod, such as the primary of a database.
    Role,
    /// The person for whom the pod runs, or who started it.
    Person,
    /// One of several pods of a kind: its name, index or address.
    Instance,
}

impl LabelNature {
    /// Returns when the value changes, as a clause of a sentence: `the next release`.
    pub fn changed_by(self) -> &'static str {
        match self {
            LabelNature::Lasting => "nothing known",
            LabelNature::Release => "the next release",
            LabelNature::Role => "the next fail-over or change of state",
            LabelNature::Person => "the next user",
            LabelNature::Instance => "the next pod",
        }
    }
}

/// Words that mean a release wherever they stand in a key.
const RELEASE_ANYWHERE: [&str; 17] = [
    "build",
    "buildid",
    "buildnumber",
    "checksum",
    "commit",
    "digest",
    "guid",
    "hash",
    "md5",
    "revision",
    "sha",
    "sha1",
    "sha256",
    "timestamp",
    "uid",
    "uuid",
    "version",
];
/// Words that mean a release as the last word of a key.
const RELEASE_LAST: [&str; 21] = [
    "attempt",
    "chart",
    "created",
    "date",
    "datetime",
    "deployed",
    "epoch",
    "generation",
    "nonce",
    "patchlevel",
    "pipelinerun",
    "rev",
    "runid",
    "semver",
    "snapshot",
    "tag",
    "taskrun",
    "time",
    "updated",
    "ver",
    "workflowrun",
];
/// What has one identifier for each execution: `run-id`, `job-id`.
const EXECUTIONS: [&str; 13] = [
    "submission",
    "build",
    "deploy",
    "deployment",
    "execution",
    "job",
    "pipeline",
    "release",
    "request",
    "run",
    "session",
    "task",
    "workflow",
];
/// Values of a role that moves at a fail-over, or when a release is promoted.
const ROLES: [&str; 27] = [
    "active",
    "arbiter",
    "async-standby",
    "backup",
    "blue",
    "canary",
    "candidate",
    "follower",
    "green",
    "hot-standby",
    "leader",
    "learner",
    "main",
    "master",
    "passive",
    "preview",
    "primary",
    "reader",
    "replica",
    "secondary",
    "slave",
    "stable",
    "standby",
    "standby-leader",
    "sync-standby",
    "witness",
    "writer",
];
/// Keys whose last word is one of these tell a role if the value is one of [`ROLES`].
const ROLE_KEYS: [&str; 8] = [
    "color", "colour", "kind", "member", "mode", "role", "slot", "type",
];
/// Keys with one of these as the last word tell a state.
const STATES: [&str; 10] = [
    "completed",
    "follower",
    "health",
    "leader",
    "master",
    "phase",
    "primary",
    "standby",
    "state",
    "status",
];
/// Words for a person as the last word of a key.
const PERSONS: [&str; 11] = [
    "author",
    "committer",
    "creator",
    "email",
    "login",
    "person",
    "requester",
    "submitter",
    "user",
    "userid",
    "username",
];

/// Returns what the label says, by its key and its value.
pub fn label_nature(key: &str, value: &str) -> LabelNature {
    let by_key = key_nature(key, value);
    if by_key == LabelNature::Lasting && is_of_a_release(value) {
        return LabelNature::Release;
    }
    by_key
}

/// Returns what the key says; the value decides only between a moving role and one that stays (`role: backend`).
pub fn key_nature(key: &str, value: &str) -> LabelNature {
    let (prefix, name) = key.rsplit_once('/').unwrap_or(("", key));
    let mut words = words(name);
    // The subject of `job.runner.gitlab.com/id` stands first in the prefix.
    if let [only] = words.as_slice()
        && matches!(only.as_str(), "id" | "number" | "no")
        && let Some(subject) = prefix.split('.').next().filter(|word| !word.is_empty())
    {
        words.insert(0, subject.to_ascii_lowercase());
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((last, before)) = words.split_last() else {
        return LabelNature::Lasting;
    };
    if is_instance(last, before) {
        LabelNature::Instance
    } else if is_release(last, before, &words) {
        LabelNature::Release
    } else if is_role(last, before, value) {
        LabelNature::Role
    } else if prefix != "app.kubernetes.io" && is_person(last, before) {
        LabelNature::Person
    } else {
        LabelNature::Lasting
    }
}

fn is_instance(last: &str, before: &[&str]) -> bool {
    let of = |words: &[&str]| before.last().is_some_and(|word| words.contains(word));
    match last {
        "hostname" | "index" | "ordinal" | "podname" | "podip" => true,
        "pod" => before.is_empty(),
        "name" => of(&["pod", "instance", "node"]),
        "ip" | "address" => of(&["pod", "host", "node"]),
        "id" => of(&["pod", "instance", "replica", "member", "container", "exec"]),
        _ => false,
    }
}

fn is_release(last: &str, before: &[&str], words: &[&str]) -> bool {
    let of = |known: &[&str]| before.last().is_some_and(|word| known.contains(word));
    let named = matches!(
        last,
        "name" | "namespace" | "repo" | "repository" | "url" | "project" | "org"
    );
    let first_of_several = |word: &str| words.len() > 1 && words.first() == Some(&word) && !named;
    words.iter().any(|word| RELEASE_ANYWHERE.contains(word))
        || RELEASE_LAST.contains(&last)
        || (words.contains(&"git") && !named)
        || first_of_several("release")
        || first_of_several("date")
        || (matches!(last, "id" | "number" | "no") && of(&EXECUTIONS))
        || (last == "run" && !before.is_empty())
        || (last == "at" && !before.is_empty())
}

fn is_role(last: &str, before: &[&str], value: &str) -> bool {
    // `cnpg.io/instanceRole`: the role of one instance moves, whatever it is called.
    let of_instance = before
        .last()
        .is_some_and(|word| matches!(*word, "instance" | "pod" | "member" | "replica"));
    let value = value.to_ascii_lowercase().replace('_', "-");
    STATES.contains(&last)
        || (last == "role" && of_instance)
        || (ROLE_KEYS.contains(&last) && ROLES.contains(&value.as_str()))
}

fn is_person(last: &str, before: &[&str]) -> bool {
    let by = before.last().is_some_and(|word| {
        matches!(
            *word,
            "created"
                | "deployed"
                | "launched"
                | "requested"
                | "started"
                | "submitted"
                | "triggered"
        )
    });
    PERSONS.contains(&last)
        || (matches!(last, "name" | "id") && before.last() == Some(&"user"))
        || (last == "by" && by)
}

/// Returns false if a key cannot tell a person, without a look at its words.
pub fn may_name_a_person(key: &str) -> bool {
    const PARTS: [&str; 8] = [
        "user", "login", "mail", "author", "creator", "mitter", "request", "by",
    ];
    let key = key.to_ascii_lowercase();
    key.contains("person") || PARTS.iter().any(|part| key.contains(part))
}

/// Returns the words of a key in lower case: `revisionUID` is `revision`, `uid`.
fn words(name: &str) -> Vec<String> {
    let chars: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (place, char) in chars.iter().enumerate() {
        let before = place.checked_sub(1).and_then(|at| chars.get(at));
        let after = chars.get(place + 1);
        let starts = char.is_ascii_uppercase()
            && before.is_some_and(|before| {
                before.is_ascii_lowercase()
                    || before.is_ascii_digit()
                    || (before.is_ascii_uppercase() && after.is_some_and(char::is_ascii_lowercase))
            });
        if starts || !char.is_ascii_alphanumeric() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut()
            && char.is_ascii_alphanumeric()
        {
            word.push(char.to_ascii_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_releases_roles_persons_and_instances_are_told_by_their_words() {
        use LabelNature::*;
        let cases: [(LabelNature, &[&str]); 5] = [
            (
                Release,
                &[
                    "git-sha=a",
                    "image-tag=a",
                    "version=v1",
                    "app.kubernetes.io/version=a",
                    "helm.sh/chart=web",
                    "release-date=a",
                    "build=a",
                    "x/buildNumber=7",
                    "serving.knative.dev/revisionUID=a",
                    "serving.knative.dev/configurationGeneration=1",
                    "runtime-hash=a",
                    "commit=a",
                    "date=a",
                    "service.istio.io/canonical-revision=v1",
                    "run-id=a",
                    "job.runner.gitlab.com/id=101",
                    "deployed-at=a",
                    "tekton.dev/taskRun=a",
                ],
            ),
            (
                Role,
                &[
                    "role=primary",
                    "spilo-role=master",
                    "cnpg.io/instanceRole=x",
                    "x/role=Leader",
                    "type=replica",
                    "is-leader=true",
                    "color=blue",
                    "workflows.argoproj.io/completed=false",
                    "role=sync_standby",
                ],
            ),
            (
                Person,
                &[
                    "hub.jupyter.org/username=a",
                    "com.coder.user.id=a",
                    "user=a",
                    "created-by=a",
                    "x/user-name=a",
                ],
            ),
            (
                Instance,
                &[
                    "statefulset.kubernetes.io/pod-name=a",
                    "apps.kubernetes.io/pod-index=0",
                    "x.io/instanceName=a",
                    "volcano.sh/task-index=0",
                    "kubernetes.io/hostname=n",
                ],
            ),
            (
                Lasting,
                &[
                    "app=web",
                    "app.kubernetes.io/name=a",
                    "app.kubernetes.io/instance=a",
                    "component=c",
                    "tier=t",
                    "release=prod",
                    "release-name=prod",
                    "role=backend",
                    "spark-role=driver",
                    "run=web",
                    "color=red",
                    "serving.knative.dev/service=a",
                    "git-repo=a",
                    "type=api",
                    "app.kubernetes.io/created-by=helm",
                    "user-service=a",
                    "cnpg.io/cluster=a",
                    "team=x",
                    "track=stable",
                    "project.runner.gitlab.com/id=7",
                    "volcano.sh/job-name=a",
                ],
            ),
        ];
        for (nature, labels) in cases {
            for label in labels {
                let (key, value) = label.split_once('=').unwrap();
                assert_eq!(label_nature(key, value), nature, "{label}");
            }
        }
    }
}
