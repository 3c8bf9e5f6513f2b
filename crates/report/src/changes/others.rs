//! Policies that nanoseg does not judge, or not wholly: those that differ are listed, without what they open.

use super::MOST;
use crate::escape::{code, markdown as text};
use crate::markdown::{heading, table};
use crate::sarif::{Found, Level, Place, Rule};
use crate::words::thousands;
use nanoseg_inventory::OtherPolicy;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A policy that differs and is not judged, or not wholly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotJudged {
    pub kind: String,
    /// `namespace/name`, or the name alone of a cluster-wide policy.
    pub policy: String,
    /// `added`, `changed` or `removed`.
    pub way: &'static str,
    /// Where it is written: after, or before if it was removed.
    pub file: String,
    /// What of it is not judged; empty for a kind of which nothing is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

impl fmt::Display for NotJudged {
    /// `CiliumNetworkPolicy shop/web is added: not judged (spec.egress[0].toGroups is not judged)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} is {}: not judged",
            self.kind, self.policy, self.way
        )?;
        if self.fields.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", self.fields.join(", "))
    }
}

/// The policies of other kinds that differ; if one occurs in several versions, the last counts.
pub fn not_judged(before: &[OtherPolicy], after: &[OtherPolicy]) -> Vec<NotJudged> {
    let by_name = |policies: &'_ [OtherPolicy]| -> BTreeMap<String, usize> {
        let named = policies.iter().enumerate();
        named.map(|(at, one)| (one.to_string(), at)).collect()
    };
    let (old, new) = (by_name(before), by_name(after));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let of = |name: &String| {
        let was = old.get(name).and_then(|at| before.get(*at));
        let is = new.get(name).and_then(|at| after.get(*at));
        let (way, one) = match (was, is) {
            (Some(was), Some(is)) if was.is_same_as(is) => return None,
            (Some(_), Some(is)) => ("changed", is),
            (None, Some(is)) => ("added", is),
            (Some(was), None) => ("removed", was),
            (None, None) => return None,
        };
        Some(NotJudged {
            kind: one.kind.clone(),
            policy: one.name.clone(),
            way,
            file: one.file.clone(),
            fields: one.fields.clone(),
        })
    };
    names.into_iter().filter_map(of).collect()
}

pub(super) const RULE: Rule = Rule {
    id: "policy-not-judged",
    level: Level::Error,
    means: "The change touches a policy that nanoseg does not judge, or fields of one: what they open is not known.",
    remedy: "Review it by hand, or say the same in a NetworkPolicy of networking.k8s.io.",
};

/// A section of its own; empty if none differ.
pub(super) fn markdown(out: &mut String, not_judged: &[NotJudged]) {
    if not_judged.is_empty() {
        return;
    }
    heading(out, 3, "Not judged");
    out.push_str("What these open and close is not known, or not all of it.\n\n");
    let row = |one: &NotJudged| {
        vec![
            text(&one.kind),
            code(&one.policy),
            one.way.to_owned(),
            code(&one.file),
            text(&one.fields.join(", ")),
        ]
    };
    let rows: Vec<Vec<String>> = not_judged.iter().take(MOST).map(row).collect();
    table(out, &["kind", "policy", "is", "file", "fields"], &rows);
    if let Some(more) = not_judged.len().checked_sub(MOST).filter(|n| *n > 0) {
        out.push_str(&format!("\n… and {} more.\n", thousands(more as u64)));
    }
}

/// One finding for each; `file` maps a file to its path in the repository.
pub(super) fn found(not_judged: &[NotJudged], file: impl Fn(&str) -> Place) -> Vec<Found> {
    let one = |one: &NotJudged| Found {
        rule: &RULE,
        message: one.to_string(),
        places: vec![file(&one.file)],
        subject: one.policy.clone(),
        identity: one.to_string(),
    };
    not_judged.iter().map(one).collect()
}
