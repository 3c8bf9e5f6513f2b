//! Names of outside servers, and patterns of them.

use nanoseg_policy_kinds::cilium::CiliumFqdn;

/// `*.` stands for one or more whole labels (DomainName).
pub(super) fn domain_matches(pattern: &str, name: &str) -> bool {
    let pattern = pattern.trim_end_matches('.').to_ascii_lowercase();
    match pattern.strip_prefix('*') {
        Some(rest) => name.len() > rest.len() && name.ends_with(rest),
        None => name == pattern,
    }
}

/// Source: Cilium 1.20, `pkg/fqdn/matchpattern`: `*` stands for characters of one label, `**.` for labels, and `*` alone
/// for every name.
pub(super) fn fqdn_matches(wanted: &CiliumFqdn, name: &str) -> bool {
    let clean = |text: &str| text.trim_end_matches('.').to_ascii_lowercase();
    if let Some(exact) = wanted.match_name.as_deref().filter(|text| !text.is_empty()) {
        return clean(exact) == name;
    }
    let Some(pattern) = wanted.match_pattern.as_deref().map(clean) else {
        return false;
    };
    match pattern.strip_prefix("**.") {
        _ if pattern.is_empty() => false,
        _ if pattern.chars().all(|one| one == '*') => true,
        Some(rest) => name
            .match_indices('.')
            .any(|(at, _)| glob(rest, &name[at + 1..])),
        None => glob(&pattern, name),
    }
}

/// `*` stands for any characters but dots, so each label has its own pattern.
fn glob(pattern: &str, name: &str) -> bool {
    let (mut patterns, mut labels) = (pattern.split('.'), name.split('.'));
    loop {
        match (patterns.next(), labels.next()) {
            (None, None) => return true,
            (Some(pattern), Some(label)) if label_matches(pattern, label) => {}
            _ => return false,
        }
    }
}

/// Each part between two stars is looked for behind the one before it, once: the time is bounded, whatever the pattern.
fn label_matches(pattern: &str, label: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == label;
    };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let inner = label
        .strip_prefix(first)
        .and_then(|rest| rest.strip_suffix(last));
    let Some(mut inner) = inner else { return false };
    for part in middle.split('*') {
        let Some(at) = inner.find(part) else {
            return false;
        };
        inner = &inner[at + part.len()..];
    }
    true
}
