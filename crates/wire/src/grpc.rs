//! The direct transport: one bidirectional stream per agent, over TLS, with the agent's ServiceAccount token at
//! its start. Batches cross as the bytes that [`super::encode`] made; [`super::decode`] looks at them here,
//! so that errors name exactly what is wrong with a batch.

mod client;
mod codec;
mod message_time;
mod server;
mod stream;

pub use client::{GrpcDelivery, GrpcSettings};
pub use server::{Server, ServerError, ServerSettings};
pub use stream::{AgentIdentity, Authenticator, Incoming, Refusal};

/// The path of the only method of the service in proto/nanoseg/flows/v1/flows.proto.
const SEND: &str = "/nanoseg.flows.v1.FlowReceiver/Send";
