//! Finds the smallest set of labels that selects a workload and no other.

use super::BitSet;
use nanoseg_inventory::LabelNature;

/// With up to this many candidates all sets of three are tried; with more, only pairs, then a greedy search.
const TRIPLES_UP_TO: usize = 32;

/// A label that all pods of the workload have.
#[derive(Clone)]
pub(super) struct Candidate<'a> {
    pub key: &'a str,
    pub value: &'a str,
    /// Is true if it is one of the owner's `matchLabels`.
    pub owner: bool,
    /// Is true for a label that says nothing of the workload, or whose key is one of a release: it is never used alone
    /// if there is a better one.
    pub weak: bool,
    pub nature: LabelNature,
    /// The classes of other workloads that have the label too.
    pub shared_with: BitSet,
}

impl Candidate<'_> {
    /// Returns true if the next release, fail-over or user does not change it, as far as is known.
    pub fn lasts(&self) -> bool {
        self.nature == LabelNature::Lasting
    }

    /// Returns true if the label is never used alone if there is a better one.
    pub fn last_resort(&self) -> bool {
        !self.lasts() || self.weak
    }
}

/// Returns the smallest subset that no other class has completely; among equals the first in the order of
/// `candidates`. Returns `None` if some other class has all of them.
pub(super) fn smallest<'c, 'a>(candidates: &[&'c Candidate<'a>]) -> Option<Vec<&'c Candidate<'a>>> {
    let mut rest = candidates.first()?.shared_with.clone();
    for candidate in candidates {
        rest.keep(&candidate.shared_with);
    }
    if !rest.is_empty() {
        return None;
    }
    let anchored = candidates.iter().any(|c| !c.last_resort());
    let allowed = |set: &[&Candidate]| !anchored || set.iter().any(|c| !c.last_resort());
    singles(candidates, &allowed)
        .or_else(|| pairs(candidates, &allowed))
        .or_else(|| triples(candidates, &allowed))
        .or_else(|| Some(greedy(candidates)))
}

/// Returns the smallest subset that includes `anchor`. A label that other workloads may get later, such as a
/// component, is not used alone if the owner has a label of its own.
pub(super) fn extended<'c, 'a>(
    anchor: Option<&'c Candidate<'a>>,
    candidates: &[&'c Candidate<'a>],
) -> Option<Vec<&'c Candidate<'a>>> {
    let Some(anchor) = anchor else {
        return smallest(candidates);
    };
    let others: Vec<&'c Candidate<'a>> = candidates
        .iter()
        .copied()
        .filter(|c| c.key != anchor.key)
        .collect();
    let left: Vec<Candidate<'a>> = others
        .iter()
        .map(|other| {
            let mut shared_with = other.shared_with.clone();
            shared_with.keep(&anchor.shared_with);
            Candidate {
                shared_with,
                weak: false,
                nature: LabelNature::Lasting,
                ..**other
            }
        })
        .collect();
    let added = smallest(&left.iter().collect::<Vec<_>>())?;
    let added = added
        .iter()
        .filter_map(|a| others.iter().find(|o| o.key == a.key));
    Some(std::iter::once(anchor).chain(added.copied()).collect())
}

type Allowed<'f> = dyn Fn(&[&Candidate]) -> bool + 'f;

fn singles<'c, 'a>(all: &[&'c Candidate<'a>], allowed: &Allowed) -> Option<Vec<&'c Candidate<'a>>> {
    all.iter()
        .find(|c| c.shared_with.is_empty() && allowed(&[c]))
        .map(|c| vec![*c])
}

fn pairs<'c, 'a>(all: &[&'c Candidate<'a>], allowed: &Allowed) -> Option<Vec<&'c Candidate<'a>>> {
    all.iter().enumerate().find_map(|(i, a)| {
        all.iter()
            .skip(i + 1)
            .find(|b| !a.shared_with.meets(&b.shared_with) && allowed(&[a, b]))
            .map(|b| vec![*a, *b])
    })
}

fn triples<'c, 'a>(all: &[&'c Candidate<'a>], allowed: &Allowed) -> Option<Vec<&'c Candidate<'a>>> {
    if all.len() > TRIPLES_UP_TO {
        return None;
    }
    all.iter().enumerate().find_map(|(i, a)| {
        all.iter().enumerate().skip(i + 1).find_map(|(j, b)| {
            let mut both = a.shared_with.clone();
            both.keep(&b.shared_with);
            all.iter()
                .skip(j + 1)
                .find(|c| !both.meets(&c.shared_with) && allowed(&[a, b, c]))
                .map(|c| vec![*a, *b, *c])
        })
    })
}

/// Adds the label that leaves the fewest other classes until none is left, then removes labels that are not needed.
/// The result is exact whenever all labels together are exact.
fn greedy<'c, 'a>(all: &[&'c Candidate<'a>]) -> Vec<&'c Candidate<'a>> {
    let mut chosen: Vec<&'c Candidate<'a>> = Vec::new();
    let mut left: Option<BitSet> = None;
    while left.as_ref().is_none_or(|bits| !bits.is_empty()) {
        let remaining = |candidate: &Candidate| match &left {
            None => candidate.shared_with.count(),
            Some(bits) => {
                let mut bits = bits.clone();
                bits.keep(&candidate.shared_with);
                bits.count()
            }
        };
        let next = all
            .iter()
            .filter(|c| !chosen.iter().any(|d| d.key == c.key))
            .min_by_key(|c| (chosen.is_empty() && c.last_resort(), remaining(c)));
        let Some(next) = next else { break };
        match &mut left {
            None => left = Some(next.shared_with.clone()),
            Some(bits) => bits.keep(&next.shared_with),
        }
        chosen.push(next);
    }
    drop_redundant(&mut chosen);
    chosen
}

fn drop_redundant(chosen: &mut Vec<&Candidate>) {
    let mut place = chosen.len();
    while place > 1 {
        place -= 1;
        let mut without = chosen.iter().enumerate().filter(|(i, _)| *i != place);
        let Some((_, first)) = without.next() else {
            return;
        };
        let mut left = first.shared_with.clone();
        without.for_each(|(_, c)| left.keep(&c.shared_with));
        if left.is_empty() {
            chosen.remove(place);
        }
    }
}
