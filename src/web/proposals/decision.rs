//! The fields by which something is decided.

use crate::review::resources::PolicyProposal;
use crate::web::html::text;
use kube::ResourceExt;

/// A form that is sent with the Enter key is sent by its first button. This one cannot be pressed, so that Enter
/// in a field decides nothing: a decision is a press on its own button.
pub const NO_BUTTON: &str = "<button type=\"submit\" disabled hidden></button>";

const REASON: &str = "<label>Reason <input name=\"reason\" maxlength=\"2000\" required></label>\n";

/// Approving and rejecting, after a [`tick`]; why nothing can be decided where nothing can.
pub fn fields(can_decide: bool, tick: &str) -> String {
    match can_decide {
        true => format!(
            "<fieldset class=\"decide\"><legend>Decide</legend>{tick}{REASON}\
             <button name=\"verb\" value=\"approve\">Approve</button>\n\
             <button name=\"verb\" value=\"reject\">Reject</button></fieldset>\n"
        ),
        false => "<p class=\"dim\">This is a look at a folder: decisions need a cluster (nanoseg ui).</p>\n".into(),
    }
}

/// Rolling back.
pub fn undo() -> String {
    format!(
        "<fieldset class=\"decide\"><legend>Undo</legend>{REASON}\
         <button name=\"verb\" value=\"rollback\">Roll back</button></fieldset>"
    )
}

/// What names a proposal in a form, with what was seen of it.
pub fn value(proposal: &PolicyProposal) -> String {
    text(format!(
        "{}/{}/{}",
        proposal.namespace().unwrap_or_default(),
        proposal.name_any(),
        proposal.spec.review.revision
    ))
}

/// The tick without which nothing is approved that would block recorded connections; empty where it blocks none.
/// It says how many were read of: where there are more by then, it counts for nothing.
pub fn tick(proposal: &PolicyProposal, label: &str) -> String {
    match proposal.spec.review.would_block_total {
        0 => String::new(),
        total => format!(
            "<label class=\"tick\"><input type=\"checkbox\" name=\"read\" value=\"{}/{total}\"> {}</label>",
            value(proposal),
            text(label)
        ),
    }
}
