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
        _ if pattern.chars().all(|one| one == '*') => true,
        Some(rest) => name
            .match_indices('.')
            .any(|(at, _)| glob(rest, &name[at + 1..])),
        None => glob(&pattern, name),
    }
}

/// `*` stands for any characters but dots.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(tail) = text.strip_prefix(before) else {
        return false;
    };
    let end = tail.find('.').unwrap_or(tail.len());
    (0..=end).any(|at| tail.is_char_boundary(at) && glob(rest, &tail[at..]))
}
