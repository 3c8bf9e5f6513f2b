//! Names in the messages of findings.

use std::collections::BTreeSet;

/// How many examples a finding carries.
pub(super) const SAMPLES: usize = 5;

/// `a, b, c and 4 more`.
pub(super) fn list(items: &BTreeSet<String>) -> String {
    let shown: Vec<&str> = items.iter().take(SAMPLES).map(String::as_str).collect();
    let rest = items.len() - shown.len();
    let shown = shown.join(", ");
    if rest == 0 {
        shown
    } else {
        format!("{shown} and {rest} more")
    }
}
