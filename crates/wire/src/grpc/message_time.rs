//! A limit of the time in which a message has to come, once it has begun (rule: connections-are-bounded). Whoever has a
//! token may be silent for as long as it lasts, but half a message holds memory.

use axum::body::{Body, Bytes};
use axum::http::Request;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};
use tonic::Status;

/// How long the rest of a message may take: some megabytes over a slow line.
const MESSAGE: Duration = Duration::from_secs(60);
/// A message begins with a byte of flags and four of its length (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX: usize = 5;

/// The body of a request that fails when a message stays unfinished.
pub struct MessageTime {
    body: Body,
    limit: Duration,
    position: Position,
    /// Set while a message is unfinished.
    deadline: Option<Pin<Box<Sleep>>>,
}

/// Where in the sequence of messages the next byte is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Position {
    prefix: Vec<u8>,
    /// How many bytes of the message's content are missing.
    missing: usize,
}

impl MessageTime {
    pub fn wrap(request: Request<Body>) -> Request<MessageTime> {
        request.map(|body| MessageTime {
            body,
            limit: MESSAGE,
            position: Position::default(),
            deadline: None,
        })
    }
}

impl Position {
    fn is_between(&self) -> bool {
        self.prefix.is_empty() && self.missing == 0
    }

    /// Moves over bytes. Returns whether a message was finished in them.
    fn pass(&mut self, mut bytes: &[u8]) -> bool {
        let mut is_finished = false;
        while !bytes.is_empty() {
            if self.missing == 0 {
                let (prefix, rest) = bytes.split_at(bytes.len().min(PREFIX - self.prefix.len()));
                self.prefix.extend_from_slice(prefix);
                bytes = rest;
                let Some(length) = self.prefix.get(1..PREFIX) else {
                    continue;
                };
                let length = length
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                self.prefix.clear();
                self.missing = length;
            } else {
                let passed = self.missing.min(bytes.len());
                self.missing -= passed;
                bytes = &bytes[passed..];
            }
            is_finished |= self.is_between();
        }
        is_finished
    }
}

impl HttpBody for MessageTime {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                let is_finished = frame
                    .data_ref()
                    .is_some_and(|data| this.position.pass(data));
                if is_finished || this.position.is_between() {
                    this.deadline = None;
                }
                if !this.position.is_between() && this.deadline.is_none() {
                    let end = Instant::now() + this.limit;
                    this.deadline = Some(Box::pin(tokio::time::sleep_until(end)));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                Poll::Ready(Some(Err(Status::unavailable(error.to_string()))))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let deadline = this.deadline.as_mut();
                if deadline.is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
                    let late = "half a message came, and its rest did not come in time";
                    return Poll::Ready(Some(Err(Status::deadline_exceeded(late))));
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;
    use futures_util::{StreamExt, stream};

    fn message(content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[0], &length[..], content].concat()
    }

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let messages = [message(b"abc"), message(b""), message(&[7; 300])].concat();
        for size in [1, 2, 5, 7, 1000] {
            let mut position = Position::default();
            let chunks = messages.chunks(size);
            let finished = chunks.filter(|chunk| position.pass(chunk)).count();
            assert!(position.is_between(), "{size}");
            assert!((1..=3).contains(&finished), "{size}: {finished}");
            position.pass(&messages[..2]);
            assert!(!position.is_between());
        }
    }

    #[tokio::test]
    async fn half_a_message_fails_and_silence_between_messages_does_not() {
        let fails = async |sent: Vec<u8>| {
            let sent = stream::iter([Ok::<_, std::io::Error>(sent)]);
            let body = Body::from_stream(sent.chain(stream::pending()));
            let mut body = MessageTime::wrap(Request::new(body)).into_body();
            body.limit = Duration::from_millis(20);
            let read = to_bytes(Body::new(body), usize::MAX);
            let read = tokio::time::timeout(Duration::from_millis(500), read).await;
            read.is_ok_and(|read| read.is_err())
        };
        let whole = message(b"content");
        assert!(!fails(whole.clone()).await);
        assert!(fails(whole[..9].to_vec()).await);
        assert!(fails([&whole[..], &whole[..3]].concat()).await);
    }
}
