//! What a controller is told, and why it cannot start or continue.

use super::engine::StateError;
use super::intake::IntakeError;
use super::take_over::TakeOverError;
use crate::cluster::ConnectSettings;
use crate::cluster::live::ConnectError;
use crate::listen::ServerTls;
use crate::observe::hubble::HubbleSource;
use crate::plugin::{EnforcedPorts, Profile};
use crate::review::Ceilings;
use crate::risk::Approved;
use crate::store::{FlowStoreError, ReviewStoreError, StateLockError};
use crate::wire::{HealthError, NatsSettings};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// The settings of a controller.
#[derive(Debug, Clone)]
pub struct ControllerSettings {
    pub connect: ConnectSettings,
    /// The SQLite file.
    pub store: PathBuf,
    /// Where agents connect.
    pub listen: SocketAddr,
    /// `None`: without TLS.
    pub tls: Option<ServerTls>,
    /// The users whose tokens are accepted: `system:serviceaccount:NAMESPACE:NAME`.
    pub agents: BTreeSet<String>,
    pub token_audience: String,
    /// The issuers that tokens may have; empty: the one that the API server names.
    pub token_issuers: BTreeSet<String>,
    /// Accepts tokens that name no node. For tests.
    pub allow_unbound_agents: bool,
    /// Takes batches from NATS JetStream too.
    pub nats: Option<NatsSettings>,
    /// Follows Hubble Relay too.
    pub hubble: Option<HubbleSource>,
    pub metrics_listen: SocketAddr,
    pub lease_namespace: String,
    pub lease_name: String,
    /// The name of this replica.
    pub identity: String,
    /// A person accepts a state that does not continue the published record.
    pub accept_new_state: bool,
    /// How long deleted pods are remembered.
    pub retention: Duration,
    /// GitOps: approved policies are written there, and not into the cluster.
    pub output: Option<PathBuf>,
    /// Images that may run in every namespace.
    pub approved: Approved,
    /// Where the network plugin checks connections through Services, in namespaces whose Segmentation does not
    /// set it; `None`: as its profile says.
    pub service_enforcement: Option<EnforcedPorts>,
    /// The network plugin, if it is not the one that the cluster's objects show.
    pub network_plugin: Option<Profile>,
    /// What automatic approval may do at most, in any namespace.
    pub ceilings: Ceilings,
}

/// Why a controller cannot start or continue.
#[derive(Debug, Error)]
pub enum ControllerError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Health(#[from] HealthError),
    #[error(transparent)]
    Flows(#[from] FlowStoreError),
    #[error(transparent)]
    Reviews(#[from] ReviewStoreError),
    #[error(transparent)]
    EngineState(#[from] StateError),
    #[error(transparent)]
    Lock(#[from] StateLockError),
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
    #[error(transparent)]
    Intake(#[from] IntakeError),
    #[error(
        "failed to go on leading: the Lease {0} was lost; the process ends, so that another leads alone"
    )]
    LeaseLost(String),
    #[error("failed to go on: the task {0} ended; see the log before this")]
    Ended(&'static str),
}
