//! Hubble's events by its API: Relay, which reports all nodes of a cluster, or one node's Cilium agent.

mod follower;
mod node_events;
mod nodes;

pub use node_events::NodeObservations;
pub use nodes::HubbleNodes;

use super::counters::HubbleCounters;
use super::receiver::{Event, HubbleReceiver};
use super::resume::Resume;
use super::scope::HubbleScope;
use crate::{LiveError, LiveSource, Urgency};
use follower::{BACK_OFF, Follower};
use nanoseg_flow::{Observations, Source};
use nanoseg_net::Timestamp;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::oneshot;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// The kernel asks a silent peer whether it is there. HTTP/2's own question would be answered by the end
/// of the connection: servers made with grpc-go take more than one in five minutes for an attack.
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Where Relay is and how we know each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubbleRelaySettings {
    /// `host:port`, or `unix:PATH` for the socket of the node's own Cilium agent.
    pub address: String,
    /// Without it everything can be read and altered on the way.
    pub tls: Option<HubbleTls>,
    /// Flows that Hubble still has since then come first; otherwise those from now on.
    pub since: Option<Timestamp>,
}

/// Relay as a source of agents or of the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubbleSource {
    pub relay: HubbleRelaySettings,
    /// The cluster whose nodes count, where Relay tells of several.
    pub cluster: Option<String>,
}

/// PEM files for TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubbleTls {
    /// The authorities that may have signed Relay's certificate.
    pub ca: PathBuf,
    /// Our certificate and its key, where Relay asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name in Relay's certificate, if it is not the address's host.
    pub server_name: Option<String>,
}

/// Follows Relay on its own thread, and reconnects without end.
#[derive(Debug)]
pub struct HubbleRelay {
    receiver: HubbleReceiver,
    /// Ends the thread when it is dropped.
    _following: Following,
}

impl HubbleRelay {
    /// Connects.
    ///
    /// # Errors
    /// Files that cannot be read, a peer that cannot be reached in 10 s, or that refuses.
    pub fn open(settings: HubbleRelaySettings, scope: HubbleScope) -> Result<Self, LiveError> {
        let node = scope.node().map(str::to_owned);
        let (receiver, out) = HubbleReceiver::new(scope);
        let counters = Arc::clone(&receiver.counters);
        let following = Following::start(settings, node, counters, out)?;
        Ok(HubbleRelay {
            receiver,
            _following: following,
        })
    }

    /// Counters that go on while the source runs on another thread.
    pub fn counters(&self) -> Arc<HubbleCounters> {
        Arc::clone(&self.receiver.counters)
    }
}

/// The thread that follows Relay, until this is dropped.
#[derive(Debug)]
pub(super) struct Following {
    /// Dropped to end the thread.
    running: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Following {
    /// Connects, and sends events to `out`: those of all nodes, or of `node`.
    ///
    /// # Errors
    /// As [`HubbleRelay::open`].
    pub(super) fn start(
        settings: HubbleRelaySettings,
        node: Option<String>,
        counters: Arc<HubbleCounters>,
        out: SyncSender<Event>,
    ) -> Result<Following, LiveError> {
        let endpoint = endpoint(&settings)?;
        let address = settings.address.clone();
        let failed = |source| cannot(&address, None, source);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let (opened, outcome) = sync_channel(1);
        let (running, ended) = oneshot::channel();
        let mut follower = Follower {
            endpoint,
            node,
            resume: settings.since.map(Resume::from).unwrap_or_default(),
            settings,
            counters,
            opened: Some(opened),
            out,
            back_off: BACK_OFF.0,
        };
        let follow = move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = ended => {}
                    () = follower.run() => {}
                }
            });
            // Do not wait for a name that is being looked up.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new()
            .name("hubble-relay".to_owned())
            .spawn(follow)
            .map_err(failed)?;
        outcome
            .recv()
            .map_err(|_| failed(io::Error::other("its thread ended")))??;
        Ok(Following {
            running: Some(running),
            thread: Some(thread),
        })
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.running = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl LiveSource for HubbleRelay {
    fn source(&self) -> Source {
        Source::Hubble
    }

    fn poll(&mut self, patience: Duration) -> Result<bool, LiveError> {
        self.receiver.poll(patience)
    }

    fn urgency(&self) -> Urgency {
        self.receiver.urgency()
    }

    fn take(&mut self) -> Observations {
        self.receiver.take()
    }

    fn finish(&mut self) {
        self.receiver.finish();
    }
}

fn cannot(address: &str, remedy: Option<&str>, source: io::Error) -> LiveError {
    LiveError {
        action: format!("follow Hubble at {address}"),
        remedy: remedy.map(str::to_owned),
        source,
    }
}

/// Reads the files of the settings.
fn endpoint(settings: &HubbleRelaySettings) -> Result<Endpoint, LiveError> {
    let address = &settings.address;
    let wrong = |remedy| move |source| cannot(address, Some(remedy), io::Error::other(source));
    let uri = match &settings.tls {
        None if address.starts_with("unix:") => address.clone(),
        Some(_) if address.starts_with("unix:") => {
            let source = io::Error::other("a socket of the node has no TLS");
            return Err(cannot(address, Some("leave out --hubble-tls-ca"), source));
        }
        Some(_) => format!("https://{address}"),
        None => format!("http://{address}"),
    };
    let endpoint = Endpoint::from_shared(uri)
        .map_err(wrong("write host:port, or unix:PATH"))?
        .connect_timeout(CONNECT)
        .tcp_keepalive(Some(TCP_KEEP_ALIVE))
        .tcp_nodelay(true);
    let Some(tls) = &settings.tls else {
        return Ok(endpoint);
    };
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| LiveError {
            action: format!("read {}", path.display()),
            remedy: Some("give a PEM file".to_owned()),
            source,
        })
    };
    let mut config = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(&tls.ca)?))
        .timeout(CONNECT);
    if let Some((certificate, key)) = &tls.identity {
        config = config.identity(Identity::from_pem(read(certificate)?, read(key)?));
    }
    if let Some(name) = &tls.server_name {
        config = config.domain_name(name);
    }
    endpoint
        .tls_config(config)
        .map_err(wrong("look at the certificates and the key"))
}
