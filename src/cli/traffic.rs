//! Options that say where observations come from.

use super::access::AccessArgs;
use crate::flow::FlowConfig;
use crate::graph::{GraphOptions, ImpliedLookups};
use crate::load::{LoadedTraffic, NoticeSink, SourcePath, TrafficSource, read_with_snapshots};
use crate::net::parse_range;
use crate::plugin::Profile;
use std::path::{Path, PathBuf};

/// Where observations come from.
#[derive(Debug, Clone, clap::Args)]
pub struct TrafficArgs {
    /// Packet captures: files (pcap or pcapng, plain, gzip or zstd), folders, or - for a stream. FILE@NODE says on
    /// which node it was taken, FILE@NODE,NODE on which nodes, FILE@* on all.
    #[arg(long, short, required_unless_present = "flows", value_name = "FILE|DIR|-[@NODE]", num_args = 1..)]
    capture: Vec<SourcePath>,
    /// Flow logs, beside captures or instead of them: nanoseg's own (JSON lines, CSV), Hubble's jsonpb lines,
    /// Calico's or Goldmane's JSON, the receiver's store. Plain, gzip or zstd; folders; - for a stream. @NODE as with --capture, for logs that do
    /// not name their node.
    #[arg(long, value_name = "FILE|DIR|-[@NODE]", num_args = 1..)]
    flows: Vec<SourcePath>,
    /// A range of pod addresses, if the nodes do not have a podCIDR (repeatable).
    #[arg(long, value_name = "CIDR", value_parser = range)]
    pod_cidr: Vec<ipnet::IpNet>,
    /// The range of Service addresses, if the Services in the snapshot do not show it (repeatable).
    #[arg(long, value_name = "CIDR", value_parser = range)]
    service_cidr: Vec<ipnet::IpNet>,
    /// The most connections held in memory at once, about 170 bytes each.
    #[arg(long, value_name = "N", default_value_t = FlowConfig::default().max_connections)]
    max_connections: usize,
}

/// An IPv4-mapped range is the IPv4 range (rule: mapped-address-is-ipv4).
fn range(text: &str) -> Result<ipnet::IpNet, String> {
    parse_range(text).ok_or_else(|| "give a range such as 10.244.0.0/16 or fd00::/48".to_owned())
}

impl TrafficArgs {
    pub fn source(&self) -> TrafficSource {
        let mut source = TrafficSource::new(self.capture.clone(), self.flows.clone());
        source.pod_ranges.clone_from(&self.pod_cidr);
        source.service_ranges.clone_from(&self.service_cidr);
        source.max_connections = self.max_connections;
        source
    }

    /// Checks that at most one input is standard input.
    ///
    /// # Errors
    /// Two of them are.
    pub fn check_stdin(&self, cluster: &[PathBuf]) -> anyhow::Result<()> {
        let is_stdin = |path: &Path| path.as_os_str() == "-";
        let any = |sources: &[SourcePath]| sources.iter().any(|source| is_stdin(&source.path));
        let inputs = [
            any(&self.capture),
            any(&self.flows),
            cluster.iter().any(|path| is_stdin(path)),
        ];
        anyhow::ensure!(
            inputs.into_iter().filter(|used| *used).count() < 2,
            "only one of --capture, --flows and --cluster can be standard input: give the others files"
        );
        Ok(())
    }
}

/// Observations, and the snapshots that name their workloads.
#[derive(Debug, clap::Args)]
pub struct ObservationArgs {
    #[command(flatten)]
    traffic: TrafficArgs,
    /// Snapshots of the cluster, as nanoseg snapshot writes them and kubectl get … -o yaml prints them; folders of
    /// them or of manifests; or the word live: the cluster as it is now (live:NAME: of that context).
    #[arg(long, required = true, value_name = "FILE|DIR|live", num_args = 1..)]
    cluster: Vec<PathBuf>,
    #[command(flatten)]
    access: AccessArgs,
}

impl ObservationArgs {
    /// Reads the snapshots, then captures and flow logs. `network_plugin` is the one that was named, if one was.
    ///
    /// # Errors
    /// Files that cannot be read, or are not what they should be.
    pub fn read(
        &self,
        network_plugin: Option<Profile>,
        notices: &dyn NoticeSink,
    ) -> anyhow::Result<LoadedTraffic> {
        self.traffic.check_stdin(&self.cluster)?;
        let mut source = self.traffic.source();
        source.network_plugin = network_plugin;
        let connect = self.access.settings();
        Ok(read_with_snapshots(
            &source,
            &self.cluster,
            &connect,
            notices,
        )?)
    }
}

/// How the graph is built.
#[derive(Debug, clap::Args)]
pub struct GraphArgs {
    /// Do not allow DNS over TCP where only DNS over UDP was seen.
    #[arg(long)]
    no_implied_dns: bool,
    /// For whom to allow DNS that was not seen, where a client called Services and so must have looked them up:
    /// the resolver that its neighbours use. long-lived: clients whose connections began before the observation.
    #[arg(long, value_name = "WHOM", value_enum, default_value_t = Lookups::LongLived, conflicts_with = "no_implied_dns")]
    implied_lookups: Lookups,
}

/// The words for [`ImpliedLookups`].
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Lookups {
    Never,
    LongLived,
    Always,
}

impl GraphArgs {
    pub fn options(&self) -> GraphOptions {
        GraphOptions {
            implied_dns: !self.no_implied_dns,
            implied_lookups: match self.implied_lookups {
                _ if self.no_implied_dns => ImpliedLookups::Never,
                Lookups::Never => ImpliedLookups::Never,
                Lookups::LongLived => ImpliedLookups::LongLived,
                Lookups::Always => ImpliedLookups::Always,
            },
        }
    }
}
