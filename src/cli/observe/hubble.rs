//! Options about Cilium's Hubble.

use super::super::hubble_relay::HubbleRelayArgs;
use super::super::units::parse_duration;
use crate::observe::hubble::{HubbleLines, HubbleRelay, HubbleRelaySettings, HubbleScope};
use crate::observe::{Clock, LiveError, LiveSource};
use std::path::PathBuf;
use std::time::Duration;

/// Where Hubble's events come from, if Hubble is used.
#[derive(Debug, clap::Args)]
pub struct HubbleArgs {
    /// Read the events of Cilium's Hubble as `hubble observe -o jsonpb` or its exporter writes them: a file, or -
    /// for standard input, which is followed.
    #[arg(long, value_name = "FILE|-", conflicts_with = "hubble_relay")]
    hubble: Option<PathBuf>,
    #[command(flatten)]
    relay: HubbleRelayArgs,
    /// Begin with flows that are this old, as far as Hubble still has them, for example 10m.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, requires = "hubble_relay")]
    hubble_since: Option<Duration>,
}

impl HubbleArgs {
    pub fn is_wanted(&self) -> bool {
        self.hubble.is_some() || self.relay.is_wanted()
    }

    /// Opens the source that the options name.
    pub fn open(&self) -> Result<Option<Box<dyn LiveSource>>, LiveError> {
        if let Some(path) = &self.hubble {
            return Ok(Some(Box::new(HubbleLines::open(path)?)));
        }
        let Some(settings) = self.relay.settings() else {
            return Ok(None);
        };
        let seconds = |ago: Duration| i64::try_from(ago.as_secs()).unwrap_or(i64::MAX / 2);
        let settings = HubbleRelaySettings {
            since: self
                .hubble_since
                .map(|ago| Clock::start().now().plus_secs(-seconds(ago))),
            ..settings
        };
        let source = HubbleRelay::open(settings, HubbleScope::Everything)?;
        Ok(Some(Box::new(source)))
    }
}
