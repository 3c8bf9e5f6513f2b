//! The page of the record: decisions and writes, the newest first.

use super::html::{Frame, NavEntry, moment, part, select, table, tag, text};
use super::view::View;
use crate::record::Entry;
use crate::report::evidence::Event;
use maud::{Markup, html};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// At most this many entries are shown at once: some 150 KB.
const MOST: usize = 500;

/// Where the entries come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RecordSource {
    /// There are no entries.
    #[default]
    Nowhere,
    /// A copy of the controller's state, which has all of them.
    State,
    /// What the controller publishes.
    Published {
        /// The number of the first entry.
        from: u64,
        /// The end of the record, as `nanoseg record verify` prints it.
        head: String,
        /// The name of the object that has it.
        place: String,
    },
    /// Only the decisions that the cluster still has.
    Decisions {
        /// Why there is no record.
        why: String,
    },
}

/// The filter, as fields of the query.
struct Filter<'a>(&'a BTreeMap<String, String>);

impl Filter<'_> {
    fn wanted(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    fn matches(&self, event: &Event) -> bool {
        let is = |name: &str, value: &str| self.wanted(name).is_none_or(|wanted| wanted == value);
        let has = self.wanted("text").is_none_or(|wanted| {
            let wanted = wanted.to_lowercase();
            [&event.entry.object, &event.entry.reason]
                .iter()
                .any(|text| text.to_lowercase().contains(&wanted))
        });
        let before = self.wanted("before").and_then(|number| number.parse().ok());
        has && is("action", event.entry.action.kind().name())
            && is("namespace", &event.entry.namespace)
            && is("by", &event.entry.actor.to_string())
            && before.is_none_or(|before: u64| event.sequence < before)
    }

    /// The form that changes it: a list for fields with few possible values, else text.
    fn form(&self, events: &[Event]) -> Markup {
        let list = |name: &'static str, of: fn(&Entry) -> Cow<'_, str>| {
            let mut values: BTreeSet<Cow<'_, str>> =
                events.iter().map(|event| of(&event.entry)).collect();
            values.extend(self.wanted(name).map(Cow::from));
            let values = values.iter().map(|value| &**value);
            select(name, self.wanted(name).unwrap_or_default(), values)
        };
        html! {
            form.filter {
                "\n"
                label { "Action " (list("action", |one| one.action.kind().name().into())) } "\n"
                label { "Namespace " (list("namespace", |one| (&one.namespace).into())) } "\n"
                label { "By " (list("by", |one| one.actor.to_string().into())) } "\n"
                label {
                    "Object or reason "
                    input name="text" value=(self.wanted("text").unwrap_or_default());
                }
                "\n"
                button { "Filter" }
            }
            "\n"
        }
    }

    /// The link to the entries before a number, by the same filter.
    fn older(&self, frame: &Frame, before: u64) -> Markup {
        let mut path = format!("record?before={before}");
        for name in ["action", "namespace", "by", "text"] {
            if let Some(value) = self.wanted(name) {
                let _ = write!(path, "&{name}={}", part(value));
            }
        }
        frame.link(&path, "Older entries")
    }
}

/// The page. `query` may filter by `action`, `namespace`, `by`, a part of the `text` of object and reason, and by
/// entries `before` a number.
pub fn page(frame: &Frame, view: &View, query: &BTreeMap<String, String>) -> String {
    let (events, filter) = (&view.given.events, Filter(query));
    let chosen: Vec<&Event> = events.iter().rev().filter(|e| filter.matches(e)).collect();
    let shown = &chosen[..chosen.len().min(MOST)];
    let cut_at = shown.last().filter(|_| shown.len() < chosen.len());
    let body = html! {
        (about(&view.given.record_source, view.given.record_problem.as_deref(), events.len()))
        @if !events.is_empty() {
            (filter.form(events))
            (entries(shown))
            @if let Some(last) = cut_at {
                p { (filter.older(frame, last.sequence)) } "\n"
            }
        }
    };
    frame.page(NavEntry::Record, "Record", &body)
}

/// Where the entries come from, and whether the record is complete.
fn about(source: &RecordSource, problem: Option<&str>, count: usize) -> Markup {
    const WHOLE: &str =
        "nanoseg ui --state with a copy of the controller's state shows the whole record.";
    let verdict = html! {
        p {
            @if let Some(problem) = problem {
                (tag("high", "altered")) " " (problem) ". Compare with a copy that was kept elsewhere."
            } @else {
                (tag("low", "chain verified")) " " (count) " entries, each with the digest of the one before."
            }
        }
        "\n"
    };
    match source {
        RecordSource::Nowhere => html! {
            p {
                "There is no record here. The controller keeps one: nanoseg ui --state nanoseg.sqlite shows a copy of it."
            }
            "\n"
        },
        RecordSource::State => verdict,
        RecordSource::Published { from, head, place } => html! {
            (verdict)
            p {
                "From " (place) ", where the controller publishes it. "
                @if *from > 1 {
                    "It has the entries from number " b { (from) } " on, and the digest of the entry before them. " (WHOLE)
                } @else if problem.is_none() {
                    "It has the whole record."
                }
            }
            "\n"
            @if problem.is_none() {
                p {
                    span.dim {
                        "Head " code { (head) }
                        ": keep it elsewhere; with it you can check that the record was not rewritten."
                    }
                }
                "\n"
            }
        },
        RecordSource::Decisions { why } => html! {
            p {
                (tag("medium", "not the record"))
                " These are only the decisions that the cluster still has: no writes, and no chain that could be verified."
            }
            "\n"
            p { (why) " " (WHOLE) } "\n"
        },
    }
}

