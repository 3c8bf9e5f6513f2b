//! Room 5: the review page. A server on loopback for one operator, who is whoever their kubeconfig says: pages
//! are HTML made here, the map is laid out here, a short script of our own makes it live. Nothing is loaded
//! from elsewhere.

mod decide;
mod edge;
mod guard;
mod html;
mod long;
mod map;
mod policies;
mod proposals;
mod record;
mod risks;
mod server;
mod view;
mod what_if;
mod workload;

pub use decide::{Decide, Decided, DecisionRequest};
pub use record::RecordSource;
pub use server::{Server, ServerError, Shown};
pub use view::{GraphSource, View, ViewInputs};
