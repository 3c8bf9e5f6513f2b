//! The results as a document, which `nanoseg report --probe` takes.

use super::cause::{ClusterFacts, causes};
use super::figures::Figures;
use super::found_out::FoundOut;
use super::judge::{Heard, judge};
use super::plan::{LeftOut, Plan};
use super::tried::Tried;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_inventory::Inventory;
use nanoseg_net::{Timestamp, sha256_hex};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The largest document that is read, in bytes: 1000 connections have about 1 MiB.
pub const MOST_BYTES: u64 = 16 << 20;
/// The most connections that a document has.
const MOST_TRIED: usize = 10_000;

/// A policy that was in force.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PolicyDigest {
    /// `namespace/name`; with the kind before it for other kinds than NetworkPolicy.
    pub policy: String,
    /// SHA-256 of its spec as JSON; of another kind, of all of it but metadata and status.
    pub digest: String,
}

impl PolicyDigest {
    /// The namespace; `None` for a policy of the whole cluster.
    pub fn namespace(&self) -> Option<&str> {
        let name = self.policy.rsplit(' ').next().unwrap_or_default();
        name.split_once('/').map(|(namespace, _)| namespace)
    }
}

/// The policies with their digests, in order; those of other kinds are of the inventory.
pub fn digests(policies: &[NetworkPolicy], inventory: &Inventory) -> Vec<PolicyDigest> {
    let digest = |policy: &NetworkPolicy| {
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        let (namespace, name) = (
            text(&policy.metadata.namespace),
            text(&policy.metadata.name),
        );
        let spec = serde_json::to_vec(&policy.spec).unwrap_or_default();
        PolicyDigest {
            policy: format!("{namespace}/{name}"),
            digest: sha256_hex(&spec),
        }
    };
    let others = inventory.other_kinds.policies.iter().map(|policy| {
        let mut object = policy.to_object();
        if let Some(object) = object.as_object_mut() {
            object.remove("metadata");
            object.remove("status");
        }
        PolicyDigest {
            policy: policy.to_string(),
            digest: sha256_hex(object.to_string().as_bytes()),
        }
    });
    let mut all: Vec<PolicyDigest> = policies.iter().map(digest).chain(others).collect();
    all.sort();
    all
}

/// The results of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Results {
    /// Always [`Results::SCHEMA`].
    pub schema: String,
    /// The cluster's name for people.
    pub cluster: String,
    /// Who ran it, as the API server knows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    pub from: Timestamp,
    pub to: Timestamp,
    /// The namespaces whose pods tried; empty: all.
    pub namespaces: Vec<String>,
    pub seed: u64,
    pub image: String,
    /// The network plugin, as far as the cluster shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The policies that were in force, all of the cluster.
    pub policies: Vec<PolicyDigest>,
    pub figures: Figures,
    /// What the model of the plugin left open.
    #[serde(default)]
    pub found_out: FoundOut,
    pub tried: Vec<Tried>,
    pub left_out: Vec<LeftOut>,
}

/// Why a document is not taken.
#[derive(Debug, Error)]
pub enum ResultsError {
    #[error("it is no result of nanoseg probe -o json: {0}")]
    Json(#[from] serde_json::Error),
    #[error(
        "its schema is {0:?}, and this nanoseg knows nanoseg.dev/probe/v1: run nanoseg probe of this version"
    )]
    Schema(String),
    #[error("it has {0} connections; nanoseg probe makes at most {MOST_TRIED}")]
    TooMany(usize),
    #[error("its figures are not those of its connections: it was altered")]
    Figures,
}

impl Results {
    pub const SCHEMA: &'static str = "nanoseg.dev/probe/v1";

    /// Judges what was heard. The caller fills in who, when and where.
    pub fn new(plan: Plan, heard: &Heard, facts: &ClusterFacts) -> Results {
        let judged = judge(&plan, heard);
        let causes = causes(&plan.probes, &judged, facts);
        let tried: Vec<Tried> = plan
            .probes
            .into_iter()
            .zip(judged)
            .zip(causes)
            .map(|((probe, judgement), causes)| Tried {
                probe,
                told: judgement.told,
                verdict: judgement.verdict,
                fault: judgement.fault,
                causes,
            })
            .collect();
        Results {
            schema: Results::SCHEMA.to_owned(),
            cluster: String::new(),
            by: None,
            from: Timestamp::default(),
            to: Timestamp::default(),
            namespaces: Vec::new(),
            seed: 0,
            image: String::new(),
            plugin: facts.plugin.clone(),
            policies: Vec::new(),
            figures: Figures::of(&tried),
            found_out: FoundOut::of(&tried),
            tried,
            left_out: plan.left_out,
        }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// It is something else, of another version, or its figures do not belong to it.
    pub fn parse(text: &[u8]) -> Result<Results, ResultsError> {
        #[derive(Deserialize)]
        struct Head {
            schema: String,
        }
        let head: Head = serde_json::from_slice(text)?;
        if head.schema != Results::SCHEMA {
            return Err(ResultsError::Schema(head.schema));
        }
        let results: Results = serde_json::from_slice(text)?;
        if results.tried.len() > MOST_TRIED {
            return Err(ResultsError::TooMany(results.tried.len()));
        }
        if Figures::of(&results.tried) != results.figures {
            return Err(ResultsError::Figures);
        }
        Ok(results)
    }
}
