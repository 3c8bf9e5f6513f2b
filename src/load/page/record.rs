//! The record of a cluster: the whole from a copy of the controller's state, else the part that the controller
//! publishes, else the decisions that the cluster still has.

use crate::load::controller_state;
use crate::load::error::LoadError;
use crate::load::published::{Published, place};
use crate::net::Timestamp;
use crate::record::{Action, ActionKind, Actor, Entry, Head, Tail, TailError};
use crate::report::evidence::Event;
use crate::review::resources::{ProposalDecision, Verb};
use crate::web::RecordSource;
use kube::ResourceExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Where the record is read from.
pub struct Records {
    /// A copy of the controller's state.
    pub state: Option<PathBuf>,
    /// The namespace of the controller.
    pub namespace: String,
    /// The head of the published record when its chain was last intact: it shows if the record was replaced.
    known: Mutex<Option<Head>>,
}

/// The record that is shown.
pub struct Record {
    /// Oldest first.
    pub events: Vec<Event>,
    pub problem: Option<String>,
    pub source: RecordSource,
}

impl Records {
    /// `state` is a copy of the controller's state, `namespace` the controller's.
    pub fn new(state: Option<PathBuf>, namespace: String) -> Records {
        Records {
            state,
            namespace,
            known: Mutex::default(),
        }
    }

    /// Reads the most complete record available. `published` is `None` where a copy of the controller's state is given.
    ///
    /// # Errors
    /// The copy cannot be read.
    pub fn read(
        &self,
        published: Option<Published>,
        decisions: &[ProposalDecision],
    ) -> Result<Record, LoadError> {
        let why = match published {
            None => {
                let (events, problem) = controller_state::record(self.state.as_deref())?;
                return Ok(Record {
                    events,
                    problem,
                    source: RecordSource::State,
                });
            }
            Some(Published::Part { tail, .. }) => return Ok(self.part(tail)),
            Some(Published::Absent) => format!(
                "There is no {}: the controller has not recorded anything, or it is in another namespace \
                 (--controller-namespace).",
                place(&self.namespace)
            ),
            Some(Published::Refused(reason)) => format!(
                "{} has the newest part of the record, and you may not read it ({reason}); the role nanoseg-viewer \
                 gives the right.",
                place(&self.namespace)
            ),
        };
        Ok(Record {
            events: of_decisions(decisions),
            problem: None,
            source: RecordSource::Decisions { why },
        })
    }

    fn part(&self, tail: Result<Tail, TailError>) -> Record {
        let source = |from, head| RecordSource::Published {
            from,
            head,
            place: place(&self.namespace),
        };
        let tail = match tail {
            Ok(tail) => tail,
            Err(error) => {
                return Record {
                    events: Vec::new(),
                    problem: Some(error.to_string()),
                    source: source(0, String::new()),
                };
            }
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (entries, problems) = tail.check(known.as_ref());
        if problems.is_empty() {
            *known = Some(tail.head.clone());
        }
        let what = if problems.is_empty() || !tail.check(None).1.is_empty() {
            ""
        } else {
            // The tail is intact: the record was replaced, or a controller began with an empty store.
            "it is another record than this page showed before: "
        };
        let problem = problems.first().map(|first| match problems.len() - 1 {
            0 => format!("{what}{first}"),
            more => format!("{what}{first}, and {more} more"),
        });
        Record {
            events: entries.into_iter().map(Event::from).collect(),
            problem,
            source: source(tail.after.sequence.saturating_add(1), tail.head.to_string()),
        }
    }
}

/// The decisions that the cluster still has, oldest first. Their outcome is left out: it is in the controller's hands.
fn of_decisions(decisions: &[ProposalDecision]) -> Vec<Event> {
    let mut all: Vec<&ProposalDecision> = decisions.iter().collect();
    all.sort_by_key(|one| (one.metadata.creation_timestamp.clone(), one.name_any()));
    let event = |(number, one): (usize, &ProposalDecision)| Event {
        sequence: number as u64 + 1,
        at: one
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(Timestamp::MIN, |time| time.0.into()),
        done: None,
        entry: entry(one),
    };
    all.into_iter().enumerate().map(event).collect()
}

fn entry(decision: &ProposalDecision) -> Entry {
    let spec = &decision.spec;
    let (proposal, why) = (spec.proposal.clone(), spec.reason.clone());
    let action = match spec.decision {
        Verb::Approve => Action::Approved {
            proposal,
            why,
            until: None,
            afterwards: None,
        },
        Verb::Reject => Action::Rejected {
            proposal,
            why,
            connections: Vec::new(),
        },
        // The revision that it went back to is in the record alone.
        Verb::Rollback => Action::Undetailed {
            action: ActionKind::RolledBack,
        },
    };
    let namespace = decision.namespace().unwrap_or_default();
    let actor = Actor::user(&spec.decided_by);
    Entry::new(action, actor, &namespace, &spec.proposal).with_reason(spec.reason.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Chain, to_line};

    fn records() -> Records {
        Records {
            state: None,
            namespace: "nanoseg".into(),
            known: Mutex::default(),
        }
    }

    fn lines(actor: &str, count: i64) -> Vec<String> {
        let mut chain = Chain::default();
        let action = Action::AutoApproved {
            proposal: "web-1".into(),
        };
        let entry = Entry::new(action, Actor::user(actor), "shop", "nanoseg-web");
        let line = |at| to_line(&chain.append(entry.clone(), Timestamp::from_secs(at)));
        (0..count).map(line).collect()
    }

    fn read(records: &Records, lines: &[String]) -> Record {
        let tail = Tail::of_lines(lines.to_vec()).expect("lines");
        let published = Published::Part {
            version: None,
            tail: Ok(tail.expect("a part")),
            volume: None,
        };
        records.read(Some(published), &[]).expect("a record")
    }

    #[test]
    fn a_published_record_that_is_made_anew_while_the_page_is_open_is_told() {
        let records = records();
        let (good, forged) = (lines("olga", 5), lines("mallory", 6));
        assert_eq!(read(&records, &good[..4]).problem, None);
        assert_eq!(read(&records, &good).problem, None);
        let other = |what| {
            Some(format!(
                "it is another record than this page showed before: {what}"
            ))
        };
        let problem = read(&records, &forged).problem;
        assert_eq!(problem, other("entry 5 was changed"));
        let cut = read(&records, &good[..3]).problem;
        assert_eq!(cut, other("entry 4 is missing at the end"));
        let mut changed = good.clone();
        changed[1] = changed[1].replace("olga", "oleg");
        let problem = read(&records, &changed).problem;
        assert_eq!(problem.as_deref(), Some("entry 2 was changed"));
        // What was there is remembered until it is there again.
        assert!(read(&records, &forged).problem.is_some());
        assert_eq!(read(&records, &good).problem, None);
    }

    #[test]
    fn the_page_says_from_which_entry_on_it_has_the_record() {
        let record = read(&records(), &lines("olga", 5)[2..]);
        assert_eq!(record.problem, None);
        assert_eq!(record.events.len(), 3);
        assert!(
            matches!(record.source, RecordSource::Published { from: 3, .. }),
            "{:?}",
            record.source
        );
    }

    #[test]
    fn without_the_published_record_there_are_decisions_and_the_reason() {
        for (published, word) in [
            (Published::Absent, "--controller-namespace"),
            (Published::Refused("forbidden".into()), "nanoseg-viewer"),
        ] {
            let record = records().read(Some(published), &[]).expect("a record");
            let RecordSource::Decisions { why } = record.source else {
                panic!("{:?}", record.source);
            };
            assert!(why.contains(word), "{why}");
        }
    }
}
