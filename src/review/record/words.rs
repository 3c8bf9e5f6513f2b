//! What reasons of the record say in fixed words: written here and read here, so that both stay the same.

use super::{Action, Draft};
use crate::net::Timestamp;

const TAKEN: &str = " policies were taken away at ";
const LATE: &str = "; the leader ended before it could tell)";
const ENFORCE: &str = "Enforce";

/// The reason of a break-glass that the next leader tells.
pub fn glass_told_late(reason: &str, policies: usize, at: Timestamp) -> String {
    format!("{reason} ({policies}{TAKEN}{at}{LATE}")
}

/// When the glass was broken, where the line was written by the next leader.
pub fn glass_broken_at(draft: &Draft) -> Option<Timestamp> {
    if draft.action != Action::BreakGlassOn {
        return None;
    }
    let (before, time) = draft.reason.strip_suffix(LATE)?.rsplit_once(TAKEN)?;
    let (_, number) = before.rsplit_once(" (")?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let at = Timestamp::from(time.parse::<jiff::Timestamp>().ok()?);
    (is_number && at.to_string() == time).then_some(at)
}

/// The reason of a change from one mode to another.
pub fn mode_changed(from: &str, to: &str) -> String {
    format!("from {from} to {to}")
}

/// The reason for which a namespace is not segmented any more.
pub fn segmentation_removed(policies_go: bool) -> &'static str {
    if policies_go {
        "its policies are removed"
    } else {
        "its policies stay, and nobody keeps them"
    }
}

/// What a line says of who keeps the policies of its namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// They are left in the cluster, and nobody keeps them from now on.
    Ends,
    /// They are kept as they were approved again.
    Begins,
}

/// What a line says of who keeps the policies of its namespace; `None`: nothing.
pub fn keeping(draft: &Draft) -> Option<Keeping> {
    match draft.action {
        Action::ModeChanged => {
            let (from, to) = draft.reason.strip_prefix("from ")?.split_once(" to ")?;
            match (from == ENFORCE, to == ENFORCE) {
                (true, false) => Some(Keeping::Ends),
                (false, true) => Some(Keeping::Begins),
                _ => None,
            }
        }
        Action::SegmentationRemoved => {
            (draft.reason == segmentation_removed(false)).then_some(Keeping::Ends)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(action: Action, reason: String) -> Draft {
        Draft {
            action,
            actor: "nanoseg".into(),
            namespace: "shop".into(),
            object: "shop".into(),
            before: None,
            after: None,
            reason,
        }
    }

    #[test]
    fn what_the_next_leader_tells_is_read_as_it_is_written_and_no_other_way() {
        let at = Timestamp::from_secs(1_772_000_000);
        let written = glass_told_late("outage (2 policies)", 3, at);
        let read = |reason: String| glass_broken_at(&draft(Action::BreakGlassOn, reason));
        assert_eq!(read(written.clone()), Some(at));
        assert_eq!(read(format!("{written} or not")), None);
        assert_eq!(read(written.replace("3 policies", "three policies")), None);
        assert_eq!(read(written.replace("Z;", "+00:00;")), None);
        assert_eq!(read("outage (3 policies were taken away)".into()), None);
        let other = draft(Action::BreakGlassOff, written);
        assert_eq!(glass_broken_at(&other), None);
    }

    #[test]
    fn policies_are_kept_while_the_mode_is_enforce() {
        let of = |from, to| keeping(&draft(Action::ModeChanged, mode_changed(from, to)));
        assert_eq!(of("Enforce", "Observe"), Some(Keeping::Ends));
        assert_eq!(of("Propose", "Enforce"), Some(Keeping::Begins));
        assert_eq!(of("Observe", "Propose"), None);
        let removed = |go| {
            let why = segmentation_removed(go).to_owned();
            keeping(&draft(Action::SegmentationRemoved, why))
        };
        assert_eq!((removed(false), removed(true)), (Some(Keeping::Ends), None));
    }
}
