//! The agent's end of the stream.

use super::super::proto::Acknowledgement;
use super::super::{DeliveryError, MAX_BATCH_BYTES};
use super::SEND;
use super::codec::FrameCodec;
use nanoseg_flow::BatchId;
use nanoseg_flow::Instance;
use nanoseg_listen::check_authorities;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status, Streaming};

/// How long connecting may take, until the stream stands.
const CONNECT: Duration = Duration::from_secs(5);
/// How often a silent receiver is pinged, and how long its answer may take (HTTP/2 PING).
const ASK_ALIVE: Duration = Duration::from_secs(5);
/// How many batches may wait to be sent.
const QUEUE: usize = 4;
/// How often the files of token and authorities are looked at while there is a connection.
const LOOK_AT_FILES: Duration = Duration::from_secs(10);

/// The address of the receiver, and the files for authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcSettings {
    /// `https://host:port`; `http://` only with `insecure`.
    pub endpoint: String,
    /// Allows an `http://` endpoint: everything, the token too, can be read and altered on the way.
    pub insecure: bool,
    /// The PEM file of the authorities that may have signed the receiver's certificate. Read at each connection, and
    /// again when it has changed. (rule: certificates-are-read-again)
    pub ca: Option<PathBuf>,
    /// The name in the receiver's certificate, if it is not the endpoint's host.
    pub server_name: Option<String>,
    /// The file of the ServiceAccount token. Read at each connection, and again when it has changed.
    pub token: Option<PathBuf>,
}

/// Sends batches by gRPC.
#[derive(Debug)]
pub struct GrpcDelivery {
    settings: GrpcSettings,
    link: Option<Link>,
    /// The content of `ca` that could be used last.
    authorities: Vec<u8>,
    /// Why the file holds something else now.
    problem: Option<String>,
}

/// An open stream.
#[derive(Debug)]
struct Link {
    out: mpsc::Sender<Vec<u8>>,
    acknowledgements: Streaming<Acknowledgement>,
    /// Acknowledgements that came while a batch was being sent.
    ready: VecDeque<BatchId>,
    /// Sent and not acknowledged, in order.
    in_flight: VecDeque<BatchId>,
    token: Option<String>,
    authorities: Vec<u8>,
    looked_at_files: Instant,
}

impl GrpcDelivery {
    /// See [`super::super::Delivery::grpc`].
    pub fn new(settings: GrpcSettings) -> Result<Self, DeliveryError> {
        let mut delivery = GrpcDelivery {
            settings,
            link: None,
            authorities: Vec::new(),
            problem: None,
        };
        delivery.endpoint(Vec::new())?;
        delivery.authorities = delivery.read_authorities()?;
        delivery.read_token()?;
        Ok(delivery)
    }

    pub async fn send(&mut self, id: BatchId, encoded: Vec<u8>) -> Result<(), DeliveryError> {
        if encoded.len() > MAX_BATCH_BYTES {
            let reason = format!(
                "{} bytes, at most {MAX_BATCH_BYTES} are allowed",
                encoded.len()
            );
            return Err(DeliveryError::Refused(id, reason));
        }
        self.drop_outdated_link();
        if self.link.is_none() {
            self.refresh_authorities();
            let link = tokio::time::timeout(2 * CONNECT, self.connect()).await;
            self.link =
                Some(link.map_err(|_| self.unavailable("connect to", "no answer in time"))??);
        }
        let Some(link) = &mut self.link else {
            return Ok(());
        };
        let outcome = link.send(id, encoded).await;
        self.or_disconnect(outcome)
    }

    pub async fn acknowledged(&mut self) -> Result<BatchId, DeliveryError> {
        let Some(link) = &mut self.link else {
            return std::future::pending().await;
        };
        let outcome = link.acknowledged().await;
        self.or_disconnect(outcome)
    }

    fn or_disconnect<T>(&mut self, outcome: Result<T, Option<Status>>) -> Result<T, DeliveryError> {
        outcome.map_err(|status| {
            let first = self
                .link
                .take()
                .and_then(|mut link| link.in_flight.pop_front());
            match status {
                Some(status) => self.delivery_error(&status, first),
                None => self.unavailable("deliver to", "it ended the stream"),
            }
        })
    }

    /// Ends the connection if its token or its authorities have been replaced, and no batch is unacknowledged.
    fn drop_outdated_link(&mut self) {
        let Some(link) = &mut self.link else {
            return;
        };
        if !link.in_flight.is_empty() || link.looked_at_files.elapsed() < LOOK_AT_FILES {
            return;
        }
        link.looked_at_files = Instant::now();
        let (token, authorities) = (link.token.clone(), link.authorities.clone());
        self.refresh_authorities();
        let is_outdated = self.read_token().is_ok_and(|read| read != token);
        if is_outdated || authorities != self.authorities {
            self.link = None;
        }
    }

    /// Takes what the file of the authorities holds now, if it can be used.
    fn refresh_authorities(&mut self) {
        match self.read_authorities() {
            Ok(authorities) => {
                self.authorities = authorities;
                self.problem = None;
            }
            Err(error) => {
                let problem = Some(error.to_string());
                if self.problem != problem {
                    tracing::error!("{error}; the authorities before stay in use");
                    self.problem = problem;
                }
            }
        }
    }

    /// The content of the file of the authorities; empty without one.
    fn read_authorities(&self) -> Result<Vec<u8>, DeliveryError> {
        let Some(path) = &self.settings.ca else {
            return Ok(Vec::new());
        };
        let wrong = |action: &str, reason: String| {
            let reason = format!("failed to {action} {}: {reason}", path.display());
            self.unavailable("connect to", reason)
        };
        let pem = std::fs::read(path).map_err(|error| wrong("read", error.to_string()))?;
        check_authorities(&pem).map_err(|reason| wrong("use", reason))?;
        Ok(pem)
    }

