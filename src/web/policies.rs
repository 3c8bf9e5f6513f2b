//! Policies as YAML, and the difference of two of them by lines.

use crate::report::diff::{DiffLine, diff};
use k8s_openapi::api::networking::v1::NetworkPolicySpec;
use maud::{Markup, html};

/// A policy's spec as YAML.
pub fn yaml(spec: &NetworkPolicySpec) -> String {
    // A value of the API's own types always has a YAML form.
    serde_yaml::to_string(spec).unwrap_or_default()
}

/// The lines that differ between two specs, with some around them.
pub fn changes(before: Option<&NetworkPolicySpec>, after: &NetworkPolicySpec) -> Markup {
    let (before, after) = (before.map(yaml).unwrap_or_default(), yaml(after));
    html! {
        pre.diff {
            @for line in diff(&before, &after) {
                @match line {
                    DiffLine::Same(same) => { "  " (same) }
                    DiffLine::Removed(removed) => del { "- " (removed) },
                    DiffLine::Added(added) => ins { "+ " (added) },
                    DiffLine::Skipped(count) => i { "  … " (count) " lines the same" },
                }
                "\n"
            }
        }
        "\n"
    }
}
