//! Room 5: one per cluster. The receiver takes what agents send; the controller does that too, and carries out
//! the review (docs/design.md): it proposes, has people decide, enforces and rolls back.
//!
//! Start reading at [`run()`]. The engine decides and never writes a policy; the enforcer writes policies and never
//! decides.

mod authenticator;
mod break_glass;
mod controller_metrics;
mod enforcer;
mod engine;
mod exporter;
mod folder;
mod graph_publisher;
mod hubble;
mod intake;
mod lead;
mod metrics;
mod pending_writes;
mod plan;
mod receiver;
mod receiver_metrics;
mod record_publisher;
mod replica;
mod room;
mod run;
mod settings;
mod stand_by;
mod store_metrics;
mod take_over;
mod tasks;
mod token_review;
mod volume;
mod writer;

pub use metrics::{example_controller_metrics, example_receiver_metrics};
pub use receiver::{Receiver, ReceiverError, ReceiverSettings};
pub use run::run;
pub use settings::{ControllerError, ControllerSettings};
pub use volume::VolumeReader;
