//! Publishes new lines of the record as Events on the objects concerned, where `kubectl describe` shows them.

use crate::cluster::live::{Events, Severity, Watches};
use crate::controller::pending_writes::key_of;
use crate::record::{ActionKind, Actor, RecordLine};
use crate::review::resources::{GROUP, Segmentation};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;

/// Publishes the lines. An Event that cannot be published is logged and dropped: the record has it.
pub async fn publish_events(lines: &[RecordLine], watches: &Watches, events: &Events) {
    for line in lines {
        let Some((severity, reason, action)) = words(line.entry.action.kind()) else {
            continue;
        };
        let note = note(line);
        for about in about(line, watches) {
            events
                .publish(&about, severity, reason, action, &note)
                .await;
        }
    }
}

/// Returns severity, reason and action of the Event for an action. `None` for actions that proposals show anyway.
fn words(action: ActionKind) -> Option<(Severity, &'static str, &'static str)> {
    use Severity::{Normal, Warning};
    Some(match action {
        ActionKind::Proposed => (Normal, "PolicyProposed", "Propose"),
        ActionKind::Approved | ActionKind::AutoApproved => (Normal, "PolicyApproved", "Decide"),
        ActionKind::Rejected => (Normal, "PolicyRejected", "Decide"),
        ActionKind::ConnectionsRejected => (Normal, "ConnectionsRejected", "Decide"),
        ActionKind::OpeningExpired => (Normal, "OpeningExpired", "Expire"),
        ActionKind::DecisionRefused => (Warning, "DecisionRefused", "Decide"),
        ActionKind::Applied | ActionKind::Adopted => (Normal, "PolicyApplied", "Apply"),
        ActionKind::Deleted => (Normal, "PolicyDeleted", "Delete"),
        ActionKind::DriftRepaired => (Warning, "DriftRepaired", "Repair"),
        ActionKind::DriftGivenUp => (Warning, "DriftPersists", "Repair"),
        ActionKind::RolledBack => (Normal, "PolicyRolledBack", "RollBack"),
        ActionKind::AutoRolledBack => (Warning, "PolicyRolledBack", "RollBack"),
        ActionKind::ApprovedTrafficBlocked => (Warning, "ApprovedTrafficBlocked", "Judge"),
        ActionKind::BreakGlassOn => (Warning, "GlassBroken", "BreakGlass"),
        ActionKind::BreakGlassOff => (Normal, "GlassMended", "BreakGlass"),
        ActionKind::Violation => (Warning, "Violation", "Judge"),
        ActionKind::ViolationWithdrawn => (Normal, "ViolationWithdrawn", "Judge"),
        ActionKind::ModeChanged => (Normal, "ModeChanged", "Segment"),
        ActionKind::RecordReset => (Warning, "StateAccepted", "TakeOver"),
        ActionKind::Exported => (Normal, "PoliciesExported", "Export"),
        ActionKind::Superseded
        | ActionKind::SegmentationAdded
        | ActionKind::SegmentationRemoved => {
            return None;
        }
    })
}

fn note(line: &RecordLine) -> String {
    let entry = &line.entry;
    let mut note = entry.object.clone();
    if entry.actor != Actor::Controller {
        note = format!("{note}, by {}", entry.actor);
    }
    if entry.reason.is_empty() {
        return note;
    }
    format!("{note}: {}", entry.reason)
}

/// Returns the objects that a line concerns: the namespace's Segmentation, and the policy if it is in the cluster.
fn about(line: &RecordLine, watches: &Watches) -> Vec<ObjectReference> {
    let namespace = &line.entry.namespace;
    let segmentations = watches.segmentations();
    let segmentation = segmentations
        .iter()
        .find(|s| key_of(&s.metadata).0 == *namespace);
    let policies = watches.policies();
    let key = (namespace.clone(), line.entry.object.clone());
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
