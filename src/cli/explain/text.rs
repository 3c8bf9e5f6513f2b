//! The report as text.

use super::{Case, ExplainReport};
use crate::cli::style::Style;
use crate::evaluate::{Always, Side};
use crate::report::escape;

/// Renders the report.
pub fn render(report: &ExplainReport, colour: bool) -> String {
    let style = Style::new(colour);
    let ExplainReport {
        client,
        server,
        port,
        protocol,
        ..
    } = report;
    let allowed = report.cases.iter().filter(|case| case.why.allowed).count();
    let verdict = match allowed {
        0 => style.red("not allowed"),
        _ if report.allowed => style.green("allowed"),
        _ if report.cases.iter().any(|case| case.through.is_some()) => {
            style.yellow("allowed in some cases only")
        }
        _ => style.yellow("allowed for some pods only"),
    };
    let question = format!("{client} → {server} on {port}/{protocol}");
    let mut out = format!("{}: {verdict}\n", escape::terminal(&question));
    for case in &report.cases {
        out.push('\n');
        if report.cases.len() > 1 || case.port != report.port {
            out.push_str(&heading(report, case, style));
        }
        out.push_str(&sides(report, case, style));
    }
    out
}

/// The heading of a case: which pods it is about.
fn heading(report: &ExplainReport, case: &Case, style: Style) -> String {
    let seen_as = match &case.through {
        Some(services) => format!("as a node, through {services}: "),
        None => String::new(),
    };
    let line = format!(
        "{seen_as}{} → {} on {}/{}",
        few(&case.client),
        few(&case.server),
        case.port,
        report.protocol
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

fn sides(report: &ExplainReport, case: &Case, style: Style) -> String {
    match case.why.always {
        Some(Always::Itself) => {
            return "  a pod always reaches itself; policies do not apply\n".into();
        }
        Some(Always::OwnNode) => {
            return "  a node always reaches its own pods; policies do not apply\n".into();
        }
        None => {}
    }
    // Which rule is missing is said of whom the plugin sees.
    let nodes = few(&case.client);
    let client = match case.through {
        Some(_) => nodes.as_str(),
        None => report.client.as_str(),
    };
    let out = (client, report.server.as_str());
    let into = (report.server.as_str(), client);
    let port = format!("{}/{}", case.port, report.protocol);
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

/// One side: `own` is the end whose policies apply, `far` the other end.
fn side(
    word: &str,
    direction: &str,
    (own, far): (&str, &str),
    side: &Side,
    port: &str,
    style: Style,
) -> String {
    // Anybody may choose the names in a snapshot.
    let clean = |text: String| escape::terminal(&text).into_owned();
    let mut lines = Vec::new();
    match side {
        Side::NoSubject => {
            lines.push("no policy applies: it is not a pod of the pod network".into());
        }
        Side::NotIsolated => lines.push(format!("open: no policy isolates it for {direction}")),
        Side::Allowed { rules } => {
            for rule in rules {
                let rule = clean(rule.to_string());
                lines.push(format!("{} {rule}", style.green("allowed by")));
            }
        }
        Side::Denied { rules, .. } if !rules.is_empty() => {
            for rule in rules {
                let rule = clean(rule.to_string());
                lines.push(format!("{} by {rule}", style.red("denied")));
            }
        }
        Side::Denied {
            isolating, near, ..
        } => {
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
