//! The objects of a cluster as it is now: one list of each kind.

use super::api_error::ApiError;
use super::error::LoadError;
use super::notice::{Notice, NoticeSink};
use crate::cluster::live::{list_other_kinds, list_page, plugin_config_maps, typed_parts};
use crate::inventory::kubernetes::FromJson;
use crate::inventory::{ImageScan, ObjectRemark, Objects};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Api, Client, Resource, ResourceExt};
use std::sync::{Mutex, PoisonError};

/// Objects per page: an API server holds a whole page in memory.
const PAGE: u32 = 500;
/// Scans are large: hundreds of vulnerabilities each.
const SCANS_PAGE: u32 = 50;
/// Where an object was read that no file has.
const IN_CLUSTER: &str = "the cluster";

/// Lists everything that an inventory is built from, in all namespaces. Pods, namespaces and NetworkPolicies are
/// required; other kinds that may not be listed are left out, with a notice.
///
/// # Errors
/// No answer, or no right to list what is required.
pub async fn list_objects(client: &Client, notices: &dyn NoticeSink) -> Result<Objects, LoadError> {
    let lists = Lists {
        client,
        notices,
        remarks: Mutex::default(),
    };
    let objects = Objects {
        namespaces: lists.required().await?,
        pods: lists.required().await?,
        network_policies: lists.required().await?,
        services: lists.optional().await?,
        endpoint_slices: lists.optional().await?,
        nodes: lists.optional().await?,
        deployments: lists.optional().await?,
        replica_sets: lists.optional().await?,
        replication_controllers: lists.optional().await?,
        stateful_sets: lists.optional().await?,
        daemon_sets: lists.optional().await?,
        jobs: lists.optional().await?,
        cron_jobs: lists.optional().await?,
        snapshots: 1,
        ..Objects::default()
    };
    let remarks = lists.remarks.into_inner();
    let others = list_other_kinds(client).await;
    for one in &others.unlisted {
        notices.report(Notice::MayNotList {
            plural: one.kind.clone(),
            message: one.reason.clone(),
        });
    }
    let config_maps = plugin_config_maps(client).await.unwrap_or_else(|why| {
        notices.report(Notice::MayNotList {
            plural: "configmaps".to_owned(),
            message: format!(
                "{why}; the options of the network plugin are not known, and its defaults count"
            ),
        });
        Vec::new()
    });
    Ok(Objects {
        config_maps,
        remarks: remarks.unwrap_or_else(PoisonError::into_inner),
        other_kinds: others.other_kinds,
        not_judged: others.not_judged,
        unlisted: others.unlisted,
        ..objects
    })
}

/// Where trivy-operator keeps its scans.
pub fn scans_resource() -> ApiResource {
    let kind = GroupVersionKind::gvk("aquasecurity.github.io", "v1alpha1", "VulnerabilityReport");
    ApiResource::from_gvk(&kind)
}

/// The scans of trivy-operator, where it is installed and they may be listed.
///
/// # Errors
/// The API server does not answer.
pub async fn list_scans(
    client: &Client,
    notices: &dyn NoticeSink,
) -> Result<(Vec<ImageScan>, Vec<ObjectRemark>), ApiError> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &scans_resource());
    let (mut scans, mut remarks) = (Vec::new(), Vec::new());
    let mut params = ListParams::default().limit(SCANS_PAGE);
    loop {
        let page = match list_page(&api, false, &params).await {
            // It is not installed.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok((scans, remarks)),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                notices.report(Notice::MayNotList {
                    plural: "vulnerabilityreports".into(),
                    message: status.message,
                });
                return Ok((scans, remarks));
            }
            other => other.map_err(|error| ApiError::new(error, "list vulnerabilityreports"))?,
        };
        scans.extend(
            page.items
                .iter()
                .filter_map(|one| ImageScan::of_object(&one.data)),
        );
        remarks.extend(page.items.iter().filter_map(scan_remark));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok((scans, remarks)),
        }
    }
}

