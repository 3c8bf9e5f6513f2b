//! Who did it, as far as that is known.

use nanoseg_net::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The name of the controller in the record, and of who decides where no person does.
pub const CONTROLLER: &str = "nanoseg";

/// Who did something. Where no user name is known, the record has what is known instead, and never the name of
/// the controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Actor {
    /// The user whom the API server authenticated: a person, or a service account. The admission policies of
    /// `deploy/` compare the name in an object with the name of the request.
    User { name: String },
    /// The controller, by its own rules.
    Controller,
    /// The field manager that last wrote the field concerned, from `metadata.managedFields`: a program such as
    /// `kubectl-edit`. It does not name the person.
    FieldManager {
        name: String,
        /// When it wrote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Timestamp>,
    },
    /// Nothing names who it was: Kubernetes keeps no trace of who deleted an object.
    Unknown,
}

impl Actor {
    pub fn user(name: impl Into<String>) -> Actor {
        Actor::User { name: name.into() }
    }

    /// The name in the line; empty if there is none.
    pub fn name(&self) -> &str {
        match self {
            Actor::User { name } | Actor::FieldManager { name, .. } => name,
            Actor::Controller => CONTROLLER,
            Actor::Unknown => "",
        }
    }
}

/// As people read it.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::User { name } => f.pad(name),
            Actor::Controller => f.pad(CONTROLLER),
            Actor::FieldManager { name, .. } => write!(f, "unknown (field manager {name})"),
            Actor::Unknown => f.pad("unknown"),
        }
    }
}
