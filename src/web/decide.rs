//! Decisions of the page: what a form requests, whether the request is valid, and its outcome.

use super::html::{Frame, NavEntry, part};
use super::view::View;
use crate::record::{Connection, NoConnection};
use crate::report::words::count;
use crate::review::resources::Verb;
use crate::review::{LONGEST_OPENING, SHORTEST_OPENING};
use futures_util::future::BoxFuture;
use maud::html;
use std::collections::BTreeSet;

/// The longest reason, in characters.
const MOST_REASON: usize = 2000;

/// What an operator decided on the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionRequest {
    pub namespace: String,
    pub proposal: String,
    /// The revision that the page showed. Another revision is not decided.
    pub revision: String,
    pub verb: Verb,
    pub reason: String,
    /// The number of recorded connections it would block, as the operator has confirmed to have read it. A proposal that
    /// would block more is not approved.
    pub blocks: u32,
    /// The connections of the proposal that are not approved.
    pub except: Vec<Connection>,
    /// For how long what it opens stays open, in seconds; `None`: for good.
    pub open_for: Option<u32>,
}

/// The outcome, or why there is none: one line.
pub type Decided = Result<String, String>;

/// Carries out decisions as the operator.
pub trait Decide: Send + Sync {
    fn decide(&self, request: DecisionRequest) -> BoxFuture<'_, Decided>;
}

/// The decisions that a form requests: all of them, or none.
///
/// # Errors
/// Why nothing is decided, in lines for the sender.
pub fn requests(
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
        _ => return Err(vec!["The form does not name a decision.".into()]),
    };
    let reason: String = word("reason").trim().chars().take(MOST_REASON).collect();
    let all = |name: &'static str| {
        let named = form.iter().filter(move |(key, _)| key == name);
        named.map(|(_, value)| value.as_str())
    };
    let mut requests = Vec::new();
    let mut problems = Vec::new();
    let open_for = match (verb, word("for")) {
        (Verb::Approve, some) if !some.is_empty() => match open_for(some) {
            Ok(seconds) => Some(seconds),
            Err(problem) => {
                problems.push(problem);
                None
            }
        },
        _ => None,
    };
    for chosen in all("one") {
        match request(chosen, all("read"), verb, &reason) {
            Some(mut request) => {
                request.open_for = open_for;
                if verb == Verb::Approve {
                    match excepted(chosen, all("offered"), all("allow")) {
                        Ok(except) => request.except = except,
                        Err(problem) => problems.push(problem),
                    }
                }
                problems.extend(problem(view, &request));
                requests.push(request);
            }
            None => problems.push(format!("{chosen:?} names no proposal.")),
        }
    }
    if requests.is_empty() {
        problems.push("Nothing was chosen.".into());
    }
    if reason.is_empty() {
        problems.push("There is no reason: write why. It is kept in the record.".into());
    }
    if problems.is_empty() {
        Ok(requests)
    } else {
        Err(problems)
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
        except: Vec::new(),
        open_for: None,
    })
}

/// The connections of a proposal that the page offered and whose tick the operator took away.
///
/// # Errors
/// A connection that is not written as the page writes it.
fn excepted<'a>(
    chosen: &str,
    offered: impl Iterator<Item = &'a str>,
    allow: impl Iterator<Item = &'a str>,
) -> Result<Vec<Connection>, String> {
    let of = |one: &'a str| one.strip_prefix(chosen)?.strip_prefix('/');
    let kept: BTreeSet<&str> = allow.filter_map(of).collect();
    let offered = offered.filter_map(of);
    let out = offered.filter(|one| !kept.contains(one));
    out.map(|one| {
        one.parse()
            .map_err(|error: NoConnection| format!("{error}."))
    })
    .collect()
}

/// The seconds of a number of hours.
fn open_for(hours: &str) -> Result<u32, String> {
    let seconds = hours
        .trim()
        .parse::<u32>()
        .ok()
        .and_then(|hours| hours.checked_mul(3600));
    seconds
        .filter(|seconds| (SHORTEST_OPENING..=LONGEST_OPENING).contains(seconds))
        .ok_or_else(|| format!("{hours:?} is no time for an opening: 1 to 168 hours."))
}

/// Why a request may not be carried out.
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

/// The page that reports why nothing was decided.
pub fn refusal(frame: &Frame, problems: &[String]) -> String {
    let body = html! {
        p { "Go back in the browser to change what was written." } "\n"
        ul #decided {
            "\n"
            @for problem in problems {
                li.problem { (problem) } "\n"
            }
        }
        "\n"
        p { (frame.link("proposals", "Back to the proposals")) } "\n"
    };
    frame.page(NavEntry::Proposals, "Nothing was decided", &body)
}

