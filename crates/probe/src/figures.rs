//! The figures of a run.

use super::outcome::Verdict;
use super::task::Expected;
use super::tried::Tried;
use serde::{Deserialize, Serialize};

/// How many connections told what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    pub tried: usize,
    /// Allowed, and they get through.
    pub allowed_confirmed: usize,
    /// Denied, and they are stopped.
    pub denied_confirmed: usize,
    /// Of these two, as expected at the second try only.
    pub late: usize,
    pub blocked: usize,
    pub not_blocked: usize,
    /// The model leaves them open, and the try tells.
    pub found_out: usize,
    pub not_told: usize,
}

impl Figures {
    pub fn of(tried: &[Tried]) -> Figures {
        let mut figures = Figures {
            tried: tried.len(),
            ..Figures::default()
        };
        for one in tried {
            figures.add(one);
        }
        figures
    }

    fn add(&mut self, tried: &Tried) {
        let confirmed = match tried.probe.expected {
            Expected::Denied => &mut self.denied_confirmed,
            Expected::Allowed | Expected::Open => &mut self.allowed_confirmed,
        };
        match tried.verdict {
            Verdict::AsExpected => *confirmed += 1,
            Verdict::Late => {
                *confirmed += 1;
                self.late += 1;
            }
            Verdict::Blocked => self.blocked += 1,
            Verdict::NotBlocked => self.not_blocked += 1,
            Verdict::Passes | Verdict::IsStopped => self.found_out += 1,
            Verdict::NotTold(_) => self.not_told += 1,
        }
    }

    pub fn differences(&self) -> usize {
        self.blocked + self.not_blocked
    }

    /// How many tries told something.
    pub fn told(&self) -> usize {
        self.tried - self.not_told.min(self.tried)
    }
}
