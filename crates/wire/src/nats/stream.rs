//! The streams and the consumer that receivers share: created if they are missing, and used only as they must be.

use super::connect::{NatsError, NatsSettings, StreamSettings};
use super::stream_check::{consumer_problems, stream_problems};
use super::{CONSUMER, PREFIX, REJECTED, REJECTED_PREFIX, STREAM};
use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::context::RequestErrorKind;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{Context, ErrorCode};
use serde_json::{Value, json};
use std::time::Duration;

/// How many messages all receivers together may hold unstored: flow control.
const MAX_ACK_PENDING: i64 = 256;
/// After this long a message goes to another receiver: this one may be dead.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// What is kept of messages that no receiver accepts: in all, of each node, and for how long.
const REJECTED_BYTES: i64 = 64 << 20;
const REJECTED_PER_NODE: i64 = 256;
const REJECTED_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// What the server has under a name.
enum Found {
    Config(Value),
    Missing,
}

/// Returns the consumer of the stream of batches, after a look at the configuration of both.
///
/// # Errors
/// If they cannot be had, or are not as they must be.
pub async fn consumer(
    context: &Context,
    settings: &NatsSettings,
) -> Result<Consumer<pull::Config>, NatsError> {
    check(context, settings).await?;
    let consumer = context.get_consumer_from_stream(CONSUMER, STREAM).await;
    consumer.map_err(|e| failed(&e))
}

/// Creates what is missing, if there are settings for it, and compares the configuration of stream and consumer with
/// what it must be.
///
/// # Errors
/// What is wrong, and how to mend it.
pub async fn check(context: &Context, settings: &NatsSettings) -> Result<(), NatsError> {
    let replicas = settings.stream.map_or(1, |wanted| wanted.replicas);
    let info = format!("STREAM.INFO.{STREAM}");
    let mut found = ask(context, &info).await?;
    if let (Found::Missing, Some(wanted)) = (&found, &settings.stream) {
        let created = context.create_stream(batches(wanted)).await;
        created.map_err(|e| failed(&e))?;
        found = ask(context, &info).await?;
    }
    let problems = stream_problems(&present(found, "the stream")?, replicas);
    refuse(&format!("stream {STREAM}"), &problems, STREAM_REMEDY)?;
    let info = format!("CONSUMER.INFO.{STREAM}.{CONSUMER}");
    let mut found = ask(context, &info).await?;
    if let (Found::Missing, Some(_)) = (&found, &settings.stream) {
        let created = context.create_consumer_on_stream(shared(), STREAM).await;
        created.map_err(|e| failed(&e))?;
        found = ask(context, &info).await?;
    }
    let problems = consumer_problems(&present(found, "its consumer nanoseg-controller")?);
    refuse(&format!("consumer {CONSUMER}"), &problems, CONSUMER_REMEDY)
}

const STREAM_REMEDY: &str = "`nats stream edit NANOSEG_FLOWS --config deploy/nats/stream.json` mends it; storage and \
    retention cannot be edited: `nats stream rm NANOSEG_FLOWS` and start again, which loses the batches that are in it";
const CONSUMER_REMEDY: &str =
    "`nats consumer rm NANOSEG_FLOWS nanoseg-controller`, and start again";

fn refuse(what: &str, problems: &[String], remedy: &str) -> Result<(), NatsError> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(NatsError::Wrong {
        what: what.to_owned(),
        problems: problems.join("; "),
        remedy: remedy.to_owned(),
    })
}

/// Creates the stream of what no receiver accepts, if it is missing and there are settings for it.
///
/// # Errors
/// If there is none and it cannot be created.
pub async fn prepare_rejected(context: &Context, settings: &NatsSettings) -> Result<(), NatsError> {
    let failed = |reason: String| NatsError::Stream {
        stream: REJECTED,
        reason,
    };
    match (
        ask(context, &format!("STREAM.INFO.{REJECTED}")).await?,
        &settings.stream,
    ) {
        (Found::Config(_), _) => Ok(()),
        (Found::Missing, None) => Err(failed("it does not exist".to_owned())),
        (Found::Missing, Some(wanted)) => {
            let created = context.create_stream(rejected(wanted)).await;
            created.map(|_| ()).map_err(|e| failed(e.to_string()))
        }
    }
}

/// The stream of batches.
fn batches(wanted: &StreamSettings) -> Config {
    Config {
        name: STREAM.into(),
        description: Some(
            "Flow batches of nanoseg's agents, until a receiver has stored them".into(),
        ),
        subjects: vec![format!("{PREFIX}*")],
        retention: RetentionPolicy::WorkQueue,
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        discard_new_per_subject: true,
        max_messages_per_subject: wanted.max_per_node,
        max_bytes: wanted.max_bytes,
        duplicate_window: wanted.duplicate_window,
        num_replicas: wanted.replicas,
        ..Config::default()
    }
}

/// The stream of what no receiver accepts: the newest of each node.
fn rejected(wanted: &StreamSettings) -> Config {
    Config {
        name: REJECTED.into(),
        description: Some("Messages that no receiver of nanoseg accepts, with the reason".into()),
        subjects: vec![format!("{REJECTED_PREFIX}*")],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        discard: DiscardPolicy::Old,
        max_messages_per_subject: REJECTED_PER_NODE,
        max_bytes: REJECTED_BYTES,
        max_age: REJECTED_AGE,
        num_replicas: wanted.replicas,
        ..Config::default()
    }
}

/// The consumer that receivers share.
fn shared() -> pull::Config {
    pull::Config {
        durable_name: Some(CONSUMER.into()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_ack_pending: MAX_ACK_PENDING,
        ..pull::Config::default()
    }
}

/// Asks for the configuration, as the server writes it: also the settings that our client does not know.
async fn ask(context: &Context, what: &str) -> Result<Found, NatsError> {
    let answer: Result<Response<Value>, _> = context.request(what.to_owned(), &json!({})).await;
    match answer {
        Ok(Response::Ok(info)) => Ok(Found::Config(
            info.get("config").cloned().unwrap_or_default(),
        )),
        Ok(Response::Err { error })
            if [ErrorCode::STREAM_NOT_FOUND, ErrorCode::CONSUMER_NOT_FOUND]
                .contains(&error.error_code()) =>
        {
            Ok(Found::Missing)
        }
        Ok(Response::Err { error }) => Err(failed(&error)),
        Err(error) if error.kind() == RequestErrorKind::TimedOut => Err(failed(&format!(
            "no answer; the user must be allowed to publish to $JS.API.{what} and to subscribe to its inbox"
        ))),
        Err(error) => Err(failed(&error)),
    }
}

fn present(found: Found, what: &str) -> Result<Value, NatsError> {
    match found {
        Found::Config(config) => Ok(config),
        Found::Missing => Err(failed(&format!(
            "{what} does not exist, and we are not to create it (--nats-no-create)"
        ))),
    }
}

fn failed(error: &dyn std::fmt::Display) -> NatsError {
    NatsError::Stream {
        stream: STREAM,
        reason: error.to_string(),
    }
}
