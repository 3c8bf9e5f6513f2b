//! What a change of policies opens and closes, for a pull request and for code-review tools.

mod others;

pub use others::{NotJudged, not_judged};

use super::Error;
use super::escape::{code, markdown as text};
use super::markdown::{heading, table};
use super::sarif::{Found, Level, Place, Rule, sarif};
use super::words::{count, thousands};
use nanoseg_evaluate::{Cause, Causes, ChangeKind, Comparison, ConnectionChange};
use serde::Serialize;

/// A change, and what in the policies made it.
#[derive(Debug, Clone, Serialize)]
pub struct Explained {
    #[serde(flatten)]
    pub change: ConnectionChange,
    pub causes: Vec<Cause>,
}

/// All changes of a comparison with their causes, sorted.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Changes {
    pub opened: Vec<Explained>,
    pub closed: Vec<Explained>,
    /// Policies of other kinds that differ: what they open and close is not evaluated.
    #[serde(rename = "notJudged", skip_serializing_if = "Vec::is_empty")]
    pub not_judged: Vec<NotJudged>,
}

impl Changes {
    /// Returns true if nothing is known to open or close.
    pub fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.closed.is_empty() && self.not_judged.is_empty()
    }

    /// Compares, and finds the cause of each change.
    pub fn of(comparison: &Comparison) -> Self {
        let found = comparison.difference();
        let causes = Causes::new(comparison);
        let explain = |list: Vec<ConnectionChange>, turn: ChangeKind| {
            let each = list.into_iter().map(|change| Explained {
                causes: causes.of(&change, turn),
                change,
            });
            each.collect()
        };
        Changes {
            opened: explain(found.opened, ChangeKind::Opened),
            closed: explain(found.closed, ChangeKind::Closed),
            not_judged: Vec::new(),
        }
    }
}

/// How many changes of each list a pull request shows: GitHub cuts a comment at 65 536 characters.
const MOST: usize = 200;

/// The counts of a change.
fn headline(changes: &Changes) -> String {
    let (opened, closed) = (changes.opened.len() as u64, changes.closed.len() as u64);
    let mut text = match (opened, closed) {
        (0, 0) if !changes.not_judged.is_empty() => {
            "**Not known**: policies changed that are not judged. What is judged allows the same connections as before.\n"
                .to_owned()
        }
        (0, 0) => "Nothing: they allow the same connections as before.\n".to_owned(),
        (0, _) => format!(
            "**Opens nothing**, closes {}.\n",
            count(closed, "connection")
        ),
        (_, 0) => format!(
            "**Opens {}**, closes nothing.\n",
            count(opened, "connection")
        ),
        _ => format!(
            "**Opens {}**, closes {}.\n",
            count(opened, "connection"),
            thousands(closed)
        ),
    };
    if !changes.not_judged.is_empty() && (opened, closed) != (0, 0) {
        let number = count(changes.not_judged.len() as u64, "change");
        text.push_str(&format!(
            "\n**Not known**: {number} of policies that are not judged.\n"
        ));
    }
    text
}

/// The changes as GitHub-flavoured Markdown.
pub fn markdown(changes: &Changes) -> String {
    let mut out = String::from("## What these NetworkPolicies change\n\n");
    out.push_str(&headline(changes));
    for (title, list) in [("Opened", &changes.opened), ("Closed", &changes.closed)] {
        if list.is_empty() {
            continue;
        }
        heading(&mut out, 3, title);
        let rows: Vec<Vec<String>> = list.iter().take(MOST).map(row).collect();
        table(&mut out, &["client", "server", "ports", "why"], &rows);
        if let Some(more) = list.len().checked_sub(MOST).filter(|more| *more > 0) {
            out.push_str(&format!("\n… and {} more.\n", thousands(more as u64)));
        }
    }
    others::markdown(&mut out, &changes.not_judged);
    out
}

fn row(one: &Explained) -> Vec<String> {
    let ConnectionChange {
        client,
        server,
        connections,
    } = &one.change;
    let causes: Vec<String> = one
        .causes
        .iter()
        .map(|cause| text(&cause.to_string()))
        .collect();
    vec![
        code(&client.to_string()),
        code(&server.to_string()),
        connections.to_string(),
        causes.join("<br>"),
    ]
}

const OPENED: Rule = Rule {
    id: "opened-connection",
    level: Level::Error,
    means: "The change allows a connection that was not allowed before.",
    remedy: "Check that both ends should talk on these ports; else narrow the rule that is pointed at.",
};

const CLOSED: Rule = Rule {
    id: "closed-connection",
    level: Level::Warning,
    means: "The change takes away a connection that was allowed before.",
    remedy: "Check that nothing uses it: nanoseg verify compares policies with recorded traffic.",
};

/// The changes as SARIF. `file` maps a file to its path in the repository; `place` finds where a cause is written, or, for a change whose
/// causes are in no file, the place to look at in a namespace.
///
/// # Errors
/// See [`sarif`].
pub fn as_sarif(
    changes: &Changes,
    place: impl Fn(Result<&Cause, &str>) -> Option<Place>,
    file: impl Fn(&str) -> Place,
) -> Result<String, Error> {
    let lists = [(&OPENED, &changes.opened), (&CLOSED, &changes.closed)];
    let found = lists.iter().flat_map(|(rule, list)| {
        let place = &place;
        list.iter().map(move |one| {
            let causes: Vec<String> = one.causes.iter().map(Cause::to_string).collect();
            let way = if rule.id == OPENED.id {
                "Opened"
            } else {
                "Closed"
            };
            let mut places: Vec<Place> = Vec::new();
            for found in one.causes.iter().filter_map(|cause| place(Ok(cause))) {
                if !places.contains(&found) {
                    places.push(found);
                }
            }
            if places.is_empty() {
                places.extend(place(Err(one.change.namespace())));
            }
            Found {
                rule,
                message: format!("{way}: {} ({})", one.change, causes.join("; ")),
                places,
                subject: one.change.server.to_string(),
                identity: one.change.to_string(),
            }
        })
    });
    let not_judged = others::found(&changes.not_judged, file);
    let found: Vec<Found> = found.chain(not_judged).collect();
    sarif("diff", &[&OPENED, &CLOSED, &others::RULE], &found)
}
