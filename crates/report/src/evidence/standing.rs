//! The assessment of a control of a framework. It has its own file because the report, its text and its
//! controls all use it.

use serde::Serialize;

/// The assessment of the evidence for a control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The figures show it for everything in scope.
    Shown,
    /// The figures show it for a part; the finding names the part.
    Partly,
    /// The figures contradict it.
    Gap,
    /// The sources would contain it, and there is nothing of it in the period.
    Nothing,
    /// The sources do not contain it.
    NotTold,
}

impl Standing {
    /// Lowers `Shown` to `Partly`: for figures that support a control, but never show it wholly.
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
            Standing::NotTold => "not in these sources",
        }
    }
}
