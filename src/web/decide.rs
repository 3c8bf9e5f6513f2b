//! Decisions of the page: what a form asks for, whether it may be asked, and what became of it.

use super::html::{Frame, Place, part, text};
use super::view::View;
use crate::report::words::count;
use crate::review::resources::Verb;
use futures_util::future::BoxFuture;
use std::fmt::Write as _;

/// The longest reason, in characters.
const MOST_REASON: usize = 2000;

/// What an operator decided on the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionRequest {
    pub namespace: String,
    pub proposal: String,
    /// What they saw: another one is not decided.
    pub revision: String,
    pub verb: Verb,
    pub reason: String,
    /// Of so many recorded connections that it would block they have read: with more it is not approved.
    pub blocks: u32,
}

/// What became of it, or why nothing did: one line.
pub type Decided = Result<String, String>;

/// Carries out decisions as the operator.
pub trait Decide: Send + Sync {
    fn decide(&self, request: DecisionRequest) -> BoxFuture<'_, Decided>;
}

/// What a form asks for: all of it, or nothing.
///
/// # Errors
/// Why nothing of it is decided, in lines for who sent it.
pub fn decision_requests(
    view: &View,
    form: &[(String, String)],
) -> Result<Vec<DecisionRequest>, Vec<String>> {
    let word = |name: &str| {
        let found = form.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    };
    let verb = match word("verb") {
        "approve" => Verb::Approve,
        "reject" => Verb::Reject,
        "rollback" => Verb::Rollback,
        _ => return Err(vec!["It is not said what to decide.".into()]),
    };
    let reason: String = word("reason").trim().chars().take(MOST_REASON).collect();
    let all = |name: &'static str| {
        let named = form.iter().filter(move |(key, _)| key == name);
        named.map(|(_, value)| value.as_str())
    };
    let mut decision_requests = Vec::new();
    let mut problems = Vec::new();
    for chosen in all("one") {
        match request(chosen, all("read"), verb, &reason) {
            Some(request) => {
                problems.extend(problem(view, &request));
                decision_requests.push(request);
            }
            None => problems.push(format!("{chosen:?} names no proposal.")),
        }
    }
    if decision_requests.is_empty() {
        problems.push("Nothing was chosen.".into());
    }
    if reason.is_empty() {
        problems.push("There is no reason: write why. It is kept in the record.".into());
    }
    match problems.is_empty() {
        true => Ok(decision_requests),
        false => Err(problems),
    }
}

fn request<'a>(
    chosen: &str,
    mut read: impl Iterator<Item = &'a str>,
    verb: Verb,
    reason: &str,
) -> Option<DecisionRequest> {
    let mut parts = chosen.splitn(3, '/');
    let (namespace, proposal, revision) = (parts.next()?, parts.next()?, parts.next()?);
    let blocks = read.find_map(|one| one.strip_prefix(chosen)?.strip_prefix('/')?.parse().ok());
    Some(DecisionRequest {
        namespace: namespace.to_owned(),
        proposal: proposal.to_owned(),
        revision: revision.to_owned(),
        verb,
        reason: reason.to_owned(),
        blocks: blocks.unwrap_or_default(),
    })
}

/// Why a wish may not be asked for.
fn problem(view: &View, request: &DecisionRequest) -> Option<String> {
    let DecisionRequest {
        namespace,
        proposal,
        ..
    } = request;
    let Some(known) = view.proposal(namespace, proposal) else {
        return Some(format!("{namespace}/{proposal} is gone."));
    };
    let review = &known.spec.review;
    if review.revision != request.revision {
        return Some(format!(
            "{namespace}/{proposal} changed since the page showed it; look at it again."
        ));
    }
    let total = review.would_block_total;
    (request.verb == Verb::Approve && total > request.blocks).then(|| {
        format!(
            "{namespace}/{proposal} would block {}: look at the list, and tick that you have read it.",
            count(total.into(), "recorded connection")
        )
    })
}