    fn endpoint(&self, authorities: Vec<u8>) -> Result<Endpoint, DeliveryError> {
        let wrong = |reason: String| self.unavailable("connect to", reason);
        let settings = &self.settings;
        let endpoint = Endpoint::from_shared(settings.endpoint.clone())
            .map_err(|e| wrong(format!("{e}; write https://host:port")))?
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(ASK_ALIVE)
            .keep_alive_timeout(ASK_ALIVE)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        match endpoint.uri().scheme_str() {
            Some("https") => {}
            Some("http") if settings.insecure => return Ok(endpoint),
            _ => return Err(wrong("write https://host:port".into())),
        }
        if settings.ca.is_none() {
            return Err(wrong(
                "give the file of the authority that signed its certificate".into(),
            ));
        }
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(authorities))
            .timeout(CONNECT);
        if let Some(name) = &settings.server_name {
            tls = tls.domain_name(name);
        }
        endpoint.tls_config(tls).map_err(|e| wrong(causes(&e)))
    }

    fn read_token(&self) -> Result<Option<String>, DeliveryError> {
        let Some(path) = &self.settings.token else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(path).map_err(|e| DeliveryError::Unauthenticated {
            reason: format!("failed to read token file {}: {e}", path.display()),
        })?;
        Ok(Some(text.trim().to_owned()))
    }

    async fn connect(&self) -> Result<Link, DeliveryError> {
        let token = self.read_token()?;
        let authorities = self.authorities.clone();
        let channel = self.endpoint(authorities.clone())?.connect().await;
        let channel = channel.map_err(|e| self.unavailable("connect to", causes(&e)))?;
        let (out, queue) = mpsc::channel(QUEUE);
        let mut request = Request::new(ReceiverStream::new(queue));
        if let Some(token) = &token {
            let value: MetadataValue<Ascii> =
                format!("Bearer {token}")
                    .parse()
                    .map_err(|_| DeliveryError::Unauthenticated {
                        reason: "the token file holds no token".into(),
                    })?;
            request.metadata_mut().insert("authorization", value);
        }
        let acknowledgements = open(channel, request)
            .await
            .map_err(|s| self.delivery_error(&s, None))?;
        Ok(Link {
            out,
            acknowledgements,
            ready: VecDeque::new(),
            in_flight: VecDeque::new(),
            token,
            authorities,
            looked_at_files: Instant::now(),
        })
    }

    /// Returns what a status of the receiver means to the agent. `first`: the first batch without an answer.
    fn delivery_error(&self, status: &Status, first: Option<BatchId>) -> DeliveryError {
        let reason = status.message().to_owned();
        match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => {
                DeliveryError::Unauthenticated { reason }
            }
            Code::FailedPrecondition => DeliveryError::Unsupported { reason },
            Code::InvalidArgument if let Some(id) = first => DeliveryError::Refused(id, reason),
            code => self.unavailable("deliver to", format!("{code:?}: {}", causes(status))),
        }
    }

    fn unavailable(&self, action: &str, reason: impl Into<String>) -> DeliveryError {
        DeliveryError::Unavailable {
            action: format!("{action} {}", self.settings.endpoint),
            reason: reason.into(),
        }
    }
}

impl Link {
    /// Returns the error; `None`: the stream has ended.
    async fn send(&mut self, id: BatchId, encoded: Vec<u8>) -> Result<(), Option<Status>> {
        loop {
            tokio::select! {
                place = self.out.reserve() => {
                    // The stream has ended; the other direction has the reason.
                    let Ok(place) = place else {
                        return match self.acknowledgements.message().await {
                            Err(status) => Err(Some(status)),
                            Ok(_) => Err(None),
                        };
                    };
                    place.send(encoded);
                    self.in_flight.push_back(id);
                    return Ok(());
                }
                message = self.acknowledgements.message() => {
                    let id = parse_acknowledgement(message)?;
                    self.in_flight.retain(|sent| *sent != id);
                    self.ready.push_back(id);
                }
            }
        }
    }

    async fn acknowledged(&mut self) -> Result<BatchId, Option<Status>> {
        if let Some(id) = self.ready.pop_front() {
            return Ok(id);
        }
        let id = parse_acknowledgement(self.acknowledgements.message().await)?;
        self.in_flight.retain(|sent| *sent != id);
        Ok(id)
    }
}

async fn open(
    channel: Channel,
    request: Request<ReceiverStream<Vec<u8>>>,
) -> Result<Streaming<Acknowledgement>, Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    let ready = grpc.ready().await;
    ready.map_err(|e| Status::unavailable(causes(&e)))?;
    let path = PathAndQuery::from_static(SEND);
    let response = grpc.streaming(request, path, FrameCodec::new()).await?;
    Ok(response.into_inner())
}

fn parse_acknowledgement(
    message: Result<Option<Acknowledgement>, Status>,
) -> Result<BatchId, Option<Status>> {
    let acknowledgement = message.map_err(Some)?.ok_or(None)?;
    let instance = <[u8; 16]>::try_from(acknowledgement.instance.as_slice())
        .map_err(|_| Some(Status::internal("an acknowledgement without an instance")))?;
    Ok(BatchId {
        instance: Instance(instance),
        sequence: (
            acknowledgement.first_sequence,
            acknowledgement.last_sequence,
        ),
    })
}

/// Returns an error with all its causes: tonic's own text is only "transport error".
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
