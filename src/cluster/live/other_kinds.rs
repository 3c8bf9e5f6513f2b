//! The policies of other kinds of a cluster as it is now, of the kinds that are installed there
//! (rule: other-kinds-are-judged).
//!
//! Which kinds there are is asked anew each time, so one that is installed later is found. Whoever may not list a kind
//! learns that it is there: what was not seen is never nothing.

use super::snapshot::{list_page, other_kind_resources};
use crate::cluster::kinds::{Typed, other_kind};
use crate::inventory::{Objects, OtherPolicy, UnlistedKind};
use kube::api::{DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::{Api, Client};

/// Objects per page: an API server holds a whole page in memory.
const PAGE: u32 = 500;
/// The most objects of one kind that are read. A cluster has tens; more than these is a kind that is not listed.
const MOST: usize = 20_000;

/// Lists all policies of other kinds. What could not be listed is in [`Objects::unlisted`].
pub async fn list_other_kinds(client: &Client) -> Objects {
    let mut objects = Objects::default();
    let resources = match other_kind_resources(client).await {
        Ok(resources) => resources,
        // No API server without groups: one that has none of these.
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(error) => {
            objects.unlisted.push(UnlistedKind {
                kind: "policies of other kinds".into(),
                reason: reason(error),
            });
            Vec::new()
        }
    };
    for resource in resources {
        if let Err(reason) = list(client, &resource, &mut objects).await {
            let kind = match resource.group.as_str() {
                "" => resource.plural,
                group => format!("{}.{group}", resource.plural),
            };
            objects.unlisted.push(UnlistedKind { kind, reason });
        }
    }
    objects
}

fn reason(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message,
        error => error.to_string(),
    }
}

/// Adds the objects of one kind.
async fn list(
    client: &Client,
    resource: &ApiResource,
    objects: &mut Objects,
) -> Result<(), String> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), resource);
    let mut params = ListParams::default().limit(PAGE);
    let mut count = 0;
    loop {
        let page = match list_page(&api, false, &params).await {
            // It is not installed any more.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            other => other.map_err(reason)?,
        };
        count += page.items.len();
        if count > MOST {
            return Err(format!("there are more than {MOST}"));
        }
        page.items
            .into_iter()
            .for_each(|object| add(resource, object, objects));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(()),
        }
    }
}

fn add(resource: &ApiResource, object: DynamicObject, objects: &mut Objects) {
    let (kind, group) = (resource.kind.as_str(), resource.group.as_str());
    let mut tree = object.data;
    if let (Some(fields), Ok(metadata)) =
        (tree.as_object_mut(), serde_json::to_value(object.metadata))
    {
        fields.insert("metadata".into(), metadata);
    }
    let known = objects.not_judged.len();
    if let Typed::Skipped = other_kind(kind, group, &tree, objects)
        && objects.not_judged.len() == known
    {
        let other = OtherPolicy::of_object(kind, group, &tree);
        objects.not_judged.extend(other);
    }
    for one in objects.not_judged.iter_mut().skip(known) {
        one.file = "the cluster".into();
    }
}
