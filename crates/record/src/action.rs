//! What was done: the closed list of actions, each with the facts that belong to it.

use crate::{Digest, Head};
use nanoseg_net::{Protocol, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! kinds {
    ($( $variant:ident $name:literal $meaning:literal; )*) => {
        /// The kind of an action. The names are stable: they are in every record that was ever written.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum ActionKind { $( #[doc = $meaning] $variant, )* }

        impl ActionKind {
            pub const ALL: &'static [ActionKind] = &[ $( ActionKind::$variant, )* ];

            /// The name in the record.
            pub fn name(self) -> &'static str { match self { $( ActionKind::$variant => $name, )* } }
        }
    };
}

kinds! {
    Proposed "proposed" "A proposal was made, or an open one was brought up to date.";
    Superseded "superseded" "A proposal was closed without a decision.";
    Approved "approved" "Somebody approved a proposal.";
    AutoApproved "auto-approved" "The rules for automatic approval approved a proposal.";
    Rejected "rejected" "Somebody rejected a proposal.";
    ConnectionsRejected "connections-rejected" "Somebody approved a proposal without some of its connections: these are rejected.";
    OpeningExpired "opening-expired" "A temporary opening ended: what was closed before is closed again.";
    DecisionRefused "decision-refused" "A decision was refused: it is outdated, or not possible any more.";
    Applied "applied" "A policy was written.";
    Deleted "deleted" "A policy was deleted.";
    DriftRepaired "drift-repaired" "A policy that somebody had changed or deleted was written again.";
    DriftGivenUp "drift-given-up" "Somebody keeps changing a policy; it is repaired only now and then.";
    RolledBack "rolled-back" "Somebody went back to an earlier revision.";
    AutoRolledBack "auto-rolled-back" "Approved traffic was blocked after a policy was applied, so the policy was taken back.";
    ApprovedTrafficBlocked "approved-traffic-blocked" "Approved traffic is blocked since a policy was applied; the policy stays until a person decides.";
    BreakGlassOn "break-glass-on" "The policies of a namespace were deleted by break-glass.";
    BreakGlassOff "break-glass-off" "Break-glass ended: enforcement of a namespace goes on.";
    ModeChanged "mode-changed" "The mode of a Segmentation changed.";
    SegmentationAdded "segmentation-added" "A namespace is segmented from now on.";
    SegmentationRemoved "segmentation-removed" "A namespace is not segmented any more.";
    Violation "violation" "Traffic was seen that the approved policies do not allow.";
    ViolationWithdrawn "violation-withdrawn" "A recorded violation turned out to be the traffic of somebody else.";
    Adopted "adopted" "A policy that nanoseg had written before was taken over.";
    Exported "exported" "Policies were written to a folder.";
    RecordReset "record-reset" "The state did not continue the published record, and a person accepted it as it is.";
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The most connections that one line lists.
pub const MOST_CONNECTIONS: usize = 50;

/// What was done, with the facts that programs read. In a line the variant is `action`, and its fields are
/// `details`. A field may be added to a variant only as an optional one, so that earlier lines still read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", content = "details", rename_all = "kebab-case")]
pub enum Action {
    Proposed {
        proposal: String,
        /// The proposal was open already and was brought up to date.
        refreshed: bool,
        /// Why a change is proposed, as the proposal gives it.
        why: String,
    },
    Superseded {
        proposal: String,
        why: String,
    },
    Approved {
        proposal: String,
        /// The reason that the person gave.
        why: String,
        /// What it opens is closed again at this time; absent: it stays.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// The policy that is in force when the temporary opening has ended; absent: there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        afterwards: Option<Digest>,
    },
    AutoApproved {
        proposal: String,
    },
    Rejected {
        proposal: String,
        /// The reason that the person gave.
        why: String,
        /// The connections that are not offered again until their traffic changes, the first [`MOST_CONNECTIONS`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        connections: Vec<Connection>,
    },
    ConnectionsRejected {
        proposal: String,
        /// The reason that the person gave.
        why: String,
        /// What the approved policy does not allow of the proposal, the first [`MOST_CONNECTIONS`].
        connections: Vec<Connection>,
    },
    OpeningExpired {
        proposal: String,
        /// When it was to end.
        until: Timestamp,
        /// What is closed again, the first [`MOST_CONNECTIONS`].
        connections: Vec<Connection>,
    },
    DecisionRefused {
        proposal: String,
        because: RefusalKind,
    },
    Applied,
    Deleted,
    DriftRepaired {
        drift: Drift,
    },
    DriftGivenUp {
        drift: Drift,
        /// When it is repaired again; absent if somebody else writes the policies (GitOps).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    RolledBack {
        proposal: String,
        /// The revision that is in force from now on; absent: no policy.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<u32>,
        /// The reason that the person gave.
        why: String,
    },
    AutoRolledBack {
        proposal: String,
        /// The revision that is in force from now on; absent: no policy.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<u32>,
        /// The traffic that was blocked.
        why: String,
    },
    ApprovedTrafficBlocked {
        connection: Connection,
        /// The revision that is in force and stays.
        revision: u32,
        /// What was seen, and why the controller does not roll it back by itself.
        why: String,
    },
    BreakGlassOn {
        /// The value of the namespace's annotation.
        why: String,
        /// How many policies there were to delete; absent if that is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        policies: Option<usize>,
        /// When it was done, if another leader recorded it later.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        done: Option<Timestamp>,
    },
    BreakGlassOff,
    ModeChanged {
        from: Mode,
        to: Mode,
    },
    SegmentationAdded {
        mode: Mode,
    },
    SegmentationRemoved {
        policies: RemainingPolicies,
        /// When its deletion was asked for, if the object showed it before it was gone. Who deleted an object is
        /// written nowhere in it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deleted: Option<Timestamp>,
    },
    Violation {
        connection: Connection,
        /// The name of the policy that denies it, in the namespace of the line.
        policy: String,
        /// It stands for all further ports and peers of its kind: these have no lines of their own.
        #[serde(default, skip_serializing_if = "is_false")]
        further: bool,
    },
    ViolationWithdrawn {
        /// As the line of the violation has it.
        connection: Connection,
        /// The same connection with its real ends.
        now: Connection,
    },
    Adopted,
    Exported,
    /// The first line after the state was lost, cut or altered (rule: lost-state-is-noticed).
    RecordReset {
        /// The end of the record as it was published before; absent if that could not be read any more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        published: Option<Head>,
        cause: ResetCause,
        /// How many lines before this one do not verify. More of them later are another alteration.
        #[serde(default, skip_serializing_if = "is_zero")]
        faults: u64,
    },
    /// A line of an earlier version whose sentence is not one of the fixed ones: only the kind is known.
    #[serde(untagged)]
    Undetailed {
        action: ActionKind,
    },
}

/// How a Segmentation treats its namespace, as `spec.mode` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub enum Mode {
    #[default]
    Observe,
    Propose,
    Enforce,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::Observe, Mode::Propose, Mode::Enforce];

    /// The spelling of the custom resource.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Observe => "Observe",
            Mode::Propose => "Propose",
            Mode::Enforce => "Enforce",
        }
    }
}

