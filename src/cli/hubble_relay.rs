//! Options about Cilium's Hubble Relay, for every command that follows it.

use crate::observe::hubble::{HubbleRelaySettings, HubbleSource, HubbleTls};
use anyhow::bail;
use std::net::IpAddr;
use std::path::PathBuf;

/// Where Hubble Relay is, and how we know each other.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Hubble")]
pub struct HubbleRelayArgs {
    /// Use the flows of Cilium's Hubble Relay, or those of one node's Cilium agent by its socket, for example
    /// unix:///var/run/cilium/hubble.sock.
    #[arg(long, env = "NANOSEG_HUBBLE_RELAY", value_name = "HOST:PORT|unix:PATH")]
    hubble_relay: Option<String>,
    /// The certificate authority of Relay (PEM). Without it, TLS is not used.
    #[arg(
        long,
        env = "NANOSEG_HUBBLE_TLS_CA",
        value_name = "FILE",
        requires = "hubble_relay"
    )]
    hubble_tls_ca: Option<PathBuf>,
    /// The client certificate (PEM), if Relay requires one.
    #[arg(long, env = "NANOSEG_HUBBLE_TLS_CERT", value_name = "FILE", requires_all = ["hubble_tls_ca", "hubble_tls_key"])]
    hubble_tls_cert: Option<PathBuf>,
    /// The key of the client certificate (PEM).
    #[arg(
        long,
        env = "NANOSEG_HUBBLE_TLS_KEY",
        value_name = "FILE",
        requires = "hubble_tls_cert"
    )]
    hubble_tls_key: Option<PathBuf>,
    /// The name in Relay's certificate, if it differs from HOST, for example ui.hubble-relay.cilium.io.
    #[arg(
        long,
        env = "NANOSEG_HUBBLE_TLS_SERVER_NAME",
        value_name = "NAME",
        requires = "hubble_tls_ca"
    )]
    hubble_tls_server_name: Option<String>,
}

/// What agents and the controller are told beside that: policies are made of what comes.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Hubble")]
pub struct HubbleSourceArgs {
    #[command(flatten)]
    relay: HubbleRelayArgs,
    /// The cluster whose nodes count (Cilium's cluster.name), where Relay tells of several.
    #[arg(
        long,
        env = "NANOSEG_HUBBLE_CLUSTER",
        value_name = "NAME",
        requires = "hubble_relay"
    )]
    hubble_cluster: Option<String>,
    /// Allow a Relay beyond this machine without TLS: anybody on the way can alter what was seen.
    #[arg(long, env = "NANOSEG_HUBBLE_INSECURE", requires = "hubble_relay")]
    hubble_insecure: bool,
}

impl HubbleRelayArgs {
    pub fn is_wanted(&self) -> bool {
        self.hubble_relay.is_some()
    }

    /// The settings; `None` without --hubble-relay. Flows from now on are asked for.
    pub fn settings(&self) -> Option<HubbleRelaySettings> {
        let address = self.hubble_relay.clone()?;
        let identity = self
            .hubble_tls_cert
            .clone()
            .zip(self.hubble_tls_key.clone());
        Some(HubbleRelaySettings {
            address,
            tls: self.hubble_tls_ca.clone().map(|ca| HubbleTls {
                ca,
                identity,
                server_name: self.hubble_tls_server_name.clone(),
            }),
            since: None,
        })
    }
}

impl HubbleSourceArgs {
    /// The address, as it was given.
    pub fn address(&self) -> Option<&str> {
        self.relay.hubble_relay.as_deref()
    }

    /// The source; `None` without --hubble-relay.
    ///
    /// # Errors
    /// If somebody on the way could alter what was seen.
    pub fn source(&self) -> anyhow::Result<Option<HubbleSource>> {
        let Some(relay) = self.relay.settings() else {
            return Ok(None);
        };
        if relay.tls.is_none() && !is_local(&relay.address) && !self.hubble_insecure {
            bail!(
                "failed to use Hubble Relay at {} without TLS: anybody on the way could alter what was seen; give \
                 --hubble-tls-ca, or --hubble-insecure if the network between is trusted",
                relay.address
            );
        }
        Ok(Some(HubbleSource {
            relay,
            cluster: self.hubble_cluster.clone(),
        }))
    }
}

/// Returns true for a socket of this machine and for its loopback addresses.
fn is_local(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    address.starts_with("unix:") || host == "localhost" || is_loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_on_this_machine_needs_no_tls() {
        for local in [
            "unix:///var/run/cilium/hubble.sock",
            "unix:/a",
            "localhost:4245",
            "127.0.0.1:4245",
            "[::1]:4245",
        ] {
            assert!(is_local(local), "{local}");
        }
        for remote in [
            "hubble-relay.kube-system.svc:80",
            "10.0.0.1:80",
            "[fd00::1]:80",
        ] {
            assert!(!is_local(remote), "{remote}");
        }
    }
}
