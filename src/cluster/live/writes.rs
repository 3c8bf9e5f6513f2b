//! All writes: NetworkPolicies, proposals, the status of the custom resources, and the published part of the
//! record.
//!
//! Refused: a write that the fence does not allow, asked immediately before each request; a change of a
//! NetworkPolicy without our label; a request that would change nothing, as far as the known objects show it;
//! and an automatic repetition of a request.

mod body;
mod counts;

pub use body::ConfigMapData;
pub use counts::{Outcome, WriteCounts};

use super::connect::describe;
use super::watches::{Malformed, Stale};
use crate::inventory::{MANAGED_BY, is_ours};
use crate::review::resources::{FIELD_MANAGER, PolicyProposal, Segmentation};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::core::object::HasStatus;
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// The most time for one request. It is shorter than the time between the lease's renew deadline and its end
/// (15 s − 10 s), so that a write that started while the lease was held ends before another process may hold
/// it.
const LIMIT: Duration = Duration::from_secs(4);

/// Decides whether a write is allowed; asked immediately before each write.
pub type Fence = Arc<dyn Fn() -> Result<(), Refused> + Send + Sync>;

/// The reason why a fence does not allow a write.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    #[error("the lease is not held: another replica leads")]
    NoLease,
    #[error("the inventory is stale: {0}")]
    Stale(#[from] Stale),
    /// Any other reason of the controller.
    #[error("{0}")]
    Held(String),
}

/// The reason why an object was not written.
#[derive(Debug, Error)]
pub enum WriteError {
    #[error("failed to write {what}: {reason}; it is tried again once that is over")]
    Refused { what: String, reason: Refused },
    #[error(
        "failed to write {what}: a policy of that name does not carry {}={}; rename it, or delete it if nobody needs it",
        MANAGED_BY.0, MANAGED_BY.1
    )]
    Foreign { what: String },
    #[error("failed to write {what}: it changed meanwhile; read it again")]
    Conflict { what: String },
    #[error("failed to write {what}: it is not there any more; read the list again")]
    Gone { what: String },
    #[error("failed to write {what}: it has no name or no namespace; give it both")]
    Unnamed { what: &'static str },
    #[error("failed to write {what}: no answer in {} s; it is tried again", LIMIT.as_secs())]
    TimedOut { what: String },
    #[error(
        "failed to write {what}: {reason}; see that the ServiceAccount has the rights of deploy/"
    )]
    Api { what: String, reason: String },
}

/// The result of a write.
#[derive(Debug, Clone, PartialEq)]
pub struct Written<K> {
    pub object: K,
    /// True if the write changed the cluster.
    pub changed: bool,
    /// True if the object did not exist before.
    pub created: bool,
}

/// Writes objects as field manager `nanoseg`, each write through the fence. Clones share their counts.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    fence: Fence,
    counts: Arc<WriteCounts>,
}

impl Writer {
    pub fn new(client: Client, fence: Fence) -> Writer {
        Writer {
            client,
            fence,
            counts: Arc::default(),
        }
    }

    /// The numbers of writes, for the metrics.
    pub fn counts(&self) -> &Arc<WriteCounts> {
        &self.counts
    }

    /// Applies the policy as it is given (name, namespace, labels, annotations, spec) with server-side apply.
    /// The label [`MANAGED_BY`] is always added.
    ///
    /// # Errors
    /// Returns [`WriteError::Foreign`] if a policy of that name is not ours, otherwise the reason why it was
    /// not written.
    pub async fn apply_policy(
        &self,
        policy: &NetworkPolicy,
    ) -> Result<Written<NetworkPolicy>, WriteError> {
        const KIND: &str = "NetworkPolicy";
        let (namespace, name) = named(policy, KIND)?;
        let what = format!("{KIND} {namespace}/{name}");
        let api: Api<NetworkPolicy> = Api::namespaced(self.client.clone(), &namespace);
        let live = self.read(&api, &name, &what).await?;
        let mut params = PatchParams::apply(FIELD_MANAGER);
        match &live {
            Some(live) if !is_ours(&live.metadata) => {
                self.counts.add(KIND, Outcome::Refused);
                return Err(WriteError::Foreign { what });
            }
            Some(live) if body::holds_policy(live, policy) => {
                return Ok(unchanged(live.clone()));
            }
            // The body has the resourceVersion that was read, so only that version is overwritten.
            Some(_) => params.force = true,
            // Without force: if another client creates a policy of that name at this moment, the result is a
            // conflict.
            None => {}
        }
        let body = body::policy(policy, live.as_ref());
        let written = self
            .send(KIND, &what, api.patch(&name, &params, &Patch::Apply(&body)))
            .await?;
        Ok(self.compared(KIND, live.as_ref(), written))
    }