/// Why a decision does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// There is no such proposal.
    Unknown,
    /// The proposal was deleted and made again since.
    AnotherObject,
    /// The proposal changed since it was read.
    Outdated,
    /// The proposal does not wait for a decision.
    NotPending,
    /// The proposal was not approved, so it cannot be rolled back.
    NotApproved,
    /// A connection that is to be left out is not in the proposal, or cannot be left out alone.
    CannotExcept,
    /// The proposal cannot be approved for a time.
    CannotExpire,
}

/// How a policy in the cluster differs from the approved one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drift {
    SpecChanged,
    /// The label by which nanoseg knows its own policies was changed.
    LabelChanged,
    Deleted,
    /// A policy is in the cluster that was rolled back or removed.
    Unwanted,
}

/// What happens to the policies of a namespace whose Segmentation was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemainingPolicies {
    /// They stay in the cluster, and nobody keeps them as they were approved.
    Retained,
    /// They are deleted.
    Removed,
}

/// How the state differed from what was known of it elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResetCause {
    /// It had no record at all.
    Lost,
    /// Its record ended before the published one.
    Behind,
    /// Its record had another line where the published one ended.
    AnotherChain,
    /// Its record did not verify.
    Altered,
    /// It had a record, and nothing was published any more.
    Unpublished,
    /// What was published was no record.
    Unreadable,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// A connection between two peers, each named as in proposals: a workload as `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Connection {
    pub client: String,
    pub server: String,
    pub protocol: Protocol,
    /// The port of the server itself, not that of a Service before it.
    pub port: u16,
}

/// A text that does not name a connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no connection; write it as nanoseg review shows it: 'shop/web → shop/db 5432/TCP'"
)]
pub struct NoConnection(pub String);

impl std::str::FromStr for Connection {
    type Err = NoConnection;

