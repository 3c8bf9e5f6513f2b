//! Facts of a network plugin: a value with its source, the versions it holds for, and the test that shows it.

use super::behaviour::{
    Behaviour, Covers, EnforcedPorts, Established, Icmp, IpBlockMatch, Limits, PodMatch, SeenClient,
};
use std::fmt;

/// One fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fact<T> {
    pub value: T,
    /// Where it stands: a page of the project's documentation, a file of its source, an issue.
    pub source: &'static str,
    /// The versions it holds for, as far as the source says or was read.
    pub versions: &'static str,
    /// The test that shows it, as a path of this repository; empty: the source alone.
    pub test: &'static str,
}

impl<T: Copy> Fact<T> {
    /// The same fact with another value, since an option of the plugin sets it.
    pub(crate) const fn with(self, value: T) -> Fact<T> {
        Fact { value, ..self }
    }
}

/// A fact that a source says and no test of this repository shows.
pub(crate) const fn fact<T>(value: T, source: &'static str, versions: &'static str) -> Fact<T> {
    Fact {
        value,
        source,
        versions,
        test: "",
    }
}

/// A fact that a test of this repository shows, by the plugin's own code.
pub(crate) const fn shown<T>(
    value: T,
    source: &'static str,
    versions: &'static str,
    test: &'static str,
) -> Fact<T> {
    Fact {
        value,
        source,
        versions,
        test,
    }
}

macro_rules! facts {
    ($( $field:ident $aspect:ident $type:ty, $question:literal; )*) => {
        /// What a fact is about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Aspect { $( #[doc = $question] $aspect, )* }

        impl Aspect {
            /// Every aspect, in the order of the table.
            pub const ALL: &'static [Aspect] = &[ $( Aspect::$aspect, )* ];

            /// The question that the fact answers.
            pub const fn question(self) -> &'static str {
                match self { $( Aspect::$aspect => $question, )* }
            }
        }

        /// All facts of a profile.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Facts { $( #[doc = $question] pub $field: Fact<$type>, )* }

        impl Facts {
            /// The facts as text, in the order of [`Aspect::ALL`].
            pub fn rows(&self) -> Vec<FactRow> {
                vec![ $( FactRow::of(Aspect::$aspect, &self.$field), )* ]
            }
        }
    };
}

facts! {
    enforces Enforces bool, "Are policies enforced?";
    nodes IpBlockNodes bool, "Does an ipBlock match nodes?";
    pods IpBlockPods PodMatch, "Does an ipBlock match pods?";
    service_addresses IpBlockServices bool, "Does egress to a Service match by the Service's address?";
    ports ServicePorts EnforcedPorts, "Which port is checked behind a Service?";
    masquerade Masquerade SeenClient, "Whom does a pod behind a node port see?";
    own_node OwnNode bool, "Does a node always reach its own pods?";
    end_port EndPort bool, "Are ranges of ports (endPort) enforced?";
    named_egress_ports NamedEgressPorts bool, "Are named ports resolved on egress?";
    sctp Sctp bool, "Are rules for SCTP enforced?";
    icmp IsolatedIcmp Icmp, "What happens to the ICMP of an isolated pod?";
    established EstablishedConnections Established, "What happens to established connections?";
    ports_per_rule PortsPerRule Option<usize>, "How many ports may a rule have?";
    blocks_per_policy BlocksPerPolicy Option<usize>, "How many ipBlocks may a policy have?";
    bare_pods BarePods bool, "Are pods without an owner covered?";
    host_network HostNetworkPods bool, "Are hostNetwork pods covered?";
    windows WindowsPods bool, "Are pods on Windows covered?";
    dual_stack DualStack bool, "Are both address families of a pod covered?";
}

impl Facts {
    /// The values alone.
    pub const fn behaviour(&self) -> Behaviour {
        Behaviour {
            enforces: self.enforces.value,
            ip_block: IpBlockMatch {
                nodes: self.nodes.value,
                pods: self.pods.value,
                service_addresses: self.service_addresses.value,
            },
            ports: self.ports.value,
            masquerade: self.masquerade.value,
            own_node: self.own_node.value,
            end_port: self.end_port.value,
            named_egress_ports: self.named_egress_ports.value,
            sctp: self.sctp.value,
            icmp: self.icmp.value,
            established: self.established.value,
            limits: Limits {
                ports_per_rule: self.ports_per_rule.value,
                blocks_per_policy: self.blocks_per_policy.value,
            },
            covers: Covers {
                bare_pods: self.bare_pods.value,
                host_network: self.host_network.value,
                windows: self.windows.value,
                dual_stack: self.dual_stack.value,
            },
            deviations: &[],
        }
    }
}

/// A fact as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactRow {
    pub aspect: Aspect,
    pub value: String,
    pub source: &'static str,
    pub versions: &'static str,
    pub test: &'static str,
}

impl FactRow {
    fn of<T: Shown>(aspect: Aspect, fact: &Fact<T>) -> FactRow {
        FactRow {
            aspect,
            value: fact.value.shown(),
            source: fact.source,
            versions: fact.versions,
            test: fact.test,
        }
    }
}

/// How a value is shown in the table.
trait Shown {
    fn shown(&self) -> String;
}

impl Shown for bool {
    fn shown(&self) -> String {
        let text = if *self { "yes" } else { "no" };
        text.to_owned()
    }
}

impl Shown for Option<usize> {
    fn shown(&self) -> String {
        self.map_or_else(|| "no limit is known".to_owned(), |most| most.to_string())
    }
}

/// Values that say themselves in words.
trait InWords: fmt::Display {}
impl InWords for PodMatch {}
impl InWords for EnforcedPorts {}
impl InWords for SeenClient {}
impl InWords for Icmp {}
impl InWords for Established {}

impl<T: InWords> Shown for T {
    fn shown(&self) -> String {
        self.to_string()
    }
}