    /// Deletes one of our policies; with `uid` only that object. Returns true if it existed.
    ///
    /// # Errors
    /// Returns [`WriteError::Foreign`] if it is not ours, otherwise the reason why it was not deleted.
    pub async fn delete_policy(
        &self,
        namespace: &str,
        name: &str,
        uid: Option<&str>,
    ) -> Result<bool, WriteError> {
        const KIND: &str = "NetworkPolicy";
        let what = format!("{KIND} {namespace}/{name}");
        let api: Api<NetworkPolicy> = Api::namespaced(self.client.clone(), namespace);
        let Some(live) = self.read(&api, name, &what).await? else {
            return Ok(false);
        };
        if uid.is_some_and(|uid| live.metadata.uid.as_deref() != Some(uid)) {
            return Ok(false);
        }
        if !is_ours(&live.metadata) {
            self.counts.add(KIND, Outcome::Refused);
            return Err(WriteError::Foreign { what });
        }
        self.delete(KIND, &what, &api, name, &live).await
    }

    /// Applies the proposal as it is given (name, namespace, labels, annotations, owners, spec). Its status is
    /// not changed. `seen` is the object that the decision to write was based on: later edits by a person are
    /// not overwritten.
    ///
    /// # Errors
    /// Returns [`WriteError::Conflict`] if it differs from `seen`, otherwise the reason why it was not written.
    pub async fn apply_proposal(
        &self,
        proposal: &PolicyProposal,
        seen: Option<&PolicyProposal>,
    ) -> Result<Written<PolicyProposal>, WriteError> {
        const KIND: &str = "PolicyProposal";
        let (namespace, name) = named(proposal, KIND)?;
        let what = format!("{KIND} {namespace}/{name}");
        let api: Api<PolicyProposal> = Api::namespaced(self.client.clone(), &namespace);
        let live = self.read(&api, &name, &what).await?;
        if let Some(live) = &live
            && body::holds_proposal(live, proposal)
        {
            return Ok(unchanged(live.clone()));
        }
        let version = |one: &PolicyProposal| (one.uid(), one.resource_version());
        if live.as_ref().map(version) != seen.map(version) {
            return Err(WriteError::Conflict { what });
        }
        let body = body::proposal(proposal, live.as_ref());
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let mut written = self
            .send(KIND, &what, api.patch(&name, &params, &Patch::Apply(&body)))
            .await?;
        if written.spec != proposal.spec {
            // Fields that an editor of the proposal owns stay after an apply that does not contain them.
            let body = body::whole_spec(&written, proposal);
            let params = PatchParams {
                field_manager: Some(FIELD_MANAGER.into()),
                ..PatchParams::default()
            };
            let patch = Patch::Merge(&body);
            written = self
                .send(KIND, &what, api.patch(&name, &params, &patch))
                .await?;
        }
        Ok(self.compared(KIND, live.as_ref(), written))
    }

    /// Deletes a proposal; with `uid` only that object. Returns true if it existed.
    ///
    /// # Errors
    /// Returns the reason why it was not deleted.
    pub async fn delete_proposal(
        &self,
        namespace: &str,
        name: &str,
        uid: Option<&str>,
    ) -> Result<bool, WriteError> {
        const KIND: &str = "PolicyProposal";
        let what = format!("{KIND} {namespace}/{name}");
        let api: Api<PolicyProposal> = Api::namespaced(self.client.clone(), namespace);
        match self.read(&api, name, &what).await? {
            Some(live) if uid.is_none_or(|uid| live.metadata.uid.as_deref() == Some(uid)) => {
                self.delete(KIND, &what, &api, name, &live).await
            }
            _ => Ok(false),
        }
    }

