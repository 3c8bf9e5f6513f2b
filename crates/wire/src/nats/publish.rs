//! The agent's end: publishes batches and waits until the stream has stored them. An agent may do nothing else: it
//! neither looks at the stream nor makes it.

use super::super::DeliveryError;
use super::connect::{Connection, NatsError, NatsSettings, connect, read};
use super::message_id::MessageIds;
use super::{AGENT_INBOX, STREAM, TOKEN, subject_of, token_of};
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use nanoseg_flow::BatchId;
use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;

/// What NATS adds to a message: the headers without the token, in bytes.
const HEADERS: usize = 512;

/// A batch that was sent, whether that was the first time under its id, and the answer.
type Published = (BatchId, bool, Result<PublishAck, PublishError>);

/// Sends batches over NATS.
pub struct NatsDelivery {
    settings: NatsSettings,
    /// The file of the ServiceAccount token that each batch carries.
    token: Option<PathBuf>,
    subject: String,
    inbox: String,
    connection: Option<Connection>,
    ids: MessageIds,
    in_flight: FuturesOrdered<Pin<Box<dyn Future<Output = Published> + Send>>>,
}

impl fmt::Debug for NatsDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsDelivery")
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

impl NatsDelivery {
    /// See [`super::super::Delivery::nats`].
    pub fn new(
        settings: NatsSettings,
        node: &str,
        token: Option<PathBuf>,
    ) -> Result<Self, DeliveryError> {
        Ok(NatsDelivery {
            settings,
            token,
            subject: subject_of(node),
            inbox: format!("{AGENT_INBOX}{}", token_of(node)),
            connection: None,
            ids: MessageIds::new().map_err(unavailable)?,
            in_flight: FuturesOrdered::new(),
        })
    }

    pub async fn send(&mut self, id: BatchId, encoded: Vec<u8>) -> Result<(), DeliveryError> {
        let token = self.read_token()?;
        let context = match &self.connection {
            Some(connection) => connection.context.clone(),
            None => {
                let connection = connect(&self.settings, &self.inbox).await;
                let connection = connection.map_err(delivery_error)?;
                self.connection.insert(connection).context.clone()
            }
        };
        let most = context.client().server_info().max_payload;
        let size = encoded.len() + HEADERS + token.as_ref().map_or(0, String::len);
        // The server would end the connection.
        if size > most {
            let reason = format!("{size} bytes; raise max_payload ({most}) of the NATS server");
            return Err(DeliveryError::Refused(id, reason));
        }
        let message_id = self.ids.next(id);
        let mut message = PublishMessage::build()
            .payload(encoded.into())
            .message_id(&message_id.text)
            .expected_stream(STREAM);
        if let Some(token) = token {
            message = message.header(TOKEN, token);
        }
        match context.send_publish(self.subject.clone(), message).await {
            Ok(published) => {
                let is_first = !message_id.was_sent;
                let outcome = async move { (id, is_first, published.await) };
                self.in_flight.push_back(Box::pin(outcome));
                Ok(())
            }
            Err(error) => Err(self.failed(id, &error)),
        }
    }

    pub async fn acknowledged(&mut self) -> Result<BatchId, DeliveryError> {
        match self.in_flight.next().await {
            Some((id, is_first, Ok(ack))) => self.judge(id, is_first, &ack),
            Some((id, _, Err(error))) => Err(self.failed(id, &error)),
            None => std::future::pending().await,
        }
    }

    /// Returns whether an acknowledgement says that our stream has stored this batch.
    fn judge(
        &mut self,
        id: BatchId,
        is_first: bool,
        ack: &PublishAck,
    ) -> Result<BatchId, DeliveryError> {
        if ack.stream != STREAM || ack.sequence == 0 {
            self.in_flight = FuturesOrdered::new();
            return Err(unavailable(format!(
                "{:.100} answered, and not the stream {STREAM}; see to it that no other stream has the subject {}",
                ack.stream, self.subject
            )));
        }
        if ack.duplicate && is_first {
            // The stream has another message under an id that nobody but us can know.
            self.ids.renew(id);
            self.in_flight = FuturesOrdered::new();
            return Err(unavailable(format!(
                "batch {id} was answered as a duplicate of a message that we did not send, and is not stored; it is \
                 sent again under another id"
            )));
        }
        self.ids.forget(id);
        Ok(id)
    }

    fn read_token(&self) -> Result<Option<String>, DeliveryError> {
        let Some(path) = &self.token else {
            return Ok(None);
        };
        let token = read(path).map_err(delivery_error)?;
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(DeliveryError::Unauthenticated {
                reason: format!("{} holds no token", path.display()),
            });
        }
        Ok(Some(token))
    }

    /// Returns what an error means. Everything that is not acknowledged counts as not delivered.
    fn failed(&mut self, id: BatchId, error: &PublishError) -> DeliveryError {
        self.in_flight = FuturesOrdered::new();
        match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => {
                let reason = format!("{error}; raise max_payload of the NATS server");
                DeliveryError::Refused(id, reason)
            }
            PublishErrorKind::StreamNotFound => unavailable(format!(
                "no stream has the subject {}; a receiver makes {STREAM} when it starts, or an administrator does",
                self.subject
            )),
            PublishErrorKind::TimedOut => unavailable(format!(
                "no answer in time; our user must be allowed to publish to {} and to subscribe to {}.>",
                self.subject,
                self.settings.inbox.as_deref().unwrap_or(&self.inbox)
            )),
            _ => unavailable(error.to_string()),
        }
    }
}

fn unavailable(reason: String) -> DeliveryError {
    DeliveryError::Unavailable {
        action: "publish to NATS".into(),
        reason,
    }
}

fn delivery_error(error: NatsError) -> DeliveryError {
    let reason = error.to_string();
    match error {
        NatsError::File { .. } => DeliveryError::Unauthenticated { reason },
        _ => unavailable(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::super::connect::NatsAuth;
    use super::*;
    use nanoseg_flow::Instance;

    fn delivery() -> NatsDelivery {
        let settings = NatsSettings {
            servers: "nats://127.0.0.1:1".into(),
            auth: NatsAuth::None,
            ca: None,
            identity: None,
            inbox: None,
            insecure: false,
            stream: None,
        };
        NatsDelivery::new(settings, "node-1", None).unwrap()
    }

    fn ack(stream: &str, sequence: u64, duplicate: bool) -> PublishAck {
        PublishAck {
            stream: stream.into(),
            sequence,
            domain: String::new(),
            duplicate,
            value: None,
        }
    }

    #[test]
    fn acknowledged_means_stored_by_the_stream_as_this_batch() {
        let id = BatchId {
            instance: Instance([1; 16]),
            sequence: (1, 1),
        };
        let mut delivery = delivery();
        let first = delivery.ids.next(id);
        for wrong in [ack("OTHER", 1, false), ack(STREAM, 0, false)] {
            assert!(delivery.judge(id, true, &wrong).is_err(), "{wrong:?}");
        }
        let error = delivery.judge(id, true, &ack(STREAM, 1, true)).unwrap_err();
        assert!(
            error.to_string().contains("answered as a duplicate"),
            "{error}"
        );
        let second = delivery.ids.next(id);
        assert!(second.text != first.text && !second.was_sent, "another id");
        // We sent it under this id before, and did not hear the answer.
        assert_eq!(delivery.judge(id, false, &ack(STREAM, 1, true)), Ok(id));
        assert_eq!(delivery.judge(id, true, &ack(STREAM, 2, false)), Ok(id));
    }
}
