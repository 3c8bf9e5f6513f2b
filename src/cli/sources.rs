//! Live sources: their names on the command line, and how each is started.

use crate::agent::{Figures, SourceSpec};
use crate::flow::Source;
use crate::observe::hubble::{HubbleCounters, HubbleRelay, HubbleScope, HubbleSource};
use crate::observe::{
    AddressChanges, CaptureCounters, CaptureSettings, Conntrack, ConntrackCounters,
    ConntrackOptions, Interfaces, LiveError, LiveSource, PacketSocket,
};
use clap::ValueEnum;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Sources of the node itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum LiveKind {
    /// The kernel's connection tracking.
    Conntrack,
    /// Packets of the interfaces.
    Capture,
}

impl std::fmt::Display for LiveKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.source().name())
    }
}

impl LiveKind {
    pub fn source(self) -> Source {
        match self {
            LiveKind::Conntrack => Source::Conntrack,
            LiveKind::Capture => Source::Capture,
        }
    }
}

/// Which interfaces packets are captured on.
#[derive(Debug, Clone, clap::Args)]
pub struct InterfaceArg {
    /// Interfaces to capture on: auto (all but loopback, bridges and dummies), any, names, or patterns
    /// such as veth*.
    #[arg(long, env = "NANOSEG_INTERFACE", value_name = "auto|any|NAME|GLOB", num_args = 1..,
          value_delimiter = ',', default_value = "auto")]
    interface: Vec<String>,
}

impl InterfaceArg {
    pub fn interfaces(&self) -> Interfaces {
        match self.interface.join(",").parse() {
            Ok(interfaces) => interfaces,
        }
    }
}

/// A source that can be started, and restarted. The sources of one node share `address_changes`: each adds the changes
/// that it finds.
pub fn open(kind: LiveKind, interfaces: Interfaces, address_changes: AddressChanges) -> SourceSpec {
    match kind {
        LiveKind::Conntrack => conntrack(address_changes),
        LiveKind::Capture => capture(interfaces, address_changes),
    }
}

/// The counters of the source that is running.
type Now<T> = Arc<Mutex<Option<T>>>;

fn set<T>(now: &Now<T>, counters: T) {
    *now.lock().unwrap_or_else(PoisonError::into_inner) = Some(counters);
}

fn figures<T: Send + 'static>(
    now: Now<T>,
    read: impl Fn(&T) -> Vec<(&'static str, u64)> + Send + Sync + 'static,
) -> Figures {
    Arc::new(move || {
        let now = now.lock().unwrap_or_else(PoisonError::into_inner);
        now.as_ref().map_or_else(Vec::new, &read)
    })
}

fn conntrack(address_changes: AddressChanges) -> SourceSpec {
    let now: Now<ConntrackCounters> = Now::default();
    let opened = Arc::clone(&now);
    let open = move || -> Result<Box<dyn LiveSource>, LiveError> {
        let source = Conntrack::open(ConntrackOptions::default(), address_changes.clone())?;
        set(&opened, source.counters());
        Ok(Box::new(source))
    };
    let read = |counters: &ConntrackCounters| {
        let counts = counters.read();
        vec![
            ("new", counts.new),
            ("updates", counts.updates),
            ("destroyed", counts.destroyed),
            ("dumped", counts.dumped),
            ("dumps", counts.dumps),
            ("overruns", counts.overruns),
            ("malformed", counts.malformed),
            ("strays", counts.strays),
            ("held", counts.held),
        ]
    };
    SourceSpec {
        source: Source::Conntrack,
        open: Box::new(open),
        figures: figures(now, read),
    }
}

fn capture(interfaces: Interfaces, address_changes: AddressChanges) -> SourceSpec {
    let now: Now<Arc<CaptureCounters>> = Now::default();
    let opened = Arc::clone(&now);
    let open = move || -> Result<Box<dyn LiveSource>, LiveError> {
        let settings = CaptureSettings {
            interfaces: interfaces.clone(),
            ..CaptureSettings::default()
        };
        let source = PacketSocket::open(settings, address_changes.clone())?;
        set(&opened, source.counters());
        Ok(Box::new(source))
    };
    let read = |counters: &Arc<CaptureCounters>| {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        vec![
            ("packets", value(&counters.packets)),
            ("kernel-drops", value(&counters.kernel_drops)),
            ("undecoded", value(&counters.undecoded)),
            ("sampled-away", value(&counters.sampled_away)),
            ("udp-divisor", value(&counters.udp_divisor)),
            ("connections", value(&counters.connections)),
        ]
    };
    SourceSpec {
        source: Source::Capture,
        open: Box::new(open),
        figures: figures(now, read),
    }
}

/// What the node itself saw, of Hubble Relay or of the node's own Cilium agent (rule: relay-speaks-for-its-nodes).
pub fn hubble(source: HubbleSource, node: &str) -> SourceSpec {
    let now: Now<Arc<HubbleCounters>> = Now::default();
    let opened = Arc::clone(&now);
    let scope = HubbleScope::Node {
        node: node.to_owned(),
        cluster: source.cluster,
    };
    let open = move || -> Result<Box<dyn LiveSource>, LiveError> {
        let source = HubbleRelay::open(source.relay.clone(), scope.clone())?;
        set(&opened, source.counters());
        Ok(Box::new(source))
    };
    SourceSpec {
        source: Source::Hubble,
        open: Box::new(open),
        figures: figures(now, |counters| counters.read()),
    }
}
