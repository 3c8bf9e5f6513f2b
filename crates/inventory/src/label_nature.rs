//! What a label says of its pod, judged by the words of its key and the shape of its value: something that lasts, or
//! something that the next release, fail-over, restart or user changes (rule: lasting-labels-select).

use std::net::IpAddr;

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
    let words = words(name);
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

/// Returns true if a value shows by its shape that it belongs to one release: it names one, or ends with a generated
/// suffix.
pub fn is_of_a_release(value: &str) -> bool {
    let suffix = value.rsplit_once(['-', '_']).map(|(_, suffix)| suffix);
    names_a_release(value) || suffix.is_some_and(is_generated_suffix)
}

/// Returns true if a value names a release: it is or has a version, a commit, a date, a UUID, or an address.
pub fn names_a_release(value: &str) -> bool {
    let mut parts = value.split(['-', '_']);
    is_uuid(value)
        || is_date(value)
        || value.parse::<IpAddr>().is_ok()
        || parts.any(|part| is_version(part) || is_generated(part))
}

/// Returns a name without the parts that its maker added for one release or run: `hello-00001` is `hello`. Returns
/// `None` if there is no such part, or nothing else.
pub fn without_generated_parts(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('-').collect();
    let last = parts.len().saturating_sub(1);
    let kept: Vec<&str> = parts
        .iter()
        .enumerate()
        .filter(|(place, part)| {
            let generated = is_generated(part) || (*place > 0 && is_generated_suffix(part));
            // A run's name may have something behind its suffix, a revision's number is at the end.
            !(generated && (*place == last || is_generated(part) || is_random(part)))
        })
        .map(|(_, part)| *part)
        .collect();
    let kept = kept.join("-");
    (!kept.is_empty() && kept.len() < name.len()).then_some(kept)
}

/// A part that is generated wherever it stands: a commit, a hash of a template, a long number such as a time.
fn is_generated(part: &str) -> bool {
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    let hex = part
        .bytes()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let mixed = digits > 0 && digits < part.len();
    (hex && mixed && part.len() >= 7)
        || (digits == part.len() && part.len() >= 8)
        || (mixed && is_safe_encoded(part) && (8..=10).contains(&part.len()))
}

/// A part that is generated if it ends a name: five letters and digits as the API server makes them, or a number with
/// leading zeros, as Knative counts its revisions.
fn is_generated_suffix(part: &str) -> bool {
    let number = part.bytes().all(|b| b.is_ascii_digit());
    is_random(part) || (number && part.len() >= 3 && part.starts_with('0'))
}

fn is_random(part: &str) -> bool {
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    part.len() == 5 && digits > 0 && digits < 5 && is_safe_encoded(part)
}

/// The alphabet of generated names (`k8s.io/apimachinery/pkg/util/rand`): no vowels, and no 0, 1 and 3.
fn is_safe_encoded(part: &str) -> bool {
    part.bytes()
        .all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b))
}

/// `1.4`, `v1.4.2`, `1.4.2+build`, `2.0.0-rc1`; not `v1`, which is often the name of an interface.
fn is_version(value: &str) -> bool {
    let value = value.strip_prefix(['v', 'V']).unwrap_or(value);
    let numbers = value.split(['-', '+', '_']).next().unwrap_or_default();
    let parts: Vec<&str> = numbers.split('.').collect();
    let number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let count = parts.iter().take_while(|part| number(part)).count();
    count >= 2
}

/// `2026-11-29`, with or without a time behind it.
fn is_date(value: &str) -> bool {
    let bytes = value.as_bytes();
    let digits = |from: usize, to: usize| {
        bytes
            .get(from..to)
            .is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    let dash = |at: usize| matches!(bytes.get(at), Some(b'-' | b'_' | b'.'));
    digits(0, 4) && dash(4) && digits(5, 7) && dash(7) && digits(8, 10)
}

fn is_uuid(value: &str) -> bool {
    let lengths: Vec<usize> = value.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && value.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
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

    #[test]
    fn values_of_releases_are_told_by_their_shape() {
        for value in [
            "1.4.2",
            "v1.4",
            "1.4.2-88fe",
            "75ba3d3d",
            "cart-579fb88b58",
            "web-5d4f8c7b9",
            "hello-00001",
            "2026-11-29",
            "20261129",
            "1764432000",
            "0f8fad5b-d9cb-469f-a165-70867728950e",
            "redis-7.2.1",
            "run-x7k2p",
            "10.0.0.7",
        ] {
            assert!(is_of_a_release(value), "{value}");
        }
        for value in [
            "web",
            "v1",
            "web-v2",
            "s3-gateway",
            "k8s",
            "orders-db-1",
            "postgres-15",
            "decade",
            "arm64",
            "h264",
            "ingress-nginx",
            "x",
            "1",
            "",
            "argo-cd",
            "web2",
            "node-07",
        ] {
            assert!(!is_of_a_release(value), "{value}");
        }
    }

    #[test]
    fn what_a_maker_adds_to_a_name_is_taken_away() {
        for (name, rest) in [
            ("hello-00001", Some("hello")),
            ("runner-x7k2p", Some("runner")),
            ("p-x7k2p-build", Some("p-build")),
            ("cart-579fb88b58", Some("cart")),
            ("etl-main", None),
            ("web-0", None),
            ("75ba3d3d", None),
        ] {
            assert_eq!(without_generated_parts(name).as_deref(), rest, "{name}");
        }
    }
}
