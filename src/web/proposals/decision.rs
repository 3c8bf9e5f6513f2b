//! The fields of a form that decides.

use crate::record::Connection;
use crate::review::resources::{EvidenceLine, PolicyProposal};
use kube::ResourceExt;
use maud::{Markup, html};

/// The Enter key sends a form by its first button. This one cannot be pressed, so that Enter in a field decides
/// nothing: a decision is a press on its own button.
pub fn no_button() -> Markup {
    html! { button type="submit" disabled hidden {} }
}

fn reason() -> Markup {
    html! {
        label { "Reason " input name="reason" maxlength="2000" required; } "\n"
    }
}

/// The connections that the proposal newly allows, each with a tick: what is not ticked is left out. Empty where there
/// is nothing to choose.
pub fn ticks(proposal: &PolicyProposal) -> Markup {
    let review = &proposal.spec.review;
    let is_new = |one: &&EvidenceLine| {
        proposal.spec.base.is_none() || one.notes.iter().any(|note| note == "new")
    };
    let new: Vec<Connection> = review
        .evidence
        .iter()
        .filter(is_new)
        .filter_map(EvidenceLine::connection)
        .collect();
    if new.len() < 2 {
        return html! {};
    }
    html! {
        details.except {
            summary { "Approve without some of its connections" }
            p.dim {
                "What is not ticked stays or becomes blocked, and counts as rejected by you. \
                 The controller proves that all others are allowed and no more, or it refuses."
            }
            ul {
                @for one in &new {
                    li {
                        input type="hidden" name="offered" value={ (value(proposal)) "/" (one) };
                        label.tick {
                            input type="checkbox" name="allow" checked value={ (value(proposal)) "/" (one) };
                            " " (one)
                        }
                    }
                    "\n"
                }
            }
        }
        "\n"
    }
}

/// For how long what it opens stays open; empty where it cannot be approved for a time.
pub fn duration(proposal: &PolicyProposal) -> Markup {
    let review = &proposal.spec.review;
    let is_opening = proposal.spec.base.is_some()
        && review.gained_total > 0
        && review.lost_total == 0
        && review.would_block_total == 0;
    if !is_opening {
        return html! {};
    }
    let choices = [
        ("", "for good"),
        ("1", "for 1 hour"),
        ("2", "for 2 hours"),
        ("4", "for 4 hours"),
        ("8", "for 8 hours"),
        ("24", "for 1 day"),
        ("168", "for 7 days"),
    ];
    html! {
        label {
            "Approve "
            select name="for" {
                @for (hours, words) in choices { option value=(hours) { (words) } }
            }
        }
        " "
    }
}

/// Approving and rejecting, after a [`tick`]; if nothing can be decided, why.
pub fn fields(can_decide: bool, tick: &Markup) -> Markup {
    html! {
        @if can_decide {
            fieldset.decide {
                legend { "Decide" }
                (tick) (reason())
                button name="verb" value="approve" { "Approve" } "\n"
                button name="verb" value="reject" { "Reject" }
            }
        } @else {
            p.dim { "This is a view of a folder: decisions need a cluster (nanoseg ui)." }
        }
        "\n"
    }
}

/// Rolling back.
pub fn undo() -> Markup {
    html! {
        fieldset.decide {
            legend { "Undo" }
            (reason())
            button name="verb" value="rollback" { "Roll back" }
        }
    }
}

/// Approving what was rolled back again, after a [`tick`].
pub fn again(tick: &Markup) -> Markup {
    html! {
        fieldset.decide {
            legend { "Approve again" }
            (tick) (reason())
            button name="verb" value="approve" { "Approve again" }
        }
    }
}

/// The value that names a proposal in a form, with the revision that the page shows.
pub fn value(proposal: &PolicyProposal) -> String {
    format!(
        "{}/{}/{}",
        proposal.namespace().unwrap_or_default(),
        proposal.name_any(),
        proposal.spec.review.revision
    )
}

/// The tick that approving needs if the proposal would block recorded connections; empty if it blocks none. Its value
/// has the number of connections that the page shows: if there are more by then, the tick does not count.
pub fn tick(proposal: &PolicyProposal, label: &str) -> Markup {
    let total = proposal.spec.review.would_block_total;
    html! {
        @if total > 0 {
            label.tick {
                input type="checkbox" name="read" value={ (value(proposal)) "/" (total) };
                " " (label)
            }
        }
    }
}
