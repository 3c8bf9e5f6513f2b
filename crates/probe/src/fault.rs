//! Why a container for tries told nothing.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How many characters of another program's message are kept.
pub const MOST_WORDS: usize = 600;

/// Why a container for tries told nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Fault {
    /// The namespace's Pod Security level forbids the pod as it is.
    PodSecurity { message: String },
    /// The user may not add containers to pods.
    NotPermitted { message: String },
    /// The API server or an admission webhook refused it.
    Refused { message: String },
    /// The pod is gone, or another one has its name.
    PodGone,
    /// The image is not there and could not be pulled.
    Image { message: String },
    /// The node could not start it.
    NotStarted { message: String },
    /// It did not end in time.
    NoAnswer { seconds: u64 },
    /// It ended, and its message is no result.
    Nonsense { message: String },
}

impl Fault {
    /// Classifies the refusal of a patch by the API server's status code and message.
    pub fn of_refusal(code: u16, message: &str) -> Fault {
        let kept: String = message.chars().take(MOST_WORDS).collect();
        match code {
            404 | 409 => Fault::PodGone,
            // pod-security-admission v1.25–v1.36, admission.go: "violates PodSecurity %q: %s".
            _ if message.contains("violates PodSecurity") => Fault::PodSecurity { message: kept },
            // The authorizer's own words, which no admission plugin uses: "cannot patch resource".
            403 if message.contains("cannot patch resource") => {
                Fault::NotPermitted { message: kept }
            }
            _ => Fault::Refused { message: kept },
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Fault::PodSecurity { .. } => {
                "nanoseg's container keeps to the level \"restricted\", but the API server judges the whole pod again, and the \
                 pod itself does not keep to the level of its namespace: correct the pod's securityContext, or probe from \
                 other namespaces with -n"
            }
            Fault::NotPermitted { .. } => {
                "ask for the right to patch pods/ephemeralcontainers there: bind the ClusterRole nanoseg-prober (docs/probe.md)"
            }
            Fault::Refused { .. } => {
                "an admission rule of the cluster refuses the container: ask who keeps it for an exception for ephemeral \
                 containers of this image, or give another image with --image"
            }
            Fault::PodGone => "the pod was replaced meanwhile: run it again",
            Fault::Image { .. } => {
                "give an image that the nodes have or may pull with --image; it is pulled with the pod's own secrets"
            }
            Fault::NotStarted { .. } => "see: kubectl describe pod",
            Fault::NoAnswer { .. } => "give more time with --wait, or see: kubectl describe pod",
            Fault::Nonsense { .. } => {
                "the image must have this version of nanoseg: give it with --image"
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::PodSecurity { message } => write!(f, "Pod Security forbids it: {message}"),
            Fault::NotPermitted { message } => write!(f, "not permitted: {message}"),
            Fault::Refused { message } => write!(f, "refused: {message}"),
            Fault::PodGone => f.write_str("the pod is gone"),
            Fault::Image { message } => write!(f, "the image could not be pulled: {message}"),
            Fault::NotStarted { message } => write!(f, "the container did not start: {message}"),
            Fault::NoAnswer { seconds } => {
                write!(f, "the container did not end within {seconds} s")
            }
            Fault::Nonsense { message } => f.write_str(message),
        }
    }
}
