//! The policies of other kinds, as they were listed last. What cannot be listed any more stays as it was.

use super::freshness::Stale;
use super::kinds::Kind;
use crate::inventory::Objects;
use crate::net::Timestamp;
use crate::policy_kinds::OtherKindPolicy;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is known of them.
pub struct KnownOtherKinds {
    listed: Mutex<Objects>,
    /// Whether they were asked for at least once.
    is_asked: AtomicBool,
    started: Timestamp,
}

impl KnownOtherKinds {
    pub fn new(started: Timestamp) -> KnownOtherKinds {
        KnownOtherKinds {
            listed: Mutex::default(),
            is_asked: AtomicBool::new(false),
            started,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the policies, what is not judged of them, and the kinds that could not be listed.
    pub fn known(&self) -> Objects {
        self.lock().clone()
    }

    /// Checks that they were asked for: without them a verdict would be about another cluster.
    ///
    /// # Errors
    /// They were not asked for yet.
    pub fn check(&self) -> Result<(), Stale> {
        if self.is_asked.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(Stale {
            kind: Kind::NetworkPolicy,
            why: "policies of other kinds are not listed yet".into(),
            since: self.started,
        })
    }

    /// Records what was listed. Returns true if it differs from what was known.
    pub fn put(&self, mut listed: Objects) -> bool {
        let mut known = self.lock();
        if listed.unlisted.iter().any(|one| !one.kind.contains('.')) {
            // Which kinds there are is not known this time.
            let unlisted = std::mem::take(&mut listed.unlisted);
            listed = Objects {
                unlisted,
                ..known.clone()
            };
        } else {
            let is_unlisted = |policy: &&OtherKindPolicy| {
                let plural = policy.kind().plural();
                let mut kinds = listed.unlisted.iter().map(|one| one.kind.split('.').next());
                kinds.any(|kind| kind == Some(plural))
            };
            let kept = known.other_kinds.iter().filter(is_unlisted);
            let kept: Vec<OtherKindPolicy> = kept.cloned().collect();
            listed.other_kinds.extend(kept);
        }
        let is_same = known.other_kinds == listed.other_kinds
            && known.not_judged == listed.not_judged
            && known.unlisted == listed.unlisted;
        *known = listed;
        self.is_asked.store(true, Ordering::Release);
        !is_same
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::UnlistedKind;
    use crate::policy_kinds::OtherKind;
    use serde_json::json;

    fn listed(names: &[&str], unlisted: &[&str]) -> Objects {
        let policy = |name: &&str| {
            let object = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": {"endpointSelector": {}}});
            let read = OtherKindPolicy::read(OtherKind::CiliumNetworkPolicy, &object);
            read.expect("a policy").policy
        };
        let unlisted = unlisted.iter().map(|kind| UnlistedKind {
            kind: (*kind).to_owned(),
            reason: "forbidden".into(),
        });
        Objects {
            other_kinds: names.iter().map(policy).collect(),
            unlisted: unlisted.collect(),
            ..Objects::default()
        }
    }

    #[test]
    fn policies_of_other_kinds_that_cannot_be_listed_any_more_stay_as_they_were() {
        let known = KnownOtherKinds::new(Timestamp::MIN);
        assert!(known.check().is_err());
        assert!(known.put(listed(&["a", "b"], &[])));
        assert_eq!(known.check(), Ok(()));
        assert!(!known.put(listed(&["a", "b"], &[])), "nothing changed");
        for unlisted in ["ciliumnetworkpolicies.cilium.io", "policies of other kinds"] {
            assert!(known.put(listed(&[], &[unlisted])));
            let objects = known.known();
            assert_eq!(objects.other_kinds.len(), 2, "{unlisted}");
            assert_eq!(objects.unlisted.len(), 1);
        }
        assert!(known.put(listed(&["a"], &[])));
        let objects = known.known();
        assert_eq!((objects.other_kinds.len(), objects.unlisted.len()), (1, 0));
    }
}
