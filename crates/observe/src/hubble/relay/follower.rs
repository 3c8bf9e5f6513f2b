//! The part of the Relay client that runs on its thread: connects, takes flows in, and connects again.

use super::super::api_message::parse_response;
use super::super::counters::{HubbleCounters, add};
use super::super::generated::flow::{FlowFilter, Timestamp as ProtoTimestamp};
use super::super::generated::observer::observer_client::ObserverClient;
use super::super::generated::observer::{
    GetFlowsRequest, GetFlowsResponse, get_flows_response::ResponseTypes,
};
use super::super::generated::relay::{NodeState, NodeStatusEvent};
use super::super::json::HubbleLine;
use super::super::receiver::Event;
use super::super::resume::Resume;
use super::{CONNECT, HubbleRelaySettings, cannot, endpoint};
use crate::{Clock, LiveError};
use nanoseg_net::{SECOND, Timestamp};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tonic::transport::Endpoint;
use tonic::{Code, Status};

/// How long a refusal is waited for before the source counts as open. A server in which nothing happens
/// sends nothing at all.
const REFUSAL: Duration = Duration::from_secs(1);
/// The first and the longest wait before connecting again.
pub(super) const BACK_OFF: (Duration, Duration) =
    (Duration::from_millis(500), Duration::from_secs(30));
/// How often a full queue is checked.
const QUEUE_FULL: Duration = Duration::from_millis(10);

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
pub(super) struct Follower {
    pub settings: HubbleRelaySettings,
    /// With the files of the settings as they could be read last.
    pub endpoint: Endpoint,
    /// The one node whose flows are wanted; `None`: those of all.
    pub node: Option<String>,
    pub resume: Resume,
    pub counters: Arc<HubbleCounters>,
    /// Told once, how the first attempt went.
    pub opened: Option<SyncSender<Result<(), LiveError>>>,
    pub out: SyncSender<Event>,
    /// The next wait before connecting again.
    pub back_off: Duration,
}

impl Follower {
    /// Follows until the receiver of events is gone or no event can come any more.
    pub async fn run(&mut self) {
        // Also where nothing comes before the first break, what comes during it is wanted.
        let start = Clock::start().now();
        let mut since = self.resume.since();
        loop {
            let error = match self.follow(since).await {
                Broken::Unwanted => return,
                Broken::For(error) | Broken::Forever(error) if self.opened.is_some() => {
                    self.report_opened(Err(error));
                    return;
                }
                Broken::Forever(error) => {
                    let _ = self.send(Event::Failed(error)).await;
                    return;
                }
                Broken::For(error) => error,
            };
            add(&self.counters.reconnects, 1);
            if self.send(Event::Broken).await.is_err() {
                return;
            }
            let wait = self.back_off;
            tracing::warn!(address = %self.settings.address, reason = %error.source, ?wait,
                "the connection to Hubble broke, connecting again");
            sleep(wait).await;
            self.back_off = (wait * 2).min(BACK_OFF.1);
            since = self.resume.since().or(Some(start));
            // (rule: certificates-are-read-again)
            match endpoint(&self.settings) {
                Ok(endpoint) => self.endpoint = endpoint,
                Err(error) => tracing::warn!("{error}: {}; as before", error.source),
            }
        }
    }

    fn report_opened(&mut self, outcome: Result<(), LiveError>) {
        if let Some(opened) = self.opened.take() {
            let _ = opened.send(outcome);
        }
    }

    /// Connects, and sends flows to the queue until the connection ends.
    async fn follow(&mut self, since: Option<Timestamp>) -> Broken {
        let channel = match timeout(CONNECT, self.endpoint.connect()).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => return self.unreachable(causes(&error)),
            Err(_) => return self.unreachable("no answer in 10 s".to_owned()),
        };
        let mut client = ObserverClient::new(channel);
        let of_node = |node: &String| FlowFilter {
            node_name: vec![node.clone()],
        };
        let request = GetFlowsRequest {
            follow: true,
            whitelist: self.node.iter().map(of_node).collect(),
            since: since.map(timestamp),
        };
        let mut call = pin!(client.get_flows(request));
        let early = timeout(REFUSAL, call.as_mut()).await;
        if let Ok(Err(status)) = &early {
            return self.refused(status);
        }
        self.report_opened(Ok(()));
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
            log_nodes(status);
        }
        let parsed = parse_response(response);
        if let Ok(HubbleLine::Flow(flow)) = &parsed
            && !self.resume.is_new(flow)
        {
            return Ok(());
        }
        self.send(Event::Line(parsed)).await?;
        add(&self.counters.events, 1);
        Ok(())
    }

    /// Waits while the queue is full. Then Relay's end fills, and Hubble counts what it cannot send.
    async fn send(&self, event: Event) -> Result<(), Unwanted> {
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
        let address = &self.settings.address;
        let remedy = if address.starts_with("unix:") {
            "is Hubble enabled on this node, and its socket mounted here?"
        } else if self.settings.tls.is_some() {
            "are the authority and the server's name those of Hubble Relay's certificate?"
        } else {
            "`kubectl -n kube-system port-forward service/hubble-relay 4245:80` makes it \
                 localhost:4245; a Relay with TLS needs its authority's certificate"
        };
        Broken::For(cannot(address, Some(remedy), io::Error::other(reason)))
    }

    fn refused(&self, status: &Status) -> Broken {
        let reason = || io::Error::other(format!("{:?}: {}", status.code(), causes(status)));
        let forever =
            |remedy| Broken::Forever(cannot(&self.settings.address, Some(remedy), reason()));
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

fn log_nodes(status: &NodeStatusEvent) {
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
        seconds: nanos.div_euclid(SECOND),
        nanos: nanos.rem_euclid(SECOND) as i32,
    }
}

/// An error with its causes; tonic's own text is "transport error".
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let reason = cause.to_string();
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        next = cause.source();
    }
    text
}
