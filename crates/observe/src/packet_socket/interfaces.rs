//! Which interfaces are watched: by choice of the operator, or all on which a pod's packet is seen.

use super::bpf_filter::InterfaceFilter;
use crate::rtnetlink::Link;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The interfaces to watch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Interfaces {
    /// All but loopback, bridges and dummies: a bridge shows what its ports show already, and nothing
    /// comes from elsewhere through the other two.
    #[default]
    Auto,
    /// All there are.
    Any,
    /// Those with one of these names; `*` means any characters and `?` means one. At least one.
    Named(Vec<String>),
}

impl FromStr for Interfaces {
    type Err = std::convert::Infallible;

    /// `auto`, `any`, or names and patterns with commas between them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names: Vec<String> = text
            .split(',')
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect();
        Ok(match names.as_slice() {
            [] => Interfaces::Auto,
            [one] if one == "auto" => Interfaces::Auto,
            [one] if one == "any" => Interfaces::Any,
            _ => Interfaces::Named(names),
        })
    }
}

impl fmt::Display for Interfaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Interfaces::Auto => f.write_str("auto"),
            Interfaces::Any => f.write_str("any"),
            Interfaces::Named(names) => f.write_str(&names.join(",")),
        }
    }
}

impl Interfaces {
    fn wants(&self, link: &Link) -> bool {
        match self {
            Interfaces::Auto => !link.loopback && link.kind != "bridge" && link.kind != "dummy",
            Interfaces::Any => true,
            Interfaces::Named(names) => names.iter().any(|name| matches(name, &link.name)),
        }
    }

    /// What the filter is to let through. Where names do not decide, interfaces that appear are seen
    /// at once, and not only when the filter is replaced.
    pub(super) fn filter(&self, links: &BTreeMap<u32, Link>) -> InterfaceFilter {
        let which = |wanted: bool| {
            links
                .iter()
                .filter(|(_, link)| self.wants(link) == wanted)
                .map(|(index, _)| *index)
                .collect()
        };
        match self {
            Interfaces::Named(_) => InterfaceFilter::Only(which(true)),
            Interfaces::Auto | Interfaces::Any => InterfaceFilter::Except(which(false)),
        }
    }

    /// The names (no patterns) without an interface.
    pub(super) fn missing(&self, links: &BTreeMap<u32, Link>) -> Vec<&str> {
        let Interfaces::Named(names) = self else {
            return Vec::new();
        };
        names
            .iter()
            .filter(|name| !name.contains(['*', '?']))
            .filter(|name| !links.values().any(|link| link.name == **name))
            .map(String::as_str)
            .collect()
    }

    /// Returns true if all that is wanted has gone for good: names without patterns, and none of them there.
    pub(super) fn nothing_left(&self, links: &BTreeMap<u32, Link>) -> bool {
        matches!(self, Interfaces::Named(names) if self.missing(links).len() == names.len())
    }
}

/// Returns true if a name fits a pattern with `*` and `?`.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // The place of the last star, and the end of what it matches in the name.
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = name.get(n) {
        match (pattern.get(p), star) {
            (Some(b'*'), _) => {
                star = Some((p, n));
                p += 1;
            }
            (Some(wanted), _) if wanted == byte || *wanted == b'?' => {
                p += 1;
                n += 1;
            }
            (_, Some((place, upto))) => {
                star = Some((place, upto + 1));
                (p, n) = (place + 1, upto + 1);
            }
            (_, None) => return false,
        }
    }
    pattern
        .get(p..)
        .unwrap_or(&[])
        .iter()
        .all(|rest| *rest == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links() -> BTreeMap<u32, Link> {
        [
            (1, "lo", "", true),
            (2, "eth0", "", false),
            (3, "cni0", "bridge", false),
            (4, "veth1", "veth", false),
            (5, "nodelocaldns", "dummy", false),
        ]
        .map(|(index, name, kind, loopback)| {
            let (name, kind) = (name.to_owned(), kind.to_owned());
            let link = Link {
                name,
                kind,
                loopback,
            };
            (index, link)
        })
        .into()
    }

    fn parse(text: &str) -> Interfaces {
        let Ok(parsed) = text.parse();
        parsed
    }

    #[test]
    fn auto_leaves_out_what_shows_nothing_of_its_own() {
        assert_eq!(
            parse("auto").filter(&links()),
            InterfaceFilter::Except(vec![1, 3, 5])
        );
        assert_eq!(
            parse("any").filter(&links()),
            InterfaceFilter::Except(vec![])
        );
        assert_eq!(
            parse("veth*, eth0").filter(&links()),
            InterfaceFilter::Only(vec![2, 4])
        );
    }

    #[test]
    fn only_names_can_be_missing_and_only_without_patterns_is_nothing_left() {
        assert_eq!(parse("eth1,veth9*").missing(&links()), ["eth1"]);
        assert!(
            !parse("eth1,veth9*").nothing_left(&links()),
            "pods may come"
        );
        assert!(!parse("eth1,eth0").nothing_left(&links()));
        assert!(parse("eth1,eth2").nothing_left(&links()));
        assert!(!parse("auto").nothing_left(&BTreeMap::new()));
    }

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, name, fits) in [
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("*", "", true),
            ("v*h?", "vethh1", true),
            ("v*h?", "veth", false),
            ("*a*b", "xaxxbab", true),
            ("*a*b", "xaxxba", false),
            ("?", "", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