/// The page that reports the outcome of each request.
pub fn outcome(frame: &Frame, all: &[(DecisionRequest, Decided)]) -> String {
    let line = |(request, outcome): &(DecisionRequest, Decided)| {
        let (class, message) = match outcome {
            Ok(message) => ("done", message),
            Err(problem) => ("problem", problem),
        };
        // A message for a terminal begins with the name.
        let name = &request.proposal;
        let message = message
            .strip_prefix(&format!("{name}: "))
            .unwrap_or(message);
        let path = format!("proposal/{}/{}", part(&request.namespace), part(name));
        let label = format!("{}/{name}", request.namespace);
        html! {
            li class=(class) { (frame.link(&path, &label)) " " (message) } "\n"
        }
    };
    let body = html! {
        ul #decided {
            "\n"
            @for one in all { (line(one)) }
        }
        "\n"
        p { (frame.link("proposals", "Back to the proposals")) } "\n"
    };
    frame.page(NavEntry::Proposals, "Decided", &body)
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
        requests(&view(blocks), &form).map_err(|problems| problems.join(" "))
    }

    #[test]
    fn nothing_is_decided_without_a_reason() {
        for reason in ["", "&reason=", "&reason=+%09+"] {
            for verb in ["approve", "reject", "rollback"] {
                let form = format!("one=shop/web-1/sha256:1&verb={verb}{reason}");
                let problem = ask(0, &form).expect_err("refused");
                assert!(problem.contains("no reason"), "{problem}");
            }
        }
        let asked = ask(0, "one=shop/web-1/sha256:1&verb=reject&reason=+no+").expect("a request");
        assert_eq!(asked[0].reason, "no");
        let problem = ask(0, "verb=reject&reason=no").expect_err("refused");
        assert!(problem.contains("Nothing was chosen"), "{problem}");
    }

    #[test]
    fn a_proposal_that_blocks_recorded_connections_is_approved_only_with_their_number_confirmed() {
        let one = "one=shop/web-1/sha256:1&reason=why";
        for read in [
            "",
            "&read=shop/web-1/sha256:1/2",
            "&read=shop/web-1/sha256:2/3",
            "&read=shop/web-2/sha256:1/3",
        ] {
            let problem = ask(3, &format!("{one}&verb=approve{read}")).expect_err("refused");
            assert!(
                problem.contains("would block 3 recorded connections"),
                "{problem}"
            );
        }
        let form = format!("{one}&verb=approve&read=shop/web-1/sha256:1/3");
        assert_eq!(ask(3, &form).expect("a request")[0].blocks, 3);
        assert!(ask(3, &format!("{one}&verb=reject")).is_ok());
        // If one of several is refused, nothing is decided.
        let two = format!("{form}&one=shop/gone/sha256:1");
        let problem = ask(3, &two).expect_err("refused");
        assert_eq!(problem, "shop/gone is gone.");
    }

    #[test]
    fn a_revision_that_the_page_did_not_show_is_not_decided() {
        let problem =
            ask(0, "one=shop/web-1/sha256:0&verb=approve&reason=why").expect_err("refused");
        assert!(problem.contains("changed since"), "{problem}");
    }

    #[test]
    fn what_is_offered_and_not_ticked_is_left_out_and_only_by_an_approval() {
        let one = "one=shop/web-1/sha256:1&reason=why";
        let name = |port| format!("shop/web-1/sha256:1/shop/a+%E2%86%92+shop/b+{port}/TCP");
        let offered = format!("{one}&offered={}&offered={}", name(1), name(2));
        let asked = ask(0, &format!("{offered}&allow={}&verb=approve", name(1)));
        let except = &asked.expect("a request")[0].except;
        let except: Vec<String> = except.iter().map(ToString::to_string).collect();
        assert_eq!(except, ["shop/a → shop/b 2/TCP"]);
        let asked = ask(0, &format!("{offered}&verb=reject")).expect("a request");
        assert_eq!(asked[0].except, []);
        // A tick of another proposal is none of this one.
        let other = "offered=shop/web-2/sha256:1/shop/a+%E2%86%92+shop/b+1/TCP";
        let asked = ask(0, &format!("{one}&{other}&verb=approve")).expect("a request");
        assert_eq!(asked[0].except, []);
        let broken = format!("{one}&offered=shop/web-1/sha256:1/nonsense&verb=approve");
        let problem = ask(0, &broken).expect_err("refused");
        assert!(problem.contains("names no connection"), "{problem}");
    }

    #[test]
    fn an_opening_lasts_an_hour_to_seven_days() {
        let one = "one=shop/web-1/sha256:1&reason=why&verb=approve&for=";
        let asked = |hours: &str| ask(0, &format!("{one}{hours}"));
        assert_eq!(asked("").expect("for good")[0].open_for, None);
        assert_eq!(asked("2").expect("two hours")[0].open_for, Some(7200));
        assert_eq!(asked("168").expect("a week")[0].open_for, Some(604_800));
        for wrong in ["0", "169", "-1", "2h", "4294967295"] {
            let problem = asked(wrong).expect_err(wrong);
            assert!(problem.contains("1 to 168 hours"), "{problem}");
        }
    }
}
