//! Objects that are there and that cannot be read as their kind (rule: malformed-object-is-a-finding). Each stops
//! nothing but itself.

use super::Kind;
use super::store::Key;
use crate::finding::{Code, Finding};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The most objects that are kept by name; more are only counted.
const MOST: usize = 1000;
/// The most lines of the log in a minute.
const LINES: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// An object that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    pub kind: Kind,
    /// Empty if it belongs to the cluster.
    pub namespace: String,
    pub name: String,
    pub uid: Option<String>,
    /// True if it has our label.
    pub is_ours: bool,
    /// The field that is refused; empty: the object as a whole.
    pub field: String,
    pub problem: String,
}

impl Malformed {
    /// `Pod shop/web-1`.
    pub fn subject(&self) -> String {
        match self.namespace.as_str() {
            "" => format!("{} {}", self.kind, self.name),
            namespace => format!("{} {namespace}/{}", self.kind, self.name),
        }
    }

    pub fn finding(&self) -> Finding {
        let place = match self.field.as_str() {
            "" => "the object",
            field => field,
        };
        let message = format!(
            "cannot be read: {place}: {}; {}",
            self.problem,
            self.remedy()
        );
        Finding::new(Code::MalformedObject, self.subject(), message)
    }

    /// What an operator can do.
    fn remedy(&self) -> &'static str {
        match self.kind {
            Kind::Segmentation => {
                "what was approved stays in force; correct it with kubectl edit, as kubectl explain segmentation.spec says"
            }
            Kind::PolicyProposal => "the controller makes it anew",
            Kind::ProposalDecision => "nothing was decided; delete it and decide again",
            _ => "no policies are proposed in its namespace meanwhile; correct the field",
        }
    }
}

/// The malformed objects of all kinds.
#[derive(Debug, Default)]
pub struct MalformedObjects {
    known: BTreeMap<(Kind, Key), Malformed>,
    /// How many are not in `known`, by kind.
    beyond: BTreeMap<Kind, u64>,
    /// Lines of the log since.
    lines: Option<(Instant, u32)>,
}

impl MalformedObjects {
    /// Notes one, and logs it if it is new. Returns true if it is new or was wrong in another way.
    pub fn add(&mut self, one: Malformed, now: Instant) -> bool {
        let key = (one.kind, (one.namespace.clone(), one.name.clone()));
        if self.known.get(&key) == Some(&one) {
            return false;
        }
        if self.known.len() >= MOST && !self.known.contains_key(&key) {
            *self.beyond.entry(one.kind).or_default() += 1;
            return true;
        }
        if self.may_log(now) {
            let finding = one.finding();
            tracing::warn!("{} {}", finding.subject, finding.message);
        }
        self.known.insert(key, one);
        true
    }

    fn may_log(&mut self, now: Instant) -> bool {
        let (since, lines) = self
            .lines
            .filter(|(since, _)| now.duration_since(*since) < MINUTE)
            .unwrap_or((now, 0));
        self.lines = Some((since, lines.saturating_add(1)));
        lines < LINES
    }

    /// The object is gone, or can be read. Returns true if it was malformed.
    pub fn forget(&mut self, kind: Kind, key: &Key) -> bool {
        !self.known.is_empty() && self.known.remove(&(kind, key.clone())).is_some()
    }

    /// A complete list of the kind was read: only these are left. Returns true if that is new.
    pub fn replace(&mut self, kind: Kind, these: Vec<Malformed>, now: Instant) -> bool {
        let is_among = |key: &Key| {
            let mut these = these.iter();
            these.any(|one| (&one.namespace, &one.name) == (&key.0, &key.1))
        };
        let before = self.known.len();
        self.known
            .retain(|(of, key), _| *of != kind || is_among(key));
        self.beyond.remove(&kind);
        let mut changed = self.known.len() != before;
        for one in these {
            changed |= self.add(one, now);
        }
        changed
    }

    pub fn all(&self) -> Vec<Malformed> {
        self.known.values().cloned().collect()
    }

    /// How many there are, by kind.
    pub fn counts(&self) -> BTreeMap<Kind, u64> {
        let mut counts = self.beyond.clone();
        for (kind, _) in self.known.keys() {
            *counts.entry(*kind).or_default() += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn malformed(number: usize) -> Malformed {
        Malformed {
            kind: Kind::Pod,
            namespace: "shop".into(),
            name: format!("web-{number}"),
            uid: None,
            is_ours: false,
            field: "spec.hostNetwork".into(),
            problem: "expected a boolean".into(),
        }
    }

    #[test]
    fn they_are_bounded_counted_and_forgotten() {
        let now = Instant::now();
        let mut all = MalformedObjects::default();
        (0..MOST + 5).for_each(|number| {
            all.add(malformed(number), now);
        });
        assert_eq!(all.all().len(), MOST);
        assert_eq!(all.counts()[&Kind::Pod], MOST as u64 + 5);
        assert!(!all.add(malformed(0), now), "it is known");
        assert!(all.forget(Kind::Pod, &("shop".into(), "web-0".into())));
        assert!(all.replace(Kind::Pod, vec![malformed(7)], now));
        assert_eq!(all.counts()[&Kind::Pod], 1);
        assert!(all.replace(Kind::Pod, Vec::new(), now));
        assert_eq!(all.counts(), BTreeMap::new());
    }

    #[test]
    fn the_log_has_a_limited_number_of_lines_a_minute() {
        let now = Instant::now();
        let mut all = MalformedObjects::default();
        let logged = (0..100).filter(|_| all.may_log(now)).count();
        assert_eq!(logged, LINES as usize);
        assert!(all.may_log(now + MINUTE));
    }

    #[test]
    fn the_finding_names_kind_object_field_and_remedy() {
        let finding = malformed(1).finding();
        assert_eq!(finding.subject, "Pod shop/web-1");
        let wanted = [
            "spec.hostNetwork",
            "expected a boolean",
            "correct the field",
        ];
        assert!(wanted.iter().all(|word| finding.message.contains(word)));
    }
}
