//! Decisions and writes in time.

use super::html::{Frame, Place, table, tag, text};
use super::view::View;
use crate::report::words::time;
use std::collections::BTreeMap;

/// The page. `query` may filter by `action`, `namespace` and `by`.
pub fn page(frame: &Frame, view: &View, query: &BTreeMap<String, String>) -> String {
    let given = &view.given;
    let mut body = match (&given.record_problem, given.events.is_empty()) {
        (Some(problem), _) => format!("<p>{} {}</p>\n", tag("high", "altered"), text(problem)),
        (None, true) => {
            "<p>There is no record here. The controller keeps one: nanoseg ui --state nanoseg.db \
                         shows a copy of it.</p>\n"
                .to_owned()
        }
        (None, false) => format!(
            "<p>{} {} entries, each with the digest of the one before.</p>\n",
            tag("low", "chain verified"),
            given.events.len()
        ),
    };
    let wanted = |name: &str| query.get(name).filter(|value| !value.is_empty());
    if !given.events.is_empty() {
        let field = |name: &str, label: &str| {
            let value = text(wanted(name).map(String::as_str).unwrap_or_default());
            format!("<label>{label} <input name=\"{name}\" value=\"{value}\"></label> ")
        };
        body.push_str(&format!(
            "<form class=\"filter\">{}{}{}<button>Filter</button></form>\n",
            field("action", "Action"),
            field("namespace", "Namespace"),
            field("by", "By")
        ));
    }
    let is = |name: &str, value: &str| wanted(name).is_none_or(|wanted| wanted == value);
    let rows: Vec<Vec<String>> = given
        .events
        .iter()
        .rev()
        .filter(|event| {
            is("action", event.action)
                && is("namespace", &event.namespace)
                && is("by", &event.actor)
        })
        .map(|event| {
            vec![
                event.sequence.to_string(),
                time(event.at),
                text(event.action),
                text(&event.actor),
                text(&event.namespace),
                text(&event.object),
                text(&event.reason),
            ]
        })
        .collect();
    if !rows.is_empty() {
        let header = [
            ">number",
            "at",
            "action",
            "by",
            "namespace",
            "object",
            "reason",
        ];
        body.push_str(&table(&header, &rows));
    }
    frame.page(Place::Record, "Record", &body)
}