    /// Deletes a proposal that cannot be read; with a uid only that object.
    ///
    /// # Errors
    /// Returns the reason why it was not deleted.
    pub async fn delete_malformed_proposal(&self, one: &Malformed) -> Result<(), WriteError> {
        const KIND: &str = "PolicyProposal";
        let what = one.subject();
        let api: Api<PolicyProposal> = Api::namespaced(self.client.clone(), &one.namespace);
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: one.uid.clone(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match self.send(KIND, &what, api.delete(&one.name, &params)).await {
            Ok(_) => self.counts.add(KIND, Outcome::Changed),
            Err(WriteError::Gone { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Sets the status of a Segmentation that cannot be read.
    ///
    /// # Errors
    /// Returns the reason why it was not written.
    pub async fn tell_malformed(&self, one: &Malformed, status: &Value) -> Result<(), WriteError> {
        const KIND: &str = "Segmentation";
        let what = format!("the status of {}", one.subject());
        let resource = ApiResource::erase::<Segmentation>(&());
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &one.namespace, &resource);
        let body = body::malformed_status(one, status);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&body);
        let sent = api.patch_status(&one.name, &params, &patch);
        self.send(KIND, &what, sent).await?;
        self.counts.add(KIND, Outcome::Changed);
        Ok(())
    }

    /// Sets the status of one of the custom resources. `live` is the object as last seen; if it already has
    /// that status, no request is sent.
    ///
    /// # Errors
    /// Returns [`WriteError::Gone`] if that object (by uid) does not exist any more, otherwise the reason why
    /// it was not written.
    pub async fn apply_status<K>(
        &self,
        live: &K,
        status: &<K as HasStatus>::Status,
    ) -> Result<Written<K>, WriteError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + HasStatus,
        K: Clone + Debug + DeserializeOwned + Serialize,
        <K as HasStatus>::Status: Serialize + PartialEq,
    {
        let kind = body::kind::<K>();
        if live.status() == Some(status) {
            return Ok(unchanged(live.clone()));
        }
        let (namespace, name) = named(live, kind)?;
        let what = format!("the status of {kind} {namespace}/{name}");
        let api: Api<K> = Api::namespaced(self.client.clone(), &namespace);
        let body = body::status(live, status);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&body);
        let sent = api.patch_status(&name, &params, &patch);
        let written = self.send(kind, &what, sent).await?;
        Ok(self.compared(kind, Some(live), written))
    }

    /// Applies this data to the ConfigMap. Keys that other field managers own stay.
    ///
    /// # Errors
    /// Returns the reason why it was not written.
    pub async fn apply_config_map(
        &self,
        namespace: &str,
        name: &str,
        data: &ConfigMapData,
    ) -> Result<Written<ConfigMap>, WriteError> {
        const KIND: &str = "ConfigMap";
        let what = format!("{KIND} {namespace}/{name}");
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let live = self.read(&api, name, &what).await?;
        if let Some(live) = &live
            && body::holds_data(live, data)
        {
            return Ok(unchanged(live.clone()));
        }
        let body = body::config_map(namespace, name, data);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&body);
        let written = self
            .send(KIND, &what, api.patch(name, &params, &patch))
            .await?;
        Ok(self.compared(KIND, live.as_ref(), written))
    }

    async fn delete<K>(
        &self,
        kind: &'static str,
        what: &str,
        api: &Api<K>,
        name: &str,
        live: &K,
    ) -> Result<bool, WriteError>
    where
        K: Resource + Clone + Debug + DeserializeOwned,
    {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: live.uid(),
                resource_version: live.resource_version(),
            }),
            ..DeleteParams::default()
        };
        match self.send(kind, what, api.delete(name, &params)).await {
            Ok(_) => {
                self.counts.add(kind, Outcome::Changed);
                Ok(true)
            }
            Err(WriteError::Gone { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn read<K>(&self, api: &Api<K>, name: &str, what: &str) -> Result<Option<K>, WriteError>
    where
        K: Clone + Debug + DeserializeOwned,
    {
        match tokio::time::timeout(LIMIT, api.get_opt(name)).await {
            Ok(Ok(live)) => Ok(live),
            Ok(Err(error)) => Err(classify(what, &error)),
            Err(_) => Err(WriteError::TimedOut { what: what.into() }),
        }
    }

    /// Asks the fence, sends the request, and stops waiting after [`LIMIT`].
    async fn send<T>(
        &self,
        kind: &'static str,
        what: &str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, WriteError> {
        if let Err(reason) = (self.fence)() {
            self.counts.add(kind, Outcome::Refused);
            let what = what.to_owned();
            return Err(WriteError::Refused { what, reason });
        }
        let error = match tokio::time::timeout(LIMIT, request).await {
            Ok(Ok(written)) => return Ok(written),
            Ok(Err(error)) => classify(what, &error),
            Err(_) => WriteError::TimedOut { what: what.into() },
        };
        self.counts.add(kind, Outcome::Failed);
        Err(error)
    }

    fn compared<K: ResourceExt>(
        &self,
        kind: &'static str,
        before: Option<&K>,
        after: K,
    ) -> Written<K> {
        let changed = before.is_none_or(|b| b.resource_version() != after.resource_version());
        let outcome = if changed {
            Outcome::Changed
        } else {
            Outcome::Unchanged
        };
        self.counts.add(kind, outcome);
        Written {
            object: after,
            changed,
            created: before.is_none(),
        }
    }
}

fn unchanged<K>(object: K) -> Written<K> {
    Written {
        object,
        changed: false,
        created: false,
    }
}

fn named<K: ResourceExt>(object: &K, what: &'static str) -> Result<(String, String), WriteError> {
    let name = object.meta().name.clone().filter(|name| !name.is_empty());
    let pair = object.namespace().zip(name);
    pair.ok_or(WriteError::Unnamed { what })
}

fn classify(what: &str, error: &kube::Error) -> WriteError {
    let what = what.to_owned();
    match error {
        kube::Error::Api(status) if status.code == 409 => WriteError::Conflict { what },
        kube::Error::Api(status) if status.code == 404 => WriteError::Gone { what },
        kube::Error::Api(status) => WriteError::Api {
            what,
            reason: status.message.clone(),
        },
        other => WriteError::Api {
            what,
            reason: describe(other),
        },
    }
}
