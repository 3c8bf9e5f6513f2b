//! Room 5: the review page. A server on loopback for one operator, with the rights of their kubeconfig: pages are HTML
//! made here, the map is laid out here, and a short script of the project's own makes it live. Nothing is loaded from
//! elsewhere.
//!
//! A request passes `guard` (middleware), then `routes` (axum), then the module of its page, which makes HTML with
//! maud out of a `view`.

mod decide;
mod edge;
mod guard;
mod html;
mod map;
mod pagination;
mod policies;
mod proposals;
mod record;
mod risks;
mod routes;
mod server;
mod view;
mod what_if;
mod workload;

pub use decide::{Decide, Decided, DecisionRequest};
pub use record::RecordSource;
pub use server::{Server, ServerError, Shown};
pub use view::{GraphSource, View, ViewInputs};