fn entries(shown: &[&Event]) -> Markup {
    if shown.is_empty() {
        return html! { p { "No entry matches the filter." } "\n" };
    }
    let row = |event: &&Event| {
        let entry = &event.entry;
        vec![
            text(event.sequence),
            moment(event.at),
            text(entry.action.kind().name()),
            text(entry.actor.to_string()),
            text(&entry.namespace),
            text(&entry.object),
            text(&entry.reason),
        ]
    };
    let rows: Vec<Vec<Markup>> = shown.iter().map(row).collect();
    let header = [
        ">number",
        "at",
        "action",
        "by",
        "namespace",
        "object",
        "reason",
    ];
    table(&header, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Timestamp;
    use crate::record::{Action, Actor};
    use crate::web::ViewInputs;

    fn view(count: u64, source: RecordSource, problem: Option<&str>) -> View {
        let event = |sequence| Event {
            sequence,
            at: Timestamp::from_secs(sequence as i64),
            done: None,
            entry: Entry::new(
                match sequence % 2 {
                    0 => Action::Applied,
                    _ => Action::Deleted,
                },
                Actor::user("olga & co"),
                "shop",
                &format!("nanoseg-{sequence}"),
            )
            .with_reason("<script>alert(1)</script>".into()),
        };
        let given = ViewInputs {
            events: (1..=count).map(event).collect(),
            record_problem: problem.map(str::to_owned),
            record_source: source,
            ..ViewInputs::default()
        };
        View::new(given).expect("a view")
    }

    fn shown(view: &View, query: &[(&str, &str)]) -> String {
        let frame = Frame {
            root: "/token/".into(),
            subject: "cluster".into(),
            version: 1,
            problem: None,
        };
        let query = query
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        page(&frame, view, &query.collect())
    }

    fn rows(page: &str) -> usize {
        page.matches("<tr><td").count()
    }

    #[test]
    fn many_entries_are_shown_in_parts_and_the_filter_stays() {
        let view = view(1300, RecordSource::State, None);
        let first = shown(&view, &[("action", "applied"), ("by", "olga & co")]);
        assert_eq!(rows(&first), MOST);
        assert!(first.len() < 300 << 10, "{}", first.len());
        let older = "record?before=302&amp;action=applied&amp;by=olga%20%26%20co";
        assert!(first.contains(older), "{older}");
        let query = [("before", "302"), ("action", "applied")];
        let second = shown(&view, &query);
        assert_eq!(rows(&second), 150);
        assert!(!second.contains("Older entries"));
        assert_eq!(rows(&shown(&view, &[("text", "NANOSEG-1300")])), 1);
        let none = shown(&view, &[("namespace", "nowhere")]);
        assert!(none.contains("No entry matches the filter"));
    }

    #[test]
    fn what_people_wrote_is_escaped() {
        let page = shown(
            &view(3, RecordSource::State, Some("<b>")),
            &[("text", "\"><b>")],
        );
        assert!(
            !page.contains("<script>alert") && !page.contains("<b>"),
            "{page}"
        );
    }

    #[test]
    fn only_a_verified_chain_is_shown_as_verified() {
        let verified = |page: &str| page.contains(">chain verified<");
        let published = || RecordSource::Published {
            from: 42,
            head: "44:sha256:ab".into(),
            place: "ConfigMap nanoseg/nanoseg-record".into(),
        };
        let page = shown(&view(3, published(), None), &[]);
        assert!(
            verified(&page) && page.contains("from number <b>42</b> on"),
            "{page}"
        );
        let page = shown(&view(3, published(), Some("entry 43 was changed")), &[]);
        assert!(!verified(&page) && page.contains(">altered<"), "{page}");
        assert!(!page.contains("keep it"), "{page}");
        let decisions = RecordSource::Decisions {
            why: "You may not read it.".into(),
        };
        let page = shown(&view(3, decisions, None), &[]);
        assert!(
            !verified(&page) && page.contains("You may not read it."),
            "{page}"
        );
        let page = shown(&view(0, RecordSource::Nowhere, None), &[]);
        assert!(
            !verified(&page) && page.contains("There is no record here"),
            "{page}"
        );
    }
}
