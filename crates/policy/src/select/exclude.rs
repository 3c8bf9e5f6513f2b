//! Selects a workload by labels that it does not have: if another workload has all of its labels and more, no
//! equal label excludes the other one, but `DoesNotExist` or `NotIn` does.

use super::index::{NamespaceIndex, WorkloadLabels};
use super::{BitSet, label};
use std::collections::{BTreeMap, BTreeSet};

/// A requirement that all pods of the workload meet and some other pods do not.
pub(super) struct Exclusion<'a> {
    pub key: &'a str,
    /// The values that must not occur. Empty if the key itself must not exist.
    pub values: BTreeSet<&'a str>,
    /// The classes that it excludes.
    pub removes: BitSet,
}

/// Returns true if a value of a key may be excluded.
type MayExclude<'f> = dyn Fn(&str, &str) -> bool + 'f;

/// Returns the fewest requirements (found greedily; at most one per key) that exclude as many of `shared_with` as
/// possible. `may_exclude` decides about values.
pub(super) fn choose<'a>(
    index: &NamespaceIndex<'a>,
    own: &WorkloadLabels<'a>,
    shared_with: &BitSet,
    may_exclude: &MayExclude,
) -> Vec<Exclusion<'a>> {
    let mut left = shared_with.clone();
    let mut options = options(index, own, shared_with, may_exclude);
    options.sort_by_key(|o| {
        (
            label::is_last_resort(o.key, ""),
            !o.values.is_empty(),
            label::rank(o.key),
            o.key,
        )
    });
    let mut chosen = Vec::new();
    while !left.is_empty() {
        let gain = |option: &Exclusion| {
            let mut removed = left.clone();
            removed.keep(&option.removes);
            removed.count()
        };
        let mut best: Option<(u32, usize)> = None;
        for (place, option) in options.iter().enumerate() {
            let gain = gain(option);
            if gain > best.map_or(0, |(most, _)| most) {
                best = Some((gain, place));
            }
        }
        let Some((_, place)) = best else { break };
        let option = options.remove(place);
        left.remove(&option.removes);
        chosen.push(option);
    }
    widen(&mut chosen, index, own);
    chosen
}

/// Adds to the chosen requirements the other classes that they exclude as well, so that fewer labels are needed.
fn widen(chosen: &mut [Exclusion], index: &NamespaceIndex, own: &WorkloadLabels) {
    if chosen.is_empty() {
        return;
    }
    for class in index.others(own).iter() {
        for (key, value) in index.labels(class) {
            for exclusion in chosen.iter_mut().filter(|e| e.key == *key) {
                if exclusion.values.is_empty() || exclusion.values.contains(value) {
                    exclusion.removes.insert(class);
                }
            }
        }
    }
}

fn options<'a>(
    index: &NamespaceIndex<'a>,
    own: &WorkloadLabels<'a>,
    shared_with: &BitSet,
    may_exclude: &MayExclude,
) -> Vec<Exclusion<'a>> {
    let mut options: BTreeMap<&'a str, Exclusion<'a>> = BTreeMap::new();
    for class in shared_with
        .iter()
        .filter(|class| !index.has_same_labels(*class, own))
    {
        for (key, value) in index.labels(class) {
            let values = own.values.get(key);
            if !label::may_exclude(key)
                || (values.is_some() && !may_exclude(key, value))
                || own.generated.contains(key)
                || values.is_some_and(|own| own.contains(value))
            {
                continue;
            }
            let option = options.entry(key).or_insert_with(|| Exclusion {
                key,
                values: BTreeSet::new(),
                removes: BitSet::empty(index.size()),
            });
            option.removes.insert(class);
            if values.is_some() {
                option.values.insert(value);
            }
        }
    }
    options.into_values().collect()
}
