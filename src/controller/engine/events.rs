//! Publishes new lines of the record as Events on the objects concerned, where `kubectl describe` shows them.

use crate::cluster::live::{Events, Severity, Watches};
use crate::controller::pending_writes::key_of;
use crate::review::record::{Action, Entry};
use crate::review::resources::{GROUP, Segmentation};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;

/// Publishes the entries. An Event that cannot be published is logged and dropped: the record has it.
pub async fn publish_events(entries: &[Entry], watches: &Watches, events: &Events) {
    for entry in entries {
        let Some((severity, reason, action)) = words(entry.draft.action) else {
            continue;
        };
        let note = note(entry);
        for about in about(entry, watches) {
            events
                .publish(&about, severity, reason, action, &note)
                .await;
        }
    }
}

/// Returns severity, reason and action of the Event for an action. `None` for actions that proposals show anyway.
fn words(action: Action) -> Option<(Severity, &'static str, &'static str)> {
    use Severity::{Normal, Warning};
    Some(match action {
        Action::Proposed => (Normal, "PolicyProposed", "Propose"),
        Action::Approved | Action::AutoApproved => (Normal, "PolicyApproved", "Decide"),
        Action::Rejected => (Normal, "PolicyRejected", "Decide"),
        Action::DecisionRefused => (Warning, "DecisionRefused", "Decide"),
        Action::Applied | Action::Adopted => (Normal, "PolicyApplied", "Apply"),
        Action::Deleted => (Normal, "PolicyDeleted", "Delete"),
        Action::DriftRepaired => (Warning, "DriftRepaired", "Repair"),
        Action::DriftGivenUp => (Warning, "DriftPersists", "Repair"),
        Action::RolledBack => (Normal, "PolicyRolledBack", "RollBack"),
        Action::AutoRolledBack => (Warning, "PolicyRolledBack", "RollBack"),
        Action::BreakGlassOn => (Warning, "GlassBroken", "BreakGlass"),
        Action::BreakGlassOff => (Normal, "GlassMended", "BreakGlass"),
        Action::Violation => (Warning, "Violation", "Judge"),
        Action::ModeChanged => (Normal, "ModeChanged", "Segment"),
        Action::Exported => (Normal, "PoliciesExported", "Export"),
        Action::Superseded | Action::SegmentationAdded | Action::SegmentationRemoved => {
            return None;
        }
    })
}

fn note(entry: &Entry) -> String {
    let draft = &entry.draft;
    let mut note = draft.object.clone();
    if draft.actor != crate::review::CONTROLLER {
        note = format!("{note}, by {}", draft.actor);
    }
    if draft.reason.is_empty() {
        return note;
    }
    format!("{note}: {}", draft.reason)
}

/// Returns the objects that an entry concerns: the namespace's Segmentation, and the policy if it is in the cluster.
fn about(entry: &Entry, watches: &Watches) -> Vec<ObjectReference> {
    let namespace = &entry.draft.namespace;
    let segmentations = watches.segmentations();
    let segmentation = segmentations
        .iter()
        .find(|s| key_of(&s.metadata).0 == *namespace);
    let policies = watches.policies();
    let key = (namespace.clone(), entry.draft.object.clone());
    let policy = policies.iter().find(|p| key_of(&p.metadata) == key);
    let segmentation = segmentation.map(|s| ObjectReference {
        api_version: Some(format!("{GROUP}/v1alpha1")),
        kind: Some(Segmentation::kind(&()).into_owned()),
        namespace: s.metadata.namespace.clone(),
        name: s.metadata.name.clone(),
        uid: s.metadata.uid.clone(),
        ..ObjectReference::default()
    });
    let policy = policy.map(|p| p.object_ref(&()));
    segmentation.into_iter().chain(policy).collect()
}
