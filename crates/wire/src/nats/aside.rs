//! What happens to messages that cannot be accepted: they are tried again a few times if that can help, and then a copy
//! goes to another stream, so that they stand in nobody's way.

use super::super::Refusal;
use super::{PREFIX, REJECTED, REJECTED_PREFIX};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{Context, Message};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a message is delivered before it is set aside, if another try can help.
const TRIES: i64 = 4;
/// When it is delivered again: perhaps to a receiver that has been upgraded.
pub const TRY_AFTER: Duration = Duration::from_secs(2);
/// How many messages of one receiver may wait for another try. The others go aside at once: those that wait take places
/// of the consumer, which has few.
const WAITING: usize = 16;
/// How long storing a copy may take.
const COPY: Duration = Duration::from_secs(3);
/// The longest reason in a header, in bytes.
const REASON: usize = 400;

/// How long after a copy could not be stored none is tried: nothing that is good may wait for that.
const NO_COPIES: Duration = Duration::from_secs(30);

/// Keeps copies of messages, unless that failed a moment ago.
#[derive(Debug, Clone)]
pub struct Copies {
    context: Context,
    failed: Arc<Mutex<Option<Instant>>>,
}

impl Copies {
    pub fn new(context: Context) -> Copies {
        Copies {
            context,
            failed: Arc::default(),
        }
    }

    /// Keeps a copy of the message, without the token that came with it. Returns false if there is none.
    pub async fn keep(&self, message: &Message, refusal: &Refusal) -> bool {
        let failed = || self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed().is_some_and(|at| at.elapsed() < NO_COPIES) {
            return false;
        }
        let is_kept = keep_copy(&self.context, message, refusal).await;
        *failed() = (!is_kept).then(Instant::now);
        is_kept
    }
}

/// How many messages wait for another try.
#[derive(Debug, Default)]
pub struct Retries(VecDeque<Instant>);

impl Retries {
    /// Returns true if a message that was delivered so often should come again.
    pub fn admit(&mut self, delivered: i64, now: Instant) -> bool {
        let is_back = |at: &Instant| now.saturating_duration_since(*at) >= TRY_AFTER;
        while self.0.front().is_some_and(is_back) {
            self.0.pop_front();
        }
        let may = delivered < TRIES && self.0.len() < WAITING;
        if may {
            self.0.push_back(now);
        }
        may
    }
}

async fn keep_copy(context: &Context, message: &Message, refusal: &Refusal) -> bool {
    let node = message.subject.strip_prefix(PREFIX).unwrap_or("unknown");
    let copy = PublishMessage::build()
        .payload(message.payload.clone())
        .expected_stream(REJECTED)
        .header("Nanoseg-Refused", refusal.kind)
        .header("Nanoseg-Reason", one_line(&refusal.reason));
    let stored = async {
        let sent = context.send_publish(format!("{REJECTED_PREFIX}{node}"), copy);
        sent.await?.await
    };
    let stored = tokio::time::timeout(COPY, stored).await;
    matches!(stored, Ok(Ok(ack)) if ack.stream == REJECTED)
}

/// A text that a header can hold.
fn one_line(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line = String::new();
    for c in clean {
        if line.len() + c.len_utf8() > REASON {
            break;
        }
        line.push(c);
    }
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_tried_a_few_times_and_few_wait_at_a_time() {
        let (mut retries, now) = (Retries::default(), Instant::now());
        assert!(retries.admit(1, now) && !retries.admit(TRIES, now));
        let admitted = (0..300).filter(|_| retries.admit(1, now)).count();
        assert_eq!(admitted, WAITING - 1);
        assert!(retries.admit(2, now + TRY_AFTER));
    }

    #[test]
    fn a_reason_is_one_short_line() {
        assert_eq!(one_line("a\r\nNats-Rollup: all"), "a  Nats-Rollup: all");
        assert!(one_line(&"ä".repeat(1000)).len() <= REASON);
    }
}
