//! The rules of `docs/design.md` that decide about an edge, as reports name them.

use serde::Serialize;

macro_rules! rules {
    ($( $variant:ident $name:literal; )*) => {
        /// A rule that decided what a rule of a policy allows, in the order of `docs/design.md`. The
        /// kebab-case name is the heading there, and stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Rule { $( #[doc = $name] $variant, )* }

        impl Rule {
            pub const ALL: &'static [Rule] = &[ $( Rule::$variant, )* ];
            pub fn name(self) -> &'static str { match self { $( Rule::$variant => $name, )* } }
        }
    };
}

rules! {
    DirectionInferred "direction-inferred";
    OnlyConversationsTeach "only-conversations-teach";
    OneWayUdp "one-way-udp";
    ServiceTargetPort "service-target-port";
    NodePortFromAnyNode "node-port-from-any-node";
    NodeByAddress "node-by-address";
    ApiServerEndpoints "api-server-endpoints";
    DnsOverTcpImplied "dns-over-tcp-implied";
    OutsideAddressBlocks "outside-address-blocks";
}
