//! What the value of a label, or a name, shows by its shape: a release, or a part that a program generated
//! (rule: lasting-labels-select).

use std::net::IpAddr;

/// Returns true if a value shows by its shape that it belongs to one release: it names one, or ends with a generated
/// suffix.
pub fn is_of_a_release(value: &str) -> bool {
    let suffix = value.rsplit_once(['-', '_']).map(|(_, suffix)| suffix);
    names_a_release(value) || suffix.is_some_and(is_generated_suffix)
}

/// Returns true if a value names a release: it is or has a version, a commit, a date, a UUID, or an address.
pub fn names_a_release(value: &str) -> bool {
    let mut parts = value.split(['-', '_']);
    is_uuid(value)
        || is_date(value)
        || value.parse::<IpAddr>().is_ok()
        || parts.any(|part| is_version(part) || is_generated(part))
}

/// Returns a name without the parts that its maker added for one release or run: `hello-00001` is `hello`. Returns
/// `None` if there is no such part, or nothing else.
pub fn without_generated_parts(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('-').collect();
    let last = parts.len().saturating_sub(1);
    let kept: Vec<&str> = parts
        .iter()
        .enumerate()
        .filter(|(place, part)| {
            let generated = is_generated(part) || (*place > 0 && is_generated_suffix(part));
            // A run's name may have something behind its suffix, a revision's number is at the end.
            !(generated && (*place == last || is_generated(part) || is_random(part)))
        })
        .map(|(_, part)| *part)
        .collect();
    let kept = kept.join("-");
    (!kept.is_empty() && kept.len() < name.len()).then_some(kept)
}

/// A name without the five characters that the API server adds to a `generateName`. One in five has no digit among them
/// and looks like a word, so this is only for names of which something else shows that they are generated.
pub fn without_random(name: &str) -> Option<String> {
    let (before, random) = name.rsplit_once('-')?;
    (random.len() == 5 && is_safe_encoded(random) && !before.is_empty()).then(|| before.to_owned())
}

/// A part that is generated wherever it stands: a commit, a hash of a template, a long number such as a time.
fn is_generated(part: &str) -> bool {
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    let hex = part
        .bytes()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let mixed = digits > 0 && digits < part.len();
    (hex && mixed && part.len() >= 7)
        || (digits == part.len() && part.len() >= 8)
        || (mixed && is_safe_encoded(part) && (8..=10).contains(&part.len()))
}

/// A part that is generated if it ends a name: five letters and digits as the API server makes them, or a number with
/// leading zeros, as Knative counts its revisions.
fn is_generated_suffix(part: &str) -> bool {
    let number = part.bytes().all(|b| b.is_ascii_digit());
    is_random(part) || (number && part.len() >= 3 && part.starts_with('0'))
}

fn is_random(part: &str) -> bool {
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    part.len() == 5 && digits > 0 && digits < 5 && is_safe_encoded(part)
}

/// The alphabet of generated names (`k8s.io/apimachinery/pkg/util/rand`): no vowels, and no 0, 1 and 3.
fn is_safe_encoded(part: &str) -> bool {
    part.bytes()
        .all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b))
}

/// `1.4`, `v1.4.2`, `1.4.2+build`, `2.0.0-rc1`; not `v1`, which is often the name of an interface.
fn is_version(value: &str) -> bool {
    let value = value.strip_prefix(['v', 'V']).unwrap_or(value);
    let numbers = value.split(['-', '+', '_']).next().unwrap_or_default();
    let parts: Vec<&str> = numbers.split('.').collect();
    let number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let count = parts.iter().take_while(|part| number(part)).count();
    count >= 2
}

/// `2026-11-29`, with or without a time behind it.
fn is_date(value: &str) -> bool {
    let bytes = value.as_bytes();
    let digits = |from: usize, to: usize| {
        bytes
            .get(from..to)
            .is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    let dash = |at: usize| matches!(bytes.get(at), Some(b'-' | b'_' | b'.'));
    digits(0, 4) && dash(4) && digits(5, 7) && dash(7) && digits(8, 10)
}

fn is_uuid(value: &str) -> bool {
    let lengths: Vec<usize> = value.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && value.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_releases_are_told_by_their_shape() {
        for value in [
            "1.4.2",
            "v1.4",
            "1.4.2-88fe",
            "75ba3d3d",
            "cart-579fb88b58",
            "web-5d4f8c7b9",
            "hello-00001",
            "2026-11-29",
            "20261129",
            "1764432000",
            "0f8fad5b-d9cb-469f-a165-70867728950e",
            "redis-7.2.1",
            "run-x7k2p",
            "10.0.0.7",
        ] {
            assert!(is_of_a_release(value), "{value}");
        }
        for value in [
            "web",
            "v1",
            "web-v2",
            "s3-gateway",
            "k8s",
            "orders-db-1",
            "postgres-15",
            "decade",
            "arm64",
            "h264",
            "ingress-nginx",
            "x",
            "1",
            "",
            "argo-cd",
            "web2",
            "node-07",
        ] {
            assert!(!is_of_a_release(value), "{value}");
        }
    }

    #[test]
    fn what_a_maker_adds_to_a_name_is_taken_away() {
        for (name, rest) in [
            ("hello-00001", Some("hello")),
            ("runner-x7k2p", Some("runner")),
            ("p-x7k2p-build", Some("p-build")),
            ("cart-579fb88b58", Some("cart")),
            ("etl-main", None),
            ("web-0", None),
            ("75ba3d3d", None),
        ] {
            assert_eq!(without_generated_parts(name).as_deref(), rest, "{name}");
        }
    }
}
