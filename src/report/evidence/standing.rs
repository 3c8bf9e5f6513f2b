//! The answer to a control of a framework, in a file of its own: the report, its text and its controls share it.

use serde::Serialize;

/// How the evidence stands to a control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The figures show it, for what is in scope.
    Shown,
    /// The figures show it for a part; the finding says which.
    Partly,
    /// The figures speak against it.
    Gap,
    /// The sources would tell, and nothing of it is in the period.
    Nothing,
    /// Nothing in the sources tells.
    NotTold,
}

impl Standing {
    /// Where the figures can support a control, but never show it wholly.
    pub(super) fn at_most_partly(self) -> Standing {
        match self {
            Standing::Shown => Standing::Partly,
            other => other,
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Standing::Shown => "shown",
            Standing::Partly => "partly shown",
            Standing::Gap => "gap",
            Standing::Nothing => "not shown: nothing in the period",
            Standing::NotTold => "not told by these sources",
        }
    }
}
