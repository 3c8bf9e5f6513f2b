//! Live sources on the command line: their names, and how each is started.

use crate::agent::Wanted;
use crate::flow::Source;
use crate::observe::{
    CaptureSettings, Conntrack, ConntrackOptions, Cuts, Interfaces, LiveSource, PacketSocket,
};
use clap::ValueEnum;

/// Sources that need nothing but the node.
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

/// Where packets are captured.
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

/// A source that can be started, and started again. `cuts` tells the sources of one node of each other's
/// findings.
pub fn open(kind: LiveKind, interfaces: Interfaces, cuts: Cuts) -> Wanted {
    let open = move || -> Result<Box<dyn LiveSource>, _> {
        let cuts = cuts.clone();
        Ok(match kind {
            LiveKind::Conntrack => Box::new(Conntrack::open(ConntrackOptions::default(), cuts)?),
            LiveKind::Capture => {
                let settings = CaptureSettings {
                    interfaces: interfaces.clone(),
                    ..CaptureSettings::default()
                };
                Box::new(PacketSocket::open(settings, cuts)?)
            }
        })
    };
    Wanted {
        source: kind.source(),
        open: Box::new(open),
    }
}
