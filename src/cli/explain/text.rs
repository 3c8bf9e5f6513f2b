//! The answer for people.

use super::{Answer, Case};
use crate::cli::style::Style;
use crate::evaluate::{Always, Side};
use crate::report::escape;

/// The answer as lines.
pub fn render(answer: &Answer, colour: bool) -> String {
    let style = Style::new(colour);
    let Answer {
        client,
        server,
        port,
        protocol,
        ..
    } = answer;
    let allowed = answer.cases.iter().filter(|case| case.why.allowed).count();
    let verdict = match allowed {
        0 => style.red("not allowed"),
        _ if answer.allowed => style.green("allowed"),
        _ => style.yellow("allowed for some pods only"),
    };
    let question = format!("{client} → {server} on {port}/{protocol}");
    let mut out = format!("{}: {verdict}\n", escape::terminal(&question));
    for case in &answer.cases {
        out.push('\n');
        if answer.cases.len() > 1 || case.port != answer.port {
            out.push_str(&heading(answer, case, style));
        }
        out.push_str(&sides(answer, case, style));
    }
    out
}

/// Which pods it is about.
fn heading(answer: &Answer, case: &Case, style: Style) -> String {
    let line = format!(
        "{} → {} on {}/{}",
        few(&case.client),
        few(&case.server),
        case.port,
        answer.protocol
    );
    let verdict = if case.why.allowed {
        style.green("allowed")
    } else {
        style.red("not allowed")
    };
    format!("{}: {verdict}\n", style.bold(&escape::terminal(&line)))
}

fn few(names: &[String]) -> String {
    match names {
        [one, two, three, rest @ ..] if !rest.is_empty() => {
            format!("{one}, {two}, {three} and {} more", rest.len())
        }
        all => all.join(", "),
    }
}

fn sides(answer: &Answer, case: &Case, style: Style) -> String {
    match case.why.always {
        Some(Always::Itself) => {
            return "  a pod always reaches itself; no policy is asked\n".into();
        }
        Some(Always::OwnNode) => {
            return "  a node always reaches its own pods; no policy is asked\n".into();
        }
        None => {}
    }
    let out = (answer.client.as_str(), answer.server.as_str());
    let into = (answer.server.as_str(), answer.client.as_str());
    let port = format!("{}/{}", case.port, answer.protocol);
    let mut text = side("out of", "egress", out, &case.why.egress, &port, style);
    text.push_str(&side(
        "into",
        "ingress",
        into,
        &case.why.ingress,
        &port,
        style,
    ));
    text
}

/// One side: `own` is whose policies are asked, `far` the other end.
fn side(
    word: &str,
    direction: &str,
    (own, far): (&str, &str),
    side: &Side,
    port: &str,
    style: Style,
) -> String {
    // Names of snapshots are anybody's to choose.
    let clean = |text: String| escape::terminal(&text).into_owned();
    let mut lines = Vec::new();
    match side {
        Side::NoSubject => {
            lines.push("no policy has a say: it is not a pod of the pod network".into());
        }
        Side::NotIsolated => lines.push(format!("open: no policy isolates it for {direction}")),
        Side::Allowed { rules } => {
            for rule in rules {
                let rule = clean(rule.to_string());
                lines.push(format!("{} {rule}", style.green("allowed by")));
            }
        }
        Side::Denied { isolating, near } => {
            let isolating = clean(isolating.join(", "));
            let closed = style.red("closed");
            lines.push(format!("{closed} by {isolating}: no rule allows it"));
            for miss in near {
                let line = format!("{} names {far}, but on {}", miss.rule, miss.connections);
                lines.push(clean(line));
            }
            lines.push(clean(format!(
                "missing: an {direction} rule for {far} on {port} in a policy that selects {own}"
            )));
        }
    }
    let mut text = format!("  {word:<7} {}\n", clean(own.to_owned()));
    for line in lines {
        text.push_str(&format!("          {line}\n"));
    }
    text
}