/// What is wrong with a scan.
fn scan_remark(scan: &DynamicObject) -> Option<ObjectRemark> {
    let field = ImageScan::wrong_field(&scan.data)?;
    let (namespace, name) = (scan.namespace().unwrap_or_default(), scan.name_any());
    Some(ObjectRemark {
        object: format!("VulnerabilityReport {namespace}/{name}"),
        problem: format!(
            "{field} is not as trivy-operator writes it; what it would say is not known"
        ),
        file: IN_CLUSTER.to_owned(),
    })
}

/// Lists of all namespaces.
struct Lists<'a> {
    client: &'a Client,
    notices: &'a dyn NoticeSink,
    /// The objects that cannot be read as a whole.
    remarks: Mutex<Vec<ObjectRemark>>,
}

impl Lists<'_> {
    async fn required<K>(&self) -> Result<Vec<K>, ApiError>
    where
        K: Resource<DynamicType = ()> + FromJson,
    {
        let resource = ApiResource::erase::<K>(&());
        match self.all(&resource).await? {
            Listed::Objects(objects) => Ok(self.known(objects, &resource)),
            Listed::Forbidden(message) => Err(ApiError::ForbiddenCluster {
                what: list_of(&resource),
                message,
            }),
        }
    }

    async fn optional<K>(&self) -> Result<Vec<K>, ApiError>
    where
        K: Resource<DynamicType = ()> + FromJson,
    {
        let resource = ApiResource::erase::<K>(&());
        match self.all(&resource).await? {
            Listed::Objects(objects) => Ok(self.known(objects, &resource)),
            Listed::Forbidden(message) => {
                let plural = resource.plural;
                self.notices.report(Notice::MayNotList { plural, message });
                Ok(Vec::new())
            }
        }
    }

    /// What can be read of these objects. Each that cannot be read as a whole is a remark.
    fn known<K>(&self, objects: Vec<DynamicObject>, resource: &ApiResource) -> Vec<K>
    where
        K: Resource<DynamicType = ()> + FromJson,
    {
        let (known, remarks) = in_their_type(objects, resource);
        for remark in &remarks {
            self.notices.report(Notice::Remark(remark.clone()));
        }
        let mut all = self.remarks.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(remarks);
        known
    }

    /// All pages of one kind, as dynamic objects: this is compiled once for all kinds.
    async fn all(&self, resource: &ApiResource) -> Result<Listed, ApiError> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), resource);
        let mut items = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = match list_page(&api, false, &params).await {
                Err(kube::Error::Api(status)) if status.code == 403 => {
                    return Ok(Listed::Forbidden(status.message));
                }
                other => other.map_err(|error| ApiError::new(error, list_of(resource)))?,
            };
            items.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(Listed::Objects(items)),
            }
        }
    }
}

/// The objects of a kind, or why they may not be listed.
enum Listed {
    Objects(Vec<DynamicObject>),
    Forbidden(String),
}

fn list_of(resource: &ApiResource) -> String {
    format!("list {}", resource.plural)
}

/// Kinds of which a part has another meaning than the whole.
const WHOLE: [&str; 4] = [
    "NetworkPolicy",
    "Segmentation",
    "PolicyProposal",
    "ProposalDecision",
];

/// The objects in the type of their kind, each as far as it can be read, and what is wrong with those that cannot be
/// read as a whole (rule: malformed-object-is-a-finding).
pub fn in_their_type<K>(
    objects: Vec<DynamicObject>,
    resource: &ApiResource,
) -> (Vec<K>, Vec<ObjectRemark>)
where
    K: Resource<DynamicType = ()> + FromJson,
{
    let mut remarks = Vec::new();
    let mut all = Vec::with_capacity(objects.len());
    for object in objects {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let (known, wrong) = typed_parts(object);
        // Half of a policy is another policy, and half of a decision another decision.
        let is_kept = wrong.is_none() || !WHOLE.contains(&resource.kind.as_str());
        all.extend(known.filter(|_| is_kept));
        remarks.extend(wrong.map(|wrong| ObjectRemark {
            object: format!("{} {namespace}/{name}", resource.kind),
            problem: format!(
                "{}: {}; {}",
                wrong.path,
                wrong.problem,
                if is_kept {
                    "the rest of it was used"
                } else {
                    "it was left out, and what it would change is not known"
                }
            ),
            file: IN_CLUSTER.to_owned(),
        }));
    }
    (all, remarks)
}
