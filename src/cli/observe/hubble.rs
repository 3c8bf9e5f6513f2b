//! Hubble's part of the command line.

use super::super::units::parse_duration;
use crate::observe::hubble::{HubbleLines, HubbleRelay, HubbleRelaySettings, HubbleTls};
use crate::observe::{Clock, LiveError, LiveSource};
use std::path::PathBuf;
use std::time::Duration;

/// Where Hubble's events come from, if they are wanted.
#[derive(Debug, clap::Args)]
pub struct HubbleArgs {
    /// Watch Cilium's Hubble by what `hubble observe -o jsonpb` or its exporter wrote: a file, or - for
    /// standard input, which is followed.
    #[arg(long, value_name = "FILE|-")]
    hubble: Option<PathBuf>,
    /// Watch Cilium's Hubble by its Relay: the flows of all nodes.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "hubble")]
    hubble_relay: Option<String>,
    /// Begin with the flows of this long ago that Hubble still has, for example 10m.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, requires = "hubble_relay")]
    hubble_since: Option<Duration>,
    /// The authority of Relay's certificate (PEM). Without it there is no TLS.
    #[arg(long, value_name = "FILE", requires = "hubble_relay")]
    hubble_tls_ca: Option<PathBuf>,
    /// Our certificate (PEM), where Relay asks for one.
    #[arg(long, value_name = "FILE", requires_all = ["hubble_tls_ca", "hubble_tls_key"])]
    hubble_tls_cert: Option<PathBuf>,
    /// The key of our certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "hubble_tls_cert")]
    hubble_tls_key: Option<PathBuf>,
    /// The name in Relay's certificate, if it is not HOST, for example ui.hubble-relay.cilium.io.
    #[arg(long, value_name = "NAME", requires = "hubble_tls_ca")]
    hubble_tls_server_name: Option<String>,
}

impl HubbleArgs {
    pub fn is_wanted(&self) -> bool {
        self.hubble.is_some() || self.hubble_relay.is_some()
    }

    /// Opens what was asked for.
    pub fn open(&self) -> Result<Option<Box<dyn LiveSource>>, LiveError> {
        if let Some(path) = &self.hubble {
            return Ok(Some(Box::new(HubbleLines::open(path)?)));
        }
        let Some(address) = &self.hubble_relay else {
            return Ok(None);
        };
        let seconds = |ago: Duration| i64::try_from(ago.as_secs()).unwrap_or(i64::MAX / 2);
        let settings = HubbleRelaySettings {
            address: address.clone(),
            tls: self.tls(),
            since: self
                .hubble_since
                .map(|ago| Clock::start().now().plus_secs(-seconds(ago))),
        };
        Ok(Some(Box::new(HubbleRelay::open(settings)?)))
    }

    fn tls(&self) -> Option<HubbleTls> {
        let identity = self
            .hubble_tls_cert
            .clone()
            .zip(self.hubble_tls_key.clone());
        Some(HubbleTls {
            ca: self.hubble_tls_ca.clone()?,
            identity,
            server_name: self.hubble_tls_server_name.clone(),
        })
    }
}
