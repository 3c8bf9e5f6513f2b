//! Who cannot be named: an end of a connection that the inventory, the log and the snapshot leave without a
//! certain owner (rule: unattributed-is-kept).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

macro_rules! reasons {
    ($( $variant:ident $name:literal $meaning:literal; )*) => {
        /// Why an end of a connection cannot be named. The kebab-case name is stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum UnattributedReason { $( #[doc = $meaning] $variant, )* }

        impl UnattributedReason {
            /// Every reason, in the order of the list.
            pub const ALL: &'static [UnattributedReason] = &[ $( UnattributedReason::$variant, )* ];
            /// The stable kebab-case name.
            pub const fn name(self) -> &'static str {
                match self { $( UnattributedReason::$variant => $name, )* }
            }
            /// What is not known, as the end of the sentence "… since".
            pub const fn meaning(self) -> &'static str {
                match self { $( UnattributedReason::$variant => $meaning, )* }
            }
        }
    };
}

reasons! {
    UnknownPod "unknown-pod" "no known pod had this address of the pod range at that time";
    OwnerUncertain "owner-uncertain" "it is not certain which pod had this address at that time";
    ServiceWithoutEndpoints "service-without-endpoints" "the snapshot does not show what stands behind this Service";
    ForeignEndpoint "foreign-endpoint" "what stands behind this Service is not of its namespace, and where the connection arrived was not seen";
    UnknownService "unknown-service" "no Service of the snapshot has this address of the Service range";
    UnknownNodePort "unknown-node-port" "nothing in the snapshot listens at this port of the node";
    UnexplainedAddress "unexplained-address" "the snapshot has not all Services, and this private address may be one's";
    DepartedPod "departed-pod" "the log gives a name that neither the pods of the snapshot nor their owners explain: of a pod that is gone, or of a set of networks";
    OutsideNetwork "outside-network" "the log names a set of networks here, and no address";
    OutsideBlock "outside-block" "so many addresses beyond the cluster came that these are counted by their block";
    OtherCluster "other-cluster" "it is a pod of another cluster of the mesh, which neither the labels of this cluster nor an ipBlock select";
}

impl fmt::Display for UnattributedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Somebody whom nobody can name. A policy never has a rule for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Unattributed {
    /// The address, or a stand-in for a name that the log gives without an address: it is never shown.
    pub address: IpAddr,
    /// What the log or the snapshot calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub reason: UnattributedReason,
}

/// As stored: up to store version 4 an unknown pod was its address alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    UnknownPod(IpAddr),
    Unattributed {
        address: IpAddr,
        #[serde(default)]
        name: Option<String>,
        reason: UnattributedReason,
    },
}

impl From<Stored> for Unattributed {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::UnknownPod(address) => {
                Unattributed::at(address, UnattributedReason::UnknownPod)
            }
            Stored::Unattributed {
                address,
                name,
                reason,
            } => Unattributed {
                address,
                name,
                reason,
            },
        }
    }
}

impl Unattributed {
    /// Somebody of whom only the address is known.
    pub fn at(address: IpAddr, reason: UnattributedReason) -> Self {
        Unattributed {
            address,
            name: None,
            reason,
        }
    }

    /// The name, or the address where there is none.
    pub fn label(&self) -> String {
        self.name
            .clone()
            .unwrap_or_else(|| self.address.to_string())
    }
}

impl fmt::Display for Unattributed {
    /// `REASON:NAME`, or `REASON:ADDRESS`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.reason, self.label())
    }
}