/// Why nothing was decided.
pub fn refusal(frame: &Frame, problems: &[String]) -> String {
    let lines: String = problems
        .iter()
        .map(|problem| format!("<li class=\"problem\">{}</li>\n", text(problem)))
        .collect();
    let back = frame.link("proposals", "Back to the proposals");
    let body = format!(
        "<p>Go back in the browser to change what was written.</p>\n<ul id=\"decided\">\n{lines}</ul>\n<p>{back}</p>\n"
    );
    frame.page(Place::Proposals, "Nothing was decided", &body)
}

/// What became of each.
pub fn outcome(frame: &Frame, all: &[(DecisionRequest, Decided)]) -> String {
    let mut lines = String::new();
    for (request, outcome) in all {
        let (class, said) = match outcome {
            Ok(said) => ("done", said),
            Err(problem) => ("problem", problem),
        };
        // What is said on a terminal begins with the name.
        let name = &request.proposal;
        let said = said.strip_prefix(&format!("{name}: ")).unwrap_or(said);
        let path = format!("proposal/{}/{}", part(&request.namespace), part(name));
        let _ = writeln!(
            lines,
            "<li class=\"{class}\">{} {}</li>",
            frame.link(&path, &format!("{}/{name}", request.namespace)),
            text(said)
        );
    }
    let back = frame.link("proposals", "Back to the proposals");
    let body = format!("<ul id=\"decided\">\n{lines}</ul>\n<p>{back}</p>\n");
    frame.page(Place::Proposals, "Decided", &body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::resources::{PolicyProposal, PolicyProposalSpec};
    use crate::web::ViewInputs;

    fn view(blocks: u32) -> View {
        let mut spec = PolicyProposalSpec::default();
        spec.review.revision = "sha256:1".into();
        spec.review.would_block_total = blocks;
        let mut proposal = PolicyProposal::new("web-1", spec);
        proposal.metadata.namespace = Some("shop".into());
        let given = ViewInputs {
            proposals: vec![proposal],
            ..ViewInputs::default()
        };
        View::new(given).expect("a view")
    }

    fn ask(blocks: u32, form: &str) -> Result<Vec<DecisionRequest>, String> {
        let form: Vec<_> = form_urlencoded::parse(form.as_bytes())
            .into_owned()
            .collect();
        decision_requests(&view(blocks), &form).map_err(|problems| problems.join(" "))
    }

    #[test]
    fn nothing_is_decided_without_a_reason() {
        for reason in ["", "&reason=", "&reason=+%09+"] {
            for verb in ["approve", "reject", "rollback"] {
                let form = format!("one=shop/web-1/sha256:1&verb={verb}{reason}");
                let said = ask(0, &form).expect_err("refused");
                assert!(said.contains("no reason"), "{said}");
            }
        }
        let asked = ask(0, "one=shop/web-1/sha256:1&verb=reject&reason=+no+").expect("a request");
        assert_eq!(asked[0].reason, "no");
        let said = ask(0, "verb=reject&reason=no").expect_err("refused");
        assert!(said.contains("Nothing was chosen"), "{said}");
    }

    #[test]
    fn what_blocks_recorded_connections_is_approved_only_by_who_read_how_many() {
        let one = "one=shop/web-1/sha256:1&reason=why";
        for read in [
            "",
            "&read=shop/web-1/sha256:1/2",
            "&read=shop/web-1/sha256:2/3",
            "&read=shop/web-2/sha256:1/3",
        ] {
            let said = ask(3, &format!("{one}&verb=approve{read}")).expect_err("refused");
            assert!(
                said.contains("would block 3 recorded connections"),
                "{said}"
            );
        }
        let form = format!("{one}&verb=approve&read=shop/web-1/sha256:1/3");
        assert_eq!(ask(3, &form).expect("a request")[0].blocks, 3);
        assert!(ask(3, &format!("{one}&verb=reject")).is_ok());
        // Of several nothing is decided where one may not be.
        let two = format!("{form}&one=shop/gone/sha256:1");
        let said = ask(3, &two).expect_err("refused");
        assert_eq!(said, "shop/gone is gone.");
    }

    #[test]
    fn another_revision_than_the_one_that_was_seen_is_not_decided() {
        let said = ask(0, "one=shop/web-1/sha256:0&verb=approve&reason=why").expect_err("refused");
        assert!(said.contains("changed since"), "{said}");
    }
}
