//! Who changed an object, as far as the object shows it.
//!
//! The API server writes the name of the authenticated user into no object. So a person who changes the spec of a
//! Segmentation, or the break-glass annotation of a namespace, adds the name to it, and the admission policies of
//! `deploy/base/admission` refuse another name than that of the request. Where they are not installed, the name is
//! only what somebody wrote. Where there is no name, `metadata.managedFields` has at least the program that wrote
//! the field, and when.

use super::resources::{BREAK_GLASS, BREAK_GLASS_BY, Segmentation};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use nanoseg_record::Actor;
use serde_json::Value;

/// Who last changed the spec of a Segmentation.
pub fn segmentation_changed_by(segmentation: &Segmentation) -> Actor {
    let name = segmentation.spec.changed_by.as_ref();
    named(name).unwrap_or_else(|| last_manager(&segmentation.metadata, owns_spec))
}

/// Who last set, changed or removed the break-glass annotation of the namespace with this metadata.
pub fn break_glass_changed_by(namespace: &ObjectMeta) -> Actor {
    let annotations = namespace.annotations.as_ref();
    let name = annotations.and_then(|all| all.get(BREAK_GLASS_BY));
    named(name).unwrap_or_else(|| last_manager(namespace, owns_break_glass))
}

/// Returns true if the field manager of this entry wrote fields of the spec.
pub fn owns_spec(entry: &ManagedFieldsEntry) -> bool {
    let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
    entry.subresource.is_none() && fields.is_some_and(|fields| fields.get("f:spec").is_some())
}

/// Returns true if the field manager of this entry wrote the break-glass annotation.
pub fn owns_break_glass(entry: &ManagedFieldsEntry) -> bool {
    let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
    let annotations = fields.and_then(|fields| fields.get("f:metadata")?.get("f:annotations"));
    annotations.is_some_and(|all: &Value| all.get(format!("f:{BREAK_GLASS}")).is_some())
}

fn named(name: Option<&String>) -> Option<Actor> {
    name.filter(|name| !name.is_empty()).map(Actor::user)
}

/// The field manager that wrote last, of those that wrote the field.
fn last_manager(metadata: &ObjectMeta, owns: fn(&ManagedFieldsEntry) -> bool) -> Actor {
    let entries = metadata.managed_fields.iter().flatten();
    let last = entries
        .filter(|entry| owns(entry))
        .max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
    match last.and_then(|entry| Some((entry.manager.clone()?, entry.time.as_ref()))) {
        Some((name, time)) => Actor::FieldManager {
            name,
            at: time.map(|time| time.0.into()),
        },
        None => Actor::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nanoseg_net::Timestamp;

    fn metadata(annotations: &str) -> ObjectMeta {
        let text = format!(
            "name: shop\nannotations: {annotations}\nmanagedFields:\n\
             - {{manager: kubectl-create, time: '2026-03-01T00:00:00Z', fieldsV1: {{f:metadata: {{f:labels: {{}}}}}}}}\n\
             - {{manager: kubectl-annotate, time: '2026-03-02T00:00:00Z', fieldsV1: {{f:metadata: {{f:annotations: {{f:nanoseg.dev/break-glass: {{}}}}}}}}}}\n\
             - {{manager: argocd, time: '2026-03-03T00:00:00Z', fieldsV1: {{f:metadata: {{f:annotations: {{f:other: {{}}}}}}}}}}\n"
        );
        serde_yaml::from_str(&text).expect("metadata")
    }

    #[test]
    fn who_breaks_the_glass_is_the_name_beside_it_or_the_program_that_wrote_it() {
        let signed = metadata("{nanoseg.dev/break-glass: x, nanoseg.dev/break-glass-by: olga}");
        assert_eq!(break_glass_changed_by(&signed), Actor::user("olga"));
        let at = "2026-03-02T00:00:00Z".parse::<jiff::Timestamp>().unwrap();
        let program = Actor::FieldManager {
            name: "kubectl-annotate".into(),
            at: Some(Timestamp::from(at)),
        };
        for annotations in [
            "{nanoseg.dev/break-glass: x}",
            "{nanoseg.dev/break-glass: x, nanoseg.dev/break-glass-by: ''}",
        ] {
            assert_eq!(break_glass_changed_by(&metadata(annotations)), program);
        }
        let bare = ObjectMeta::default();
        assert_eq!(break_glass_changed_by(&bare), Actor::Unknown);
    }

    #[test]
    fn who_changes_a_segmentation_is_the_name_in_it_or_the_program_that_wrote_the_spec_last() {
        let segmentation = |spec: &str| -> Segmentation {
            let text = format!(
                "metadata:\n  name: default\n  managedFields:\n\
                 \x20 - {{manager: nanoseg, time: '2026-03-09T00:00:00Z', subresource: status, fieldsV1: {{f:spec: {{}}}}}}\n\
                 \x20 - {{manager: kubectl-edit, time: '2026-03-03T00:00:00Z', fieldsV1: {{f:spec: {{f:mode: {{}}}}}}}}\n\
                 \x20 - {{manager: argocd, time: '2026-03-01T00:00:00Z', fieldsV1: {{f:spec: {{f:exclude: {{}}}}}}}}\n\
                 spec: {spec}"
            );
            serde_yaml::from_str(&text).expect("a Segmentation")
        };
        let signed = segmentation("{changedBy: olga}");
        assert_eq!(segmentation_changed_by(&signed), Actor::user("olga"));
        let unsigned = segmentation_changed_by(&segmentation("{}"));
        assert_eq!(unsigned.name(), "kubectl-edit");
        assert_eq!(unsigned.to_string(), "unknown (field manager kubectl-edit)");
    }
}
