//! The answer for code-review tools: what is not allowed is an error at the policies in its way.

use super::{Answer, Case};
use crate::evaluate::Side;
use crate::load::PolicyLocations;
use crate::report::Error;
use crate::report::sarif::{Found, Level, Place, Rule, sarif};

const NOT_ALLOWED: Rule = Rule {
    id: "not-allowed",
    level: Level::Error,
    means: "The policies do not allow the connection that was asked about.",
    remedy: "Add a rule for it to a policy that selects the pods on the side that closes it.",
};

/// The answer as SARIF; no result if the connection is allowed.
pub fn render(answer: &Answer, locations: &PolicyLocations) -> Result<String, Error> {
    let denied = answer.cases.iter().filter(|case| !case.why.allowed);
    let found: Vec<Found> = denied.map(|case| found(answer, case, locations)).collect();
    sarif("explain", &[&NOT_ALLOWED], &found)
}

fn found(answer: &Answer, case: &Case, locations: &PolicyLocations) -> Found {
    let (client, server) = match answer.cases.len() {
        1 => (answer.client.clone(), answer.server.clone()),
        _ => (case.client.join(", "), case.server.join(", ")),
    };
    let question = format!("{client} => {server} : {} {}", answer.protocol, case.port);
    let sides = [("egress", &case.why.egress), ("ingress", &case.why.ingress)];
    let (mut closed, mut at): (Vec<String>, Vec<Place>) = (Vec::new(), Vec::new());
    for (direction, side) in sides {
        if let Side::Denied { isolating, near } = side {
            closed.push(format!("closed on {direction} by {}", isolating.join(", ")));
            // A rule that comes near is where a hand would change something.
            let near = near
                .iter()
                .map(|one| locations.of(&one.rule.policy, Some(&one.rule)));
            let policies = isolating.iter().map(|policy| locations.of(policy, None));
            at.extend(near.chain(policies).flatten());
        }
    }
    at.dedup();
    if at.is_empty() {
        let namespace = answer.server.split_once('/').map_or("", |(one, _)| one);
        at.extend(locations.nearest(namespace));
    }
    Found {
        rule: &NOT_ALLOWED,
        message: format!("Not allowed: {question} ({})", closed.join("; ")),
        places: at,
        subject: answer.server.clone(),
        identity: question,
    }
}
