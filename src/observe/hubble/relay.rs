//! Hubble's events by its API: Relay, which tells of all nodes of a cluster, or one node's Cilium agent.

use super::generated::flow::Timestamp as ProtoTimestamp;
use super::generated::observer::observer_client::ObserverClient;
use super::generated::observer::{
    GetFlowsRequest, GetFlowsResponse, get_flows_response::ResponseTypes,
};
use super::generated::relay::{NodeState, NodeStatusEvent};
use super::intake::{Event, HubbleCounters, Intake, add};
use super::json::HubbleLine;
use super::message::parse_response;
use super::resume::Resume;
use crate::flow::{Slice, Source};
use crate::net::Timestamp;
use crate::observe::{Clock, LiveError, LiveSource, Urgency};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a refusal is waited for before the source counts as open. A server in which nothing happens
/// sends nothing at all.
const REFUSAL: Duration = Duration::from_secs(1);
/// The kernel asks a silent peer whether it is there. HTTP/2's own question would be answered by the end
/// of the connection: servers made with grpc-go take more than one in five minutes for an attack.
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The first and the longest wait before connecting again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How often a full queue is looked at.
const QUEUE_FULL: Duration = Duration::from_millis(10);

/// Where Relay is and how we know each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubbleRelaySettings {
    /// `host:port`.
    pub address: String,
    /// Without it everything can be read and altered on the way.
    pub tls: Option<HubbleTls>,
    /// Flows that Hubble still has since then come first; otherwise those from now on.
    pub since: Option<Timestamp>,
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