    /// Reads what [`Connection`] displays. `->` is an arrow too, and spaces do not count.
    fn from_str(text: &str) -> Result<Connection, NoConnection> {
        let parse = || {
            let (client, rest) = text.split_once('→').or_else(|| text.split_once("->"))?;
            let (server, port) = rest.trim().rsplit_once(char::is_whitespace)?;
            let (port, protocol) = port.split_once('/')?;
            let is_name = |name: &str| !name.is_empty() && !name.contains(char::is_whitespace);
            let (client, server) = (client.trim(), server.trim());
            (is_name(client) && is_name(server)).then_some(())?;
            Some(Connection {
                client: client.to_owned(),
                server: server.to_owned(),
                protocol: Protocol::parse(&protocol.trim().to_ascii_uppercase())?,
                port: port.trim().parse().ok()?,
            })
        };
        parse().ok_or_else(|| NoConnection(text.to_owned()))
    }
}

/// Whether anybody keeps the policies of a namespace as they were approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// The policies are left in the cluster, and nobody keeps them from now on.
    Ends,
    /// The policies are kept as they were approved again.
    Begins,
}

impl Action {
    pub fn kind(&self) -> ActionKind {
        match self {
            Action::Proposed { .. } => ActionKind::Proposed,
            Action::Superseded { .. } => ActionKind::Superseded,
            Action::Approved { .. } => ActionKind::Approved,
            Action::AutoApproved { .. } => ActionKind::AutoApproved,
            Action::Rejected { .. } => ActionKind::Rejected,
            Action::ConnectionsRejected { .. } => ActionKind::ConnectionsRejected,
            Action::OpeningExpired { .. } => ActionKind::OpeningExpired,
            Action::DecisionRefused { .. } => ActionKind::DecisionRefused,
            Action::Applied => ActionKind::Applied,
            Action::Deleted => ActionKind::Deleted,
            Action::DriftRepaired { .. } => ActionKind::DriftRepaired,
            Action::DriftGivenUp { .. } => ActionKind::DriftGivenUp,
            Action::RolledBack { .. } => ActionKind::RolledBack,
            Action::AutoRolledBack { .. } => ActionKind::AutoRolledBack,
            Action::ApprovedTrafficBlocked { .. } => ActionKind::ApprovedTrafficBlocked,
            Action::BreakGlassOn { .. } => ActionKind::BreakGlassOn,
            Action::BreakGlassOff => ActionKind::BreakGlassOff,
            Action::ModeChanged { .. } => ActionKind::ModeChanged,
            Action::SegmentationAdded { .. } => ActionKind::SegmentationAdded,
            Action::SegmentationRemoved { .. } => ActionKind::SegmentationRemoved,
            Action::Violation { .. } => ActionKind::Violation,
            Action::ViolationWithdrawn { .. } => ActionKind::ViolationWithdrawn,
            Action::Adopted => ActionKind::Adopted,
            Action::Exported => ActionKind::Exported,
            Action::RecordReset { .. } => ActionKind::RecordReset,
            Action::Undetailed { action } => *action,
        }
    }

    /// The name of the proposal that it is about, if it is about one and that is known.
    pub fn proposal(&self) -> Option<&str> {
        match self {
            Action::Proposed { proposal, .. }
            | Action::Superseded { proposal, .. }
            | Action::Approved { proposal, .. }
            | Action::AutoApproved { proposal }
            | Action::Rejected { proposal, .. }
            | Action::ConnectionsRejected { proposal, .. }
            | Action::OpeningExpired { proposal, .. }
            | Action::DecisionRefused { proposal, .. }
            | Action::RolledBack { proposal, .. }
            | Action::AutoRolledBack { proposal, .. } => Some(proposal),
            _ => None,
        }
    }

    /// Whether it is the approval of a proposal, by a person or by the rules.
    pub fn is_approval(&self) -> bool {
        matches!(self.kind(), ActionKind::Approved | ActionKind::AutoApproved)
    }

    /// Whether it is a roll-back, by a person or because approved traffic was blocked.
    pub fn is_roll_back(&self) -> bool {
        matches!(
            self.kind(),
            ActionKind::RolledBack | ActionKind::AutoRolledBack
        )
    }

    /// When it was done, if another leader recorded it later.
    pub fn done(&self) -> Option<Timestamp> {
        match self {
            Action::BreakGlassOn { done, .. } => *done,
            _ => None,
        }
    }

    /// Whether the keeping of the namespace's policies begins or ends with it; `None`: neither.
    pub fn keeping(&self) -> Option<Keeping> {
        match self {
            Action::ModeChanged { from, to } => match (*from, *to) {
                (Mode::Enforce, Mode::Enforce) => None,
                (Mode::Enforce, _) => Some(Keeping::Ends),
                (_, Mode::Enforce) => Some(Keeping::Begins),
                _ => None,
            },
            Action::SegmentationRemoved { policies, .. } => {
                (*policies == RemainingPolicies::Retained).then_some(Keeping::Ends)
            }
            _ => None,
        }
    }
}
