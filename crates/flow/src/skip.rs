//! Why a frame yields no packet. Every skipped frame is counted by reason (rule: loss-is-counted).

use std::fmt;

macro_rules! reasons {
    ($( $variant:ident $name:literal $meaning:literal; )*) => {
        /// The closed list of reasons for skipping a frame. The kebab-case name is stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Skip { $( #[doc = $meaning] $variant, )* }

        impl Skip {
            /// Every reason, in the order of the list.
            pub const ALL: &'static [Skip] = &[ $( Skip::$variant, )* ];
            /// The stable kebab-case name.
            pub fn name(self) -> &'static str { match self { $( Skip::$variant => $name, )* } }
            /// One sentence for the report.
            pub fn meaning(self) -> &'static str { match self { $( Skip::$variant => $meaning, )* } }
        }
    };
}

reasons! {
    Arp "arp" "ARP or RARP: no IP, and never subject to a NetworkPolicy.";
    Lldp "lldp" "Link Layer Discovery Protocol.";
    Eapol "eapol" "802.1X authentication.";
    Stp "stp" "Spanning tree.";
    Llc "llc" "An 802.3 frame that carries something other than IP.";
    SlowProtocol "slow-protocol" "LACP and other IEEE slow protocols.";
    PppControl "ppp-control" "PPP or PPPoE negotiation.";
    WlanControl "wlan-control" "802.11 management, control or encrypted frames.";
    NeighbourDiscovery "neighbour-discovery" "IPv6 neighbour and router discovery.";
    GroupMembership "group-membership" "IGMP or Multicast Listener Discovery.";
    LaterFragment "later-fragment" "A fragment after the first: it has no ports, its first fragment counts.";
    TooShort "too-short" "The capture holds too few bytes of the frame to find the ports.";
    BadHeader "bad-header" "A header contradicts itself.";
    TunnelDepth "tunnel-depth" "More tunnels inside each other than are followed.";
    UnsupportedLinkType "unsupported-link-type" "A link type that is not read.";
    UnsupportedEthertype "unsupported-ethertype" "An EtherType that is not read.";
    UnsupportedTunnel "unsupported-tunnel" "A GRE payload that is not read.";
}

impl Skip {
    /// Returns true if the frame may hold traffic of a pod that stays unknown: it could not be decoded. The others
    /// are understood, and hold no connection of a pod.
    pub fn hides_traffic(self) -> bool {
        match self {
            Skip::WlanControl
            | Skip::TooShort
            | Skip::BadHeader
            | Skip::TunnelDepth
            | Skip::UnsupportedLinkType
            | Skip::UnsupportedEthertype
            | Skip::UnsupportedTunnel => true,
            Skip::Arp
            | Skip::Lldp
            | Skip::Eapol
            | Skip::Stp
            | Skip::Llc
            | Skip::SlowProtocol
            | Skip::PppControl
            | Skip::NeighbourDiscovery
            | Skip::GroupMembership
            | Skip::LaterFragment => false,
        }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How many frames were skipped for each reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkipCounters([u64; Skip::ALL.len()]);

impl Default for SkipCounters {
    fn default() -> Self {
        SkipCounters([0; Skip::ALL.len()])
    }
}

impl SkipCounters {
    /// Counts one frame.
    pub fn add(&mut self, reason: Skip) {
        self.0[reason as usize] += 1;
    }

    /// The number of frames that were skipped for one reason.
    pub fn get(&self, reason: Skip) -> u64 {
        self.0[reason as usize]
    }

    /// The number of all skipped frames.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The reasons that occurred, the most frequent first.
    pub fn listing(&self) -> Vec<(Skip, u64)> {
        let mut list: Vec<_> = Skip::ALL
            .iter()
            .map(|r| (*r, self.get(*r)))
            .filter(|(_, n)| *n > 0)
            .collect();
        list.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        list
    }

    /// Adds the counts of other frames.
    pub fn merge(&mut self, other: &SkipCounters) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}
