//! A label selector of a generated policy: equal labels and, if these do not distinguish workloads, keys that
//! must be absent and values that must not occur.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use std::collections::{BTreeMap, BTreeSet};

/// A label selector; all parts must match.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Selector {
    /// `matchLabels`.
    pub labels: BTreeMap<String, String>,
    /// Keys that a pod must not have (`DoesNotExist`).
    pub absent: BTreeSet<String>,
    /// Values that a key must not have (`NotIn`); a pod without the key is selected.
    pub excluded: BTreeMap<String, BTreeSet<String>>,
}

impl Selector {
    /// Returns the selector of the Kubernetes API. An empty one selects every pod of the namespace.
    pub fn to_api(&self) -> LabelSelector {
        let absent = self
            .absent
            .iter()
            .map(|key| requirement(key, "DoesNotExist", None));
        let excluded = self
            .excluded
            .iter()
            .map(|(key, values)| requirement(key, "NotIn", Some(values.iter().cloned().collect())));
        let mut expressions: Vec<_> = absent.chain(excluded).collect();
        expressions.sort_by(|a, b| (&a.key, &a.operator).cmp(&(&b.key, &b.operator)));
        LabelSelector {
            match_labels: (!self.labels.is_empty()).then(|| self.labels.clone()),
            match_expressions: (!expressions.is_empty()).then_some(expressions),
        }
    }
}

fn requirement(key: &str, operator: &str, values: Option<Vec<String>>) -> LabelSelectorRequirement {
    LabelSelectorRequirement {
        key: key.to_string(),
        operator: operator.to_string(),
        values,
    }
}
