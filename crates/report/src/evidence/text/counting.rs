//! Text about which traffic counts for the period.

use super::period_of;
use crate::evidence::{Counted, Evidence, Period};

/// The rules that apply, each in one or two sentences.
pub fn rules(evidence: &Evidence) -> Vec<String> {
    let traffic = match evidence.period.counted {
        Counted::Hours => format!(
            "Traffic is kept by the hour{}. A connection counts in the hour in which it \
             began; what began before and went on is not counted again. The controller keeps hours for 13 months: \
             what is older is not in this report.",
            whole_hours(&evidence.period)
        ),
        Counted::Connections => "A connection counts when it began in the period: what began before and went on is \
                                 not counted. A line of a flow log that stands for many belongs to the time of the first."
            .into(),
        Counted::Whole => "All that the generated folder holds counts.".into(),
    };
    match evidence.record_head {
        Some(_) => vec![format!(
            "{traffic} What was decided and done counts by the time of the record, to the second, and not by whole hours."
        )],
        None => vec![traffic],
    }
}

/// The hours that count, if an end was requested.
fn whole_hours(period: &Period) -> String {
    match (period.counted_from, period.counted_to) {
        (None, None) => String::new(),
        both => format!(", so whole hours count: {}", period_of(both, period)),
    }
}
