//! What a change of policies opens and closes, for a pull request and for code-review tools.

use super::Error;
use super::escape::{code, markdown as text};
use super::markdown::{heading, table};
use super::sarif::{Found, Level, Place, Rule, sarif};
use super::words::{count, thousands};
use crate::evaluate::{Cause, Causes, Change, Comparison, Turn};
use crate::inventory::OtherPolicy;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A change, and what in the policies made it.
#[derive(Debug, Clone, Serialize)]
pub struct Explained {
    #[serde(flatten)]
    pub change: Change,
    pub causes: Vec<Cause>,
}

/// All changes of a comparison with their causes, sorted.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Changes {
    pub opened: Vec<Explained>,
    pub closed: Vec<Explained>,
    /// Policies of other kinds that differ: what they open and close is not known.
    #[serde(rename = "notJudged", skip_serializing_if = "Vec::is_empty")]
    pub not_judged: Vec<NotJudged>,
}

/// A policy that differs and is of a kind that nanoseg does not judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotJudged {
    pub kind: String,
    /// `namespace/name`, or the name of one for all namespaces.
    pub policy: String,
    /// `added`, `changed` or `removed`.
    pub way: &'static str,
    /// Where it is written: after, or before if it was removed.
    pub file: String,
}

impl fmt::Display for NotJudged {
    /// `CiliumNetworkPolicy shop/web is added: not judged`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} is {}: not judged",
            self.kind, self.policy, self.way
        )
    }
}

/// Of the policies of other kinds those that differ, of several versions of one the last.
pub fn not_judged(before: &[OtherPolicy], after: &[OtherPolicy]) -> Vec<NotJudged> {
    let by_name = |policies: &'_ [OtherPolicy]| -> BTreeMap<String, usize> {
        let named = policies.iter().enumerate();
        named.map(|(at, one)| (one.to_string(), at)).collect()
    };
    let (old, new) = (by_name(before), by_name(after));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let of = |name: &String| {
        let was = old.get(name).and_then(|at| before.get(*at));
        let is = new.get(name).and_then(|at| after.get(*at));
        let (way, one) = match (was, is) {
            (Some(was), Some(is)) if was.says_as(is) => return None,
            (Some(_), Some(is)) => ("changed", is),
            (None, Some(is)) => ("added", is),
            (Some(was), None) => ("removed", was),
            (None, None) => return None,
        };
        Some(NotJudged {
            kind: one.kind.clone(),
            policy: one.name.clone(),
            way,
            file: one.file.clone(),
        })
    };
    names.into_iter().filter_map(of).collect()
}

impl Changes {
    /// Whether nothing opens and nothing closes, as far as that is known.
    pub fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.closed.is_empty() && self.not_judged.is_empty()
    }

    /// Compares, and finds the cause of each change.
    pub fn of(comparison: &Comparison) -> Self {
        let found = comparison.difference();
        let causes = Causes::new(comparison);
        let explain = |list: Vec<Change>, turn: Turn| {
            let each = list.into_iter().map(|change| Explained {
                causes: causes.of(&change, turn),
                change,
            });
            each.collect()
        };
        Changes {
            opened: explain(found.opened, Turn::Opened),
            closed: explain(found.closed, Turn::Closed),
            not_judged: Vec::new(),
        }
    }
}

/// How many changes of each list a pull request shows: GitHub cuts a comment at 65 536 characters.
const MOST: usize = 200;

/// The changes as GitHub-flavoured Markdown.
pub fn markdown(changes: &Changes) -> String {
    let (opened, closed) = (changes.opened.len() as u64, changes.closed.len() as u64);
    let mut out = String::from("## What these NetworkPolicies change\n\n");
    out.push_str(&match (opened, closed) {
        (0, 0) if !changes.not_judged.is_empty() => {
            "**Not known**: policies changed that are not judged. NetworkPolicies allow the same connections as before.\n"
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
    });
    if !changes.not_judged.is_empty() && (opened, closed) != (0, 0) {
        let number = count(changes.not_judged.len() as u64, "change");
        out.push_str(&format!(
            "\n**Not known**: {number} of policies that are not judged.\n"
        ));
    }
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
    if !changes.not_judged.is_empty() {
        heading(&mut out, 3, "Not judged");
        out.push_str("What these open and close is not known: nanoseg judges NetworkPolicies of networking.k8s.io.\n\n");
        let row = |one: &NotJudged| {
            vec![
                text(&one.kind),
                code(&one.policy),
                one.way.to_owned(),
                code(&one.file),
            ]
        };
        let rows: Vec<Vec<String>> = changes.not_judged.iter().take(MOST).map(row).collect();
        table(&mut out, &["kind", "policy", "is", "file"], &rows);
        if let Some(more) = changes
            .not_judged
            .len()
            .checked_sub(MOST)
            .filter(|n| *n > 0)
        {
            out.push_str(&format!("\n… and {} more.\n", thousands(more as u64)));
        }
    }
    out
}

fn row(one: &Explained) -> Vec<String> {
    let Change {
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
    remedy: "Check that nothing uses it: nanoseg verify tells from recorded traffic.",
};

const NOT_JUDGED: Rule = Rule {
    id: "policy-not-judged",
    level: Level::Error,
    means: "The change touches a policy of a kind that nanoseg does not judge: what it opens is not known.",
    remedy: "Review it by hand, or say the same in a NetworkPolicy of networking.k8s.io.",
};

/// The changes as SARIF. `file` is where a file is in the repository; `place` finds where a cause is written, and for a change whose causes are in no file
/// the place to look at in a namespace.
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
            let way = match rule.id == OPENED.id {
                true => "Opened",
                false => "Closed",
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
    let not_judged = changes.not_judged.iter().map(|one| Found {
        rule: &NOT_JUDGED,
        message: one.to_string(),
        places: vec![file(&one.file)],
        subject: one.policy.clone(),
        identity: one.to_string(),
    });
    let found: Vec<Found> = found.chain(not_judged).collect();
    sarif("diff", &[&OPENED, &CLOSED, &NOT_JUDGED], &found)
}
