//! Publishes Kubernetes Events (events.k8s.io/v1) on the objects concerned, for `kubectl describe` and `kubectl
//! events`. The same Event again within six minutes becomes a series of one Event (kube's recorder).
//!
//! An Event that cannot be published is logged and counted; nothing else stops because of it.

use super::connect::describe;
use super::writes::Fence;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The reporting controller of the Events.
const CONTROLLER: &str = "nanoseg.dev/controller";
/// The limits of the API (`events.k8s.io/v1`, validation of Event).
const MOST_REASON: usize = 128;
const MOST_NOTE: usize = 1024;
const LIMIT: Duration = Duration::from_secs(4);

/// The type of an Event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Normal,
    Warning,
}

/// Publishes Events. Clones share what they know of earlier Events.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
    fence: Fence,
    failed: Arc<AtomicU64>,
}

impl Events {
    /// `instance` is the pod's name. `fence` allows this replica to publish; an Event that it does not allow is
    /// dropped without a log line, since the leader publishes it.
    pub fn new(client: Client, instance: &str, fence: Fence) -> Events {
        let reporter = Reporter {
            controller: CONTROLLER.to_owned(),
            instance: Some(cut(instance, MOST_REASON)),
        };
        Events {
            recorder: Recorder::new(client, reporter),
            fence,
            failed: Arc::default(),
        }
    }

    /// Publishes an Event about an object: `reason` and `action` are in PascalCase, `note` is a sentence. Texts
    /// longer than the API allows are cut.
    pub async fn publish(
        &self,
        about: &ObjectReference,
        severity: Severity,
        reason: &str,
        action: &str,
        note: &str,
    ) {
        if (self.fence)().is_err() {
            return;
        }
        let event = Event {
            type_: match severity {
                Severity::Normal => EventType::Normal,
                Severity::Warning => EventType::Warning,
            },
            reason: cut(reason, MOST_REASON),
            note: Some(cut(note, MOST_NOTE)).filter(|note| !note.is_empty()),
            action: cut(action, MOST_REASON),
            secondary: None,
        };
        let why = match tokio::time::timeout(LIMIT, self.recorder.publish(&event, about)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => describe(&error),
            Err(_) => "no answer".to_owned(),
        };
        self.failed.fetch_add(1, Ordering::Relaxed);
        let name = about.name.as_deref().unwrap_or_default();
        tracing::warn!(reason, object = name, "failed to publish an Event: {why}");
    }

    /// How many Events could not be published.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// Cuts a text to at most this many bytes, at a character boundary.
fn cut(text: &str, most: usize) -> String {
    let fits = |(start, c): &(usize, char)| start + c.len_utf8() <= most;
    text.char_indices()
        .take_while(fits)
        .map(|(_, c)| c)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_text_that_is_too_long_is_cut_between_characters() {
        assert_eq!(cut("aß", 2), "a");
        assert_eq!(cut("aß", 3), "aß");
        assert_eq!(cut("", 5), "");
    }
}
