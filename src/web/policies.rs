//! Policies as YAML, and two of them line by line.

use super::html::text;
use crate::report::lines::{Line, diff};
use k8s_openapi::api::networking::v1::NetworkPolicySpec;

/// A policy's spec as YAML.
pub fn yaml(spec: &NetworkPolicySpec) -> String {
    // A value of the API's own types always has a YAML form.
    serde_yaml::to_string(spec).unwrap_or_default()
}

/// What changes in the text, as HTML.
pub fn changes(before: Option<&NetworkPolicySpec>, after: &NetworkPolicySpec) -> String {
    let (before, after) = (before.map(yaml).unwrap_or_default(), yaml(after));
    let line = |line: Line| match line {
        Line::Same(same) => format!("  {}\n", text(same)),
        Line::Removed(removed) => format!("<del>- {}</del>\n", text(removed)),
        Line::Added(added) => format!("<ins>+ {}</ins>\n", text(added)),
        Line::Skipped(count) => format!("<i>  … {count} lines the same</i>\n"),
    };
    let lines: String = diff(&before, &after).into_iter().map(line).collect();
    format!("<pre class=\"diff\">{lines}</pre>\n")
}
