//! What nanoseg does not judge of a policy, by field.

use std::fmt;

/// How far a field is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LimitKind {
    /// The field is not known here, or has a value that is not known: what the rule opens or closes is not known.
    NotJudged,
    /// The rule is judged by address, port and protocol. It may allow less than that: requests, names or certificates
    /// decide as well.
    Layer4,
    /// The rule is judged by the addresses that its names were seen to have.
    SeenNames,
}

/// A field of a policy that is not judged, or not wholly.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Limit {
    /// Such as `spec.egress[0].toGroups`.
    pub field: String,
    pub kind: LimitKind,
}

impl Limit {
    /// A field that is not judged.
    pub fn not_judged(field: impl Into<String>) -> Limit {
        Limit {
            field: field.into(),
            kind: LimitKind::NotJudged,
        }
    }

    /// A field of names.
    pub fn seen_names(field: impl Into<String>) -> Limit {
        Limit {
            field: field.into(),
            kind: LimitKind::SeenNames,
        }
    }

    /// A field that is judged at layer 4.
    pub fn layer4(field: impl Into<String>) -> Limit {
        Limit {
            field: field.into(),
            kind: LimitKind::Layer4,
        }
    }
}

impl fmt::Display for Limit {
    /// `spec.egress[0].toGroups is not judged`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            LimitKind::NotJudged => write!(f, "{} is not judged", self.field),
            LimitKind::SeenNames => write!(
                f,
                "{} is judged by the addresses that were seen of its names",
                self.field
            ),
            LimitKind::Layer4 => write!(f, "{} is judged by address and port only", self.field),
        }
    }
}
