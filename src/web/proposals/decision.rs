//! The fields of a form that decides.

use crate::review::resources::PolicyProposal;
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
