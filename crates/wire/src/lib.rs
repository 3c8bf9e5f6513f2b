//! Room 4: the message schema of flow batches, and the two transports to the receiver: gRPC over TLS and NATS JetStream.
//! [`nanoseg_flow`] defines what batches mean, `store` keeps them.

mod convert;
mod delivery;
mod exposition;
#[rustfmt::skip]
#[allow(missing_docs, clippy::all, clippy::pedantic, rustdoc::all)]
mod generated;
mod grpc;
mod health;
mod log_limit;
mod nats;
mod token;

use generated as proto;

pub use convert::{
    MAX_BATCH_BYTES, MAX_DECODED_BYTES, MAX_ITEMS, SCHEMA, WireError, decode, encode,
};
pub use delivery::{Delivery, DeliveryError};
pub use exposition::{register_build_info, register_process, to_prometheus};
pub use grpc::{
    AgentIdentity, Authenticator, GrpcDelivery, GrpcSettings, Incoming, Refusal, Server,
    ServerError, ServerSettings,
};
pub use health::{Health, HealthCheck, HealthError, HealthNote, HealthServer, MetricsText};
pub use log_limit::LogLimit;
pub use nats::{
    NatsAuth, NatsDelivery, NatsError, NatsHealth, NatsIntake, NatsSettings, StreamSettings,
};
pub use token::{TokenCheck, TokenRules, TokenSettings};
