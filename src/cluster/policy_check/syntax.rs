//! The syntax of names and labels: `k8s.io/apimachinery/pkg/util/validation`.

/// A port's name (IANA_SVC_NAME, RFC 6335 section 5.1): at most 15 small letters, digits and hyphens, with a letter.
pub fn is_port_name(text: &str) -> bool {
    (1..=15).contains(&text.len())
        && text.bytes().all(|b| is_small(b) || b == b'-')
        && text.bytes().any(|b| b.is_ascii_lowercase())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !text.contains("--")
}

/// A label of RFC 1123: a namespace's name.
pub fn is_dns_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| is_small(b) || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A subdomain of RFC 1123: a policy's name.
pub fn is_dns_subdomain(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| is_small(b) || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(part)
}

/// A label's key: a name, with an optional prefix that is a subdomain.
pub fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_dns_subdomain(prefix) && is_qualified(name),
        None => is_qualified(text),
    }
}

/// A label's value. It may be empty.
pub fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_qualified(text)
}

fn is_qualified(text: &str) -> bool {
    let end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
        && end(bytes.first())
        && end(bytes.last())
}

fn is_small(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}
