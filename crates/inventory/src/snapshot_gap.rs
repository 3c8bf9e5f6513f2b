//! What a snapshot says itself that it lacks (rule: snapshot-gap-is-reported). `nanoseg snapshot` writes it as an
//! object among the others, of kind `SnapshotGap` in `nanoseg.dev/v1alpha1`.

use nanoseg_finding::{Code, Finding};
use serde::{Deserialize, Serialize};

/// Kinds that could not be read, namespaces that were not asked for, or a time whose changes were missed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotGap {
    #[serde(default)]
    pub spec: SnapshotGapSpec,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotGapSpec {
    /// `nodes`, `pods in shop`, `changes of pods`.
    #[serde(default)]
    pub lacks: String,
    /// What is not known without it.
    #[serde(default)]
    pub meaning: String,
    /// Of a time: from when, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Of a time: until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl SnapshotGap {
    /// The API of its kind.
    pub const GROUP: &'static str = "nanoseg.dev";
    pub const KIND: &'static str = "SnapshotGap";

    /// Each gap as a finding.
    pub fn findings(gaps: &[SnapshotGap]) -> impl Iterator<Item = Finding> + '_ {
        gaps.iter().map(|gap| {
            let SnapshotGapSpec {
                lacks,
                meaning,
                from,
                to,
            } = &gap.spec;
            let time = match (from, to) {
                (Some(from), Some(to)) => format!(" from {from} to {to}"),
                _ => String::new(),
            };
            let message = format!("lacks {lacks}{time}: {meaning}");
            Finding::new(Code::IncompleteSnapshot, "snapshot", message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Inventory, Objects, OwnerRule};

    #[test]
    fn what_a_snapshot_says_that_it_lacks_is_a_finding() {
        let gap = |from: Option<&str>, to: Option<&str>| SnapshotGap {
            spec: SnapshotGapSpec {
                lacks: "nodes".into(),
                meaning: "they are not known".into(),
                from: from.map(str::to_owned),
                to: to.map(str::to_owned),
            },
        };
        let objects = Objects {
            gaps: vec![gap(None, None), gap(Some("10:00"), Some("10:05"))],
            ..Objects::default()
        };
        let (_, findings) = Inventory::build(&objects, OwnerRule::Infer);
        let gaps = findings
            .iter()
            .filter(|one| one.code == Code::IncompleteSnapshot);
        let messages: Vec<&str> = gaps.map(|one| one.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "lacks nodes: they are not known",
                "lacks nodes from 10:00 to 10:05: they are not known"
            ]
        );
    }
}
