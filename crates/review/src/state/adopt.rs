//! Adoption: a policy that is in the cluster already becomes an approved revision, if a person approves it.

use super::{DesiredPolicy, WorkloadState};
use crate::Assessment;
use crate::digest::policy_digest;
use k8s_openapi::api::networking::v1::NetworkPolicySpec;
use nanoseg_net::Timestamp;
use nanoseg_record::{Digest, Entry};

impl WorkloadState {
    /// Whether a policy of this name is one that was ever approved here, whatever it says by now.
    pub fn knows_its_policy(&self) -> bool {
        !self.revisions.is_empty()
    }

    /// Whether its adoption is to be proposed: it is not, and nobody has refused that.
    pub fn may_adopt(&self, found: &NetworkPolicySpec) -> bool {
        if self.knows_its_policy() {
            return false;
        }
        let digest = policy_digest(found);
        match self.open() {
            Some(open) if open.adopts => policy_digest(&open.policy) != digest,
            _ => !self.was_refused(&digest),
        }
    }

    /// Proposes to adopt the policy that is in the cluster. Another open proposal makes room: it was made as if there
    /// were no policy. The adoption stays as it is until it is decided, and is never approved automatically.
    pub fn adopt(
        &mut self,
        found: NetworkPolicySpec,
        assessment: Assessment,
        now: Timestamp,
        record: &mut Vec<Entry>,
    ) {
        self.withdraw("its policy in the cluster is to be adopted", now, record);
        let desired = DesiredPolicy {
            policy: found,
            // Nothing has this basis, so the next pass assesses it again.
            basis: Digest::of_bytes(b"adopted"),
            asked_by_blocked: false,
            is_changed: false,
            temporary: None,
        };
        self.propose(desired, assessment, now, record);
        if let Some(open) = self.open_mut() {
            open.adopts = true;
        }
    }

    /// Closes the proposal to adopt a policy that is not in the cluster any more. Returns true if there was one.
    pub fn withdraw_adoption(&mut self, now: Timestamp, record: &mut Vec<Entry>) -> bool {
        let adopts = self.open().is_some_and(|open| open.adopts);
        if adopts {
            self.withdraw("the policy is not in the cluster any more", now, record);
        }
        adopts
    }
}
