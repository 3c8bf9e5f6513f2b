//! Checks a NetworkPolicy as the API server does when it is applied (rule: policy-as-the-api-server-takes-it): the
//! version, every field's name, and the values (k8s.io/kubernetes, `pkg/apis/networking/validation`, with
//! `fieldValidation: Strict`). Types are checked where the object is converted.

mod fields;
mod syntax;
mod values;

use super::field_path::FieldPath;
use serde_json::{Map, Value};
use std::fmt;

/// The only version in which an API server serves NetworkPolicies.
pub const POLICY_VERSION: &str = "networking.k8s.io/v1";

/// What is wrong with a NetworkPolicy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyProblem {
    pub path: FieldPath,
    pub what: Wrong,
}

/// Why the API server refuses a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// The version is not served, or the kind is misspelt.
    Version {
        kind: String,
        version: String,
    },
    /// No such field, and what was probably meant.
    UnknownField {
        hint: Option<fields::Hint>,
    },
    Value(values::BadValue),
}

impl fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        match &self.what {
            Wrong::Version { kind, version } if version.is_empty() => write!(
                f,
                "a {kind} without apiVersion is no policy that an API server takes; write apiVersion: {POLICY_VERSION}, \
                 kind: NetworkPolicy"
            ),
            Wrong::Version { kind, version } => write!(
                f,
                "no API server takes a {kind} of {version}; write apiVersion: {POLICY_VERSION}, kind: NetworkPolicy"
            ),
            Wrong::UnknownField { hint: Some(hint) } => {
                write!(f, "there is no such field; {hint}")
            }
            Wrong::UnknownField { hint: None } => f.write_str("there is no such field; remove it"),
            Wrong::Value(value) => value.fmt(f),
        }
    }
}

/// How an object's kind and version read as a NetworkPolicy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyKind {
    /// What nanoseg judges.
    Served,
    /// A version that no API server serves, or a kind that is written otherwise (`networkpolicy`, `NetworkPolicies`). Its fields are the
    /// same.
    NotServed,
    /// Something else, or a kind of that name in another project's group.
    Other,
}

impl PolicyKind {
    /// Groups that end in `.k8s.io`, and those without a dot, are Kubernetes' own.
    pub fn of(kind: &str, version: &str) -> PolicyKind {
        if kind == "NetworkPolicy" && version == POLICY_VERSION {
            return PolicyKind::Served;
        }
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let ours = !group.contains('.') || group.ends_with(".k8s.io");
        let letters = kind.chars().filter(char::is_ascii_alphabetic);
        let letters: String = letters.collect::<String>().to_ascii_lowercase();
        if ours && matches!(letters.as_str(), "networkpolicy" | "networkpolicies") {
            PolicyKind::NotServed
        } else {
            PolicyKind::Other
        }
    }
}

/// Returns true if an API server gave this object out: it has taken the fields and values once.
pub fn is_live(object: &Map<String, Value>) -> bool {
    let field = |field: &str| {
        let value = object
            .get("metadata")
            .and_then(|metadata| metadata.get(field));
        value
            .and_then(Value::as_str)
            .is_some_and(|text| !text.is_empty())
    };
    field("uid") || field("resourceVersion")
}

/// What is wrong with a policy, without its kind and version. The first problem comes first.
pub fn problems(object: &Map<String, Value>) -> Vec<PolicyProblem> {
    let mut found = fields::unknown(object);
    found.extend(values::invalid(object));
    found
}

#[cfg(test)]
mod tests;
