//! Whether the record of a state continues the one that was published: asked before a controller acts on the state
//! (rule: lost-state-is-noticed). What is kept with the state proves nothing against who can write the state; the
//! published end of the record is kept elsewhere.

#[cfg(test)]
mod tests;

use crate::{Action, Digest, Head, RecordLine, ResetCause, Verifier, line, parse_line};
use std::fmt;

/// What is known of the record outside of the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Witness {
    /// Nothing is published: nothing was ever recorded, or somebody deleted it.
    Absent,
    /// What is published is no part of a record, and why.
    Unreadable(String),
    /// The end of the record as it was published. A controller publishes one without lines before its first line.
    Published(Head),
}

/// How a state differs from what is known of it elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discontinuity {
    pub cause: ResetCause,
    /// The end of the published record, if there is one.
    pub published: Option<Head>,
    /// The end of the state's record.
    pub head: Head,
    /// How many places of the state's record do not verify.
    pub faults: u64,
    /// The first of those that nobody accepted, as a person reads it.
    pub first_fault: Option<String>,
}

/// A record that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// What the next line follows.
    pub head: Head,
    /// Why a controller must not act on the state; `None`: it continues the published record.
    pub broken: Option<Discontinuity>,
}

/// Reads the state's record line by line, in constant space.
#[derive(Debug, Clone)]
pub struct Audit {
    witness: Witness,
    verifier: Verifier,
    head: Head,
    faults: u64,
    /// How many of them a published `record-reset` has accepted.
    accepted: u64,
    first_fault: Option<String>,
    /// The digest of the line where the published record ends.
    meeting: Option<Digest>,
}

impl Audit {
    pub fn new(witness: Witness) -> Audit {
        Audit {
            witness,
            verifier: Verifier::default(),
            head: Head::default(),
            faults: 0,
            accepted: 0,
            first_fault: None,
            meeting: None,
        }
    }

    /// Takes the next line, under the number that it is stored with. Returns the line if it is as it was written.
    pub fn take(&mut self, number: u64, text: &str) -> Option<RecordLine> {
        let line = match parse_line(text) {
            Ok(line) => line,
            Err(error) => {
                self.fault(format!("line {number}: {error}"));
                // The next line follows these bytes, whatever they are.
                self.head = Head {
                    sequence: number,
                    digest: Digest::of_bytes(text.as_bytes()),
                };
                return None;
            }
        };
        let (before, faults_before) = (self.head.clone(), self.faults);
        if let Err(found) = self.verifier.check(&line) {
            self.fault(format!("entry {} {}", found.sequence, found.fault));
        }
        if line.sequence != number {
            self.fault(format!("entry {} is stored as {number}", line.sequence));
        }
        self.head = line.head();
        let is_whole = line::digest(&line) == line.digest;
        if let Witness::Published(published) = &self.witness {
            if published.sequence == line.sequence {
                self.meeting = Some(line.digest.clone());
            }
            // One that is not published yet may be anybody's: the controller publishes it before it acts.
            if let Action::RecordReset { faults, .. } = line.entry.action
                && is_whole
                && line.sequence <= published.sequence
                && (line.sequence.saturating_sub(1), &line.previous)
                    == (before.sequence, &before.digest)
                && faults == faults_before
            {
                // With one at this line, if the line before it cannot be read.
                (self.accepted, self.first_fault) = (self.faults, None);
            }
        }
        is_whole.then_some(line)
    }

    fn fault(&mut self, what: String) {
        self.faults += 1;
        self.first_fault.get_or_insert(what);
    }

    /// Ends the check.
    pub fn finish(self) -> Audited {
        let cause = match &self.witness {
            Witness::Absent => (self.head.sequence > 0).then_some(ResetCause::Unpublished),
            Witness::Unreadable(_) => Some(ResetCause::Unreadable),
            Witness::Published(published) => self.compare(published),
        };
        let altered = (self.faults > self.accepted).then_some(ResetCause::Altered);
        let published = match self.witness {
            Witness::Published(head) => Some(head),
            Witness::Absent | Witness::Unreadable(_) => None,
        };
        let broken = cause.or(altered).map(|cause| Discontinuity {
            cause,
            published,
            head: self.head.clone(),
            faults: self.faults,
            first_fault: self.first_fault,
        });
        Audited {
            head: self.head,
            broken,
        }
    }

    fn compare(&self, published: &Head) -> Option<ResetCause> {
        if published.sequence == 0 {
            return None;
        }
        if self.head.sequence == 0 {
            return Some(ResetCause::Lost);
        }
        if self.head.sequence < published.sequence {
            return Some(ResetCause::Behind);
        }
        (self.meeting.as_ref() != Some(&published.digest)).then_some(ResetCause::AnotherChain)
    }
}

/// What is wrong, with both ends.
impl fmt::Display for Discontinuity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        match &self.published {
            Some(head) => write!(f, "; published: {head}")?,
            None => write!(f, "; published: nothing that can be read")?,
        }
        match self.head.sequence {
            0 => write!(f, "; in the state: nothing")?,
            _ => write!(f, "; in the state: {}", self.head)?,
        }
        match &self.first_fault {
            Some(first) => write!(f, "; {} places do not verify, first: {first}", self.faults),
            None => Ok(()),
        }
    }
}

impl Discontinuity {
    /// The action that a person's acceptance of the state is recorded with.
    pub fn accepted(&self) -> Action {
        Action::RecordReset {
            published: self.published.clone(),
            cause: self.cause,
            faults: self.faults,
        }
    }
}
