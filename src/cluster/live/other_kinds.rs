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

#[cfg(test)]
mod tests {
    use super::super::snapshot::Api;
    use super::*;
    use serde_json::{Value, json};

    const CILIUM: &str = "/apis/cilium.io/v2/ciliumnetworkpolicies";
    const TIERS: &str = "/apis/projectcalico.org/v3/tiers";
    const ADMIN: &str = "/apis/policy.networking.k8s.io/v1alpha1/adminnetworkpolicies";

    fn object(name: &str, spec: Value) -> Value {
        json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec})
    }

    fn installed() -> Api {
        let mut api = Api::default();
        api.kind(
            "cilium.io",
            "v2",
            "ciliumnetworkpolicies",
            "CiliumNetworkPolicy",
            true,
        );
        api.kind("projectcalico.org", "v3", "tiers", "Tier", false);
        api.kind(
            "policy.networking.k8s.io",
            "v1alpha1",
            "adminnetworkpolicies",
            "AdminNetworkPolicy",
            false,
        );
        api.kind("example.com", "v1", "others", "Other", true);
        api
    }

    #[tokio::test]
    async fn every_kind_that_is_installed_is_listed_and_judged() {
        let mut api = installed();
        let spec = json!({"endpointSelector": {}, "ingress": [{"fromEntities": ["moon"]}]});
        api.add(CILIUM, object("web", spec));
        api.add(
            CILIUM,
            object("odd", json!({"endpointSelector": {}, "phase": "new"})),
        );
        api.add(
            TIERS,
            json!({"metadata": {"name": "t"}, "spec": {"order": 5}}),
        );
        api.add(
            ADMIN,
            json!({"metadata": {"name": "a"}, "spec": {"priority": "high"}}),
        );
        let found = list_other_kinds(&api.start().await).await;
        let known: Vec<String> = found.other_kinds.iter().map(ToString::to_string).collect();
        assert_eq!(known, ["CiliumNetworkPolicy shop/web", "Calico's Tier t"]);
        let not_judged = found.not_judged.iter();
        let not_judged: Vec<String> = not_judged
            .map(|one| format!("{one}{} in {}", one.fields_text(), one.file))
            .collect();
        assert_eq!(not_judged.len(), 3, "{not_judged:#?}");
        assert!(
            not_judged.contains(
                &"CiliumNetworkPolicy shop/web: spec.ingress[0].fromEntities[0] (moon) is not judged in the cluster".to_owned()
            ),
            "{not_judged:#?}"
        );
        assert!(
            not_judged
                .contains(&"CiliumNetworkPolicy shop/odd: spec.phase in the cluster".to_owned()),
            "{not_judged:#?}"
        );
        assert!(found.unlisted.is_empty());
    }

    #[tokio::test]
    async fn a_kind_that_may_not_be_listed_is_said_and_others_are_listed() {
        let mut api = installed();
        api.forbid(CILIUM);
        api.add(TIERS, json!({"metadata": {"name": "t"}, "spec": {}}));
        let found = list_other_kinds(&api.start().await).await;
        assert_eq!(found.other_kinds.len(), 1);
        assert_eq!(found.unlisted.len(), 1);
        assert_eq!(found.unlisted[0].kind, "ciliumnetworkpolicies.cilium.io");
        let message = found.unlisted[0].finding().message;
        assert!(message.starts_with("not listed: "), "{message}");
    }

    #[tokio::test]
    async fn an_api_server_that_does_not_tell_its_kinds_is_not_one_without_policies() {
        let mut api = Api::default();
        api.forbid("/apis");
        let found = list_other_kinds(&api.start().await).await;
        assert_eq!(found.unlisted.len(), 1);
        let none = list_other_kinds(&Api::default().start().await).await;
        assert!(none.unlisted.is_empty());
        assert!(none.other_kinds.is_empty());
    }
}
