//! The report for code-review tools: a connection that is not allowed is an error at the policies that deny it.

use super::{Case, ExplainReport};
use crate::evaluate::Side;
use crate::load::PolicyLocations;
use crate::report::Error;
use crate::report::sarif::{Found, Level, Place, Rule, sarif};

const NOT_ALLOWED: Rule = Rule {
    id: "not-allowed",
    level: Level::Error,
    means: "The policies do not allow the connection.",
    remedy: "Add a rule for it to a policy that selects the pods on the side that denies it.",
};

/// The report as SARIF; without a result if the connection is allowed.
pub fn render(report: &ExplainReport, locations: &PolicyLocations) -> Result<String, Error> {
    let denied = report.cases.iter().filter(|case| !case.why.allowed);
    let found: Vec<Found> = denied.map(|case| found(report, case, locations)).collect();
    sarif("explain", &[&NOT_ALLOWED], &found)
}

fn found(report: &ExplainReport, case: &Case, locations: &PolicyLocations) -> Found {
    let (client, server) = match report.cases.len() {
        1 => (report.client.clone(), report.server.clone()),
        _ => (case.client.join(", "), case.server.join(", ")),
    };
    let question = format!("{client} => {server} : {} {}", report.protocol, case.port);
    let sides = [("egress", &case.why.egress), ("ingress", &case.why.ingress)];
    let (mut closed, mut at): (Vec<String>, Vec<Place>) = (Vec::new(), Vec::new());
    for (direction, side) in sides {
        if let Side::Denied {
            isolating,
            near,
            rules,
        } = side
        {
            closed.push(format!("closed on {direction} by {}", isolating.join(", ")));
            // A rule that denies it, or is close to allowing it, is where a person would change something.
            let near = near.iter().map(|one| &one.rule);
            let near = rules.iter().chain(near);
            let near = near.map(|rule| locations.of(&rule.policy, Some(rule)));
            let policies = isolating.iter().map(|policy| locations.of(policy, None));
            at.extend(near.chain(policies).flatten());
        }
    }
    at.dedup();
    if at.is_empty() {
        let namespace = report.server.split_once('/').map_or("", |(one, _)| one);
        at.extend(locations.nearest(namespace));
    }
    Found {
        rule: &NOT_ALLOWED,
        message: format!("Not allowed: {question} ({})", closed.join("; ")),
        places: at,
        subject: report.server.clone(),
        identity: question,
    }
}
