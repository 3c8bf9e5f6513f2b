//! Options about Cilium's Hubble.

use super::super::units::parse_duration;
use crate::observe::hubble::{HubbleLines, HubbleRelay, HubbleRelaySettings, HubbleTls};
use crate::observe::{Clock, LiveError, LiveSource};
use std::path::PathBuf;
use std::time::Duration;

/// Where Hubble's events come from, if Hubble is used.
#[derive(Debug, clap::Args)]
pub struct HubbleArgs {
    /// Read the events of Cilium's Hubble as `hubble observe -o jsonpb` or its exporter writes them: a file, or -
    /// for standard input, which is followed.
    #[arg(long, value_name = "FILE|-")]
    hubble: Option<PathBuf>,
    /// Watch the flows of all nodes through Cilium's Hubble Relay.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "hubble")]
    hubble_relay: Option<String>,
    /// Begin with flows that are this old, as far as Hubble still has them, for example 10m.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, requires = "hubble_relay")]
    hubble_since: Option<Duration>,
    /// The certificate authority of Relay (PEM). Without it, TLS is not used.
    #[arg(long, value_name = "FILE", requires = "hubble_relay")]
    hubble_tls_ca: Option<PathBuf>,
    /// The client certificate (PEM), if Relay requires one.
    #[arg(long, value_name = "FILE", requires_all = ["hubble_tls_ca", "hubble_tls_key"])]
    hubble_tls_cert: Option<PathBuf>,
    /// The key of the client certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "hubble_tls_cert")]
    hubble_tls_key: Option<PathBuf>,
    /// The name in Relay's certificate, if it differs from HOST, for example ui.hubble-relay.cilium.io.
    #[arg(long, value_name = "NAME", requires = "hubble_tls_ca")]
    hubble_tls_server_name: Option<String>,
}

impl HubbleArgs {
    pub fn is_wanted(&self) -> bool {
        self.hubble.is_some() || self.hubble_relay.is_some()
    }

    /// Opens the source that the options name.
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