/// Follows Relay on a thread of its own, and connects again for as long as it takes.
#[derive(Debug)]
pub struct HubbleRelay {
    intake: Intake,
    /// Dropped to end the thread.
    running: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HubbleRelay {
    /// Connects.
    ///
    /// # Errors
    /// Files that cannot be read, a peer that cannot be reached in 10 s, or that refuses.
    pub fn open(settings: HubbleRelaySettings) -> Result<Self, LiveError> {
        let endpoint = endpoint(&settings)?;
        let failed = |source| cannot(&settings.address, None, source);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let (intake, out) = Intake::new();
        let (opened, outcome) = sync_channel(1);
        let (running, ended) = oneshot::channel();
        let mut follower = Follower {
            endpoint,
            address: settings.address.clone(),
            secure: settings.tls.is_some(),
            resume: settings.since.map(Resume::from).unwrap_or_default(),
            counters: Arc::clone(&intake.counters),
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
            // A name that is being looked up is not waited for.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new()
            .name("hubble-relay".to_owned())
            .spawn(follow)
            .map_err(failed)?;
        outcome
            .recv()
            .map_err(|_| failed(io::Error::other("its thread ended")))??;
        Ok(HubbleRelay {
            intake,
            running: Some(running),
            thread: Some(thread),
        })
    }

    /// Counters that go on while the source runs on another thread.
    pub fn counters(&self) -> Arc<HubbleCounters> {
        Arc::clone(&self.intake.counters)
    }
}

impl Drop for HubbleRelay {
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
        self.intake.poll(patience)
    }

    fn urgency(&self) -> Urgency {
        self.intake.urgency()
    }

    fn take(&mut self) -> Slice {
        self.intake.take()
    }

    fn finish(&mut self) {
        self.intake.finish();
    }
}

fn cannot(address: &str, remedy: Option<&str>, source: io::Error) -> LiveError {
    LiveError {
        action: format!("follow Hubble at {address}"),
        remedy: remedy.map(str::to_owned),
        source,
    }
}

fn endpoint(settings: &HubbleRelaySettings) -> Result<Endpoint, LiveError> {
    let address = &settings.address;
    let wrong = |remedy| move |source| cannot(address, Some(remedy), io::Error::other(source));
    let scheme = match settings.tls {
        Some(_) => "https",
        None => "http",
    };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
        .map_err(wrong("write host:port"))?
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

/// Why following ended.
enum Broken {
    /// Nobody takes events any more.
    Unwanted,
    /// Worth another try.
    For(LiveError),
    /// The next try would end the same way.
    Forever(LiveError),
}

/// The part that runs on the thread.
struct Follower {
    endpoint: Endpoint,
    address: String,
    secure: bool,
    resume: Resume,
    counters: Arc<HubbleCounters>,
    /// Told once, how the first attempt went.
    opened: Option<SyncSender<Result<(), LiveError>>>,
    out: SyncSender<Event>,
    back_off: Duration,
}

impl Follower {
    async fn run(&mut self) {
        // Also where nothing comes before the first break, what comes during it is wanted.
        let start = Clock::start().now();
        let mut since = self.resume.since();
        loop {
            let error = match self.follow(since).await {
                Broken::Unwanted => return,
                Broken::For(error) | Broken::Forever(error) if self.opened.is_some() => {
                    self.tell_opened(Err(error));
                    return;
                }
                Broken::Forever(error) => {
                    let _ = self.hand_on(Event::Failed(error)).await;
                    return;
                }
                Broken::For(error) => error,
            };
            add(&self.counters.reconnects, 1);
            let wait = self.back_off;
            tracing::warn!(address = %self.address, reason = %error.source, ?wait,
                "the connection to Hubble broke, connecting again");
            sleep(wait).await;
            self.back_off = (wait * 2).min(BACK_OFF.1);
            since = self.resume.since().or(Some(start));
        }
    }

    fn tell_opened(&mut self, outcome: Result<(), LiveError>) {
        if let Some(opened) = self.opened.take() {
            let _ = opened.send(outcome);
        }
    }

    /// Connects, and takes in flows until that ends.
    async fn follow(&mut self, since: Option<Timestamp>) -> Broken {
        let channel = match timeout(CONNECT, self.endpoint.connect()).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => return self.unreachable(causes(&error)),
            Err(_) => return self.unreachable("no answer in 10 s".to_owned()),
        };
        let mut client = ObserverClient::new(channel);
        let request = GetFlowsRequest {
            follow: true,
            since: since.map(timestamp),
        };
        let mut call = pin!(client.get_flows(request));
        let early = timeout(REFUSAL, call.as_mut()).await;
        if let Ok(Err(status)) = &early {
            return self.refused(status);
        }
        self.tell_opened(Ok(()));
        let answer = match early {
            Ok(answer) => answer,
            Err(_) => call.await,
        };
        let mut responses = match answer {
            Ok(answer) => answer.into_inner(),
            Err(status) => return self.refused(&status),
        };
        loop {
            match responses.message().await {
                Ok(Some(response)) => {
                    self.back_off = BACK_OFF.0;
                    if self.take(response).await.is_err() {
                        return Broken::Unwanted;
                    }
                }
                Ok(None) => return self.unreachable("it ended the stream".to_owned()),
                Err(status) => return self.refused(&status),
            }
        }
    }

    async fn take(&mut self, response: GetFlowsResponse) -> Result<(), Unwanted> {
        if let Some(ResponseTypes::NodeStatus(status)) = &response.response_types {
            tell_nodes(status);
        }
        let parsed = parse_response(response);
        if let Ok(HubbleLine::Flow(flow)) = &parsed
            && !self.resume.is_new(flow)
        {
            return Ok(());
        }
        self.hand_on(Event::Line(parsed)).await?;
        add(&self.counters.events, 1);
        Ok(())
    }

    /// Waits while the queue is full. Then Relay's end fills, and Hubble counts what it cannot send.
    async fn hand_on(&self, event: Event) -> Result<(), Unwanted> {
        let mut event = event;
        loop {
            match self.out.try_send(event) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(_)) => return Err(Unwanted),
                Err(TrySendError::Full(back)) => event = back,
            }
            sleep(QUEUE_FULL).await;
        }
    }

    fn unreachable(&self, reason: String) -> Broken {
        let remedy = match self.secure {
            true => "are the authority and the server's name those of Hubble Relay's certificate?",
            false => {
                "`kubectl -n kube-system port-forward service/hubble-relay 4245:80` makes it \
                 localhost:4245; a Relay with TLS needs its authority's certificate"
            }
        };
        Broken::For(cannot(
            &self.address,
            Some(remedy),
            io::Error::other(reason),
        ))
    }

    fn refused(&self, status: &Status) -> Broken {
        let reason = || io::Error::other(format!("{:?}: {}", status.code(), causes(status)));
        let forever = |remedy| Broken::Forever(cannot(&self.address, Some(remedy), reason()));
        match status.code() {
            Code::Unimplemented => forever("this is no Hubble; give the address of hubble-relay"),
            Code::Unauthenticated | Code::PermissionDenied => {
                forever("it wants another client certificate")
            }
            Code::InvalidArgument => forever("this version of Hubble cannot be followed"),
            _ => self.unreachable(causes(status)),
        }
    }
}

/// Nobody takes events any more.
struct Unwanted;

fn tell_nodes(status: &NodeStatusEvent) {
    let nodes = status.node_names.join(", ");
    match status.state_change() {
        NodeState::NodeUnavailable | NodeState::NodeError => {
            tracing::warn!(%nodes, reason = %status.message, "Hubble sees nothing of nodes");
        }
        state => tracing::debug!(%nodes, ?state, "Hubble's nodes"),
    }
}

fn timestamp(at: Timestamp) -> ProtoTimestamp {
    let nanos = at.nanos();
    ProtoTimestamp {
        seconds: nanos.div_euclid(1_000_000_000),
        nanos: nanos.rem_euclid(1_000_000_000) as i32,
    }
}

/// An error with what it comes from; tonic's own text is "transport error".
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
