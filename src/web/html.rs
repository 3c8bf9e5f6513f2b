//! The frame of every page, and the pieces that pages share. Names come from captures and clusters, so all HTML is
//! made with maud: what is not [`Markup`] by its type is escaped.

use crate::net::{ConnectionSet, Timestamp};
use crate::report::escape::html_document;
use crate::report::words::{thousands, time};
use maud::{DOCTYPE, Markup, Render, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A value as markup, for the cell of a table: text is escaped, [`Markup`] stays as it is.
pub fn text(value: impl Render) -> Markup {
    value.render()
}

/// One part of a URL's path or query (RFC 3986: all but unreserved characters is encoded).
pub fn part(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Which entry of the navigation a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NavEntry {
    Map,
    Proposals,
    Workloads,
    Risks,
    WhatIf,
    Record,
}

/// The navigation: entry, path below the root, name.
const NAVIGATION: [(NavEntry, &str, &str); 6] = [
    (NavEntry::Map, "", "Map"),
    (NavEntry::Proposals, "proposals", "Proposals"),
    (NavEntry::Workloads, "workloads", "Workloads"),
    (NavEntry::Risks, "risks", "Risks"),
    (NavEntry::WhatIf, "what-if", "What if"),
    (NavEntry::Record, "record", "Record"),
];

/// What surrounds the body of every page. `root` is the path with the token, ending in a slash.
#[derive(Debug, Clone)]
pub struct Frame {
    pub root: String,
    /// What the page is about, such as the name of a context or a folder.
    pub subject: String,
    /// Grows with every change.
    pub version: u64,
    /// Why the page may be older than it looks.
    pub problem: Option<String>,
}

impl Frame {
    /// A whole page.
    pub fn page(&self, current: NavEntry, title: &str, body: &Markup) -> String {
        let root = &self.root;
        let page = html! {
            (DOCTYPE) "\n"
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width";
                    title { (title) " – nanoseg" }
                    link rel="stylesheet" href={ (root) "style.css" };
                    link rel="icon" href="data:,";
                    script src={ (root) "script.js" } defer {}
                }
                "\n"
                body data-root=(root) data-version=(self.version) {
                    a.skip href="#main" { "Skip to content" }
                    header {
                        strong { "nanoseg" }
                        nav aria-label="Views" {
                            @for (entry, path, name) in NAVIGATION {
                                a href={ (root) (path) } aria-current=[(entry == current).then_some("page")] { (name) }
                            }
                        }
                        span.subject { (self.subject) }
                        span #live role="status" {}
                    }
                    "\n"
                    main #main tabindex="-1" {
                        h1 { (title) } "\n"
                        @if let Some(problem) = &self.problem {
                            p #problem.problem role="alert" { (problem) } "\n"
                        }
                        (body)
                    }
                }
            }
            "\n"
        };
        html_document(page.into_string())
    }

    /// A link to another page; `path` is made of [`part`]s.
    pub fn link(&self, path: &str, name: &str) -> Markup {
        html! { a href={ (self.root) (path) } { (name) } }
    }
}

/// A table. A header that begins with `>` is right-aligned.
pub fn table(header: &[&str], rows: &[Vec<Markup>]) -> Markup {
    let class = |name: &str| name.starts_with('>').then_some("n");
    html! {
        div.scroll {
            table {
                thead {
                    tr {
                        @for name in header {
                            th scope="col" class=[class(name)] { (name.trim_start_matches('>')) }
                        }
                    }
                }
                "\n"
                tbody {
                    @for row in rows {
                        tr {
                            @for (cell, name) in row.iter().zip(header) {
                                td class=[class(name)] { (cell) }
                            }
                        }
                        "\n"
                    }
                }
            }
        }
        "\n"
    }
}

/// The line below a list that is cut; empty if the list is whole.
pub fn more(shown: usize, total: usize) -> Markup {
    let rest = total.saturating_sub(shown);
    html! {
        @if rest > 0 {
            p.rest { "… and " (thousands(rest as u64)) " more." } "\n"
        }
    }
}

/// Ports in words.
pub fn ports(connections: &ConnectionSet) -> String {
    if connections.is_all() {
        "all ports".into()
    } else {
        connections.to_string()
    }
}

/// A field of a form with a list of values, the first of which is none of them.
pub fn select<'a>(name: &str, chosen: &str, values: impl IntoIterator<Item = &'a str>) -> Markup {
    html! {
        select name=(name) {
            option value="" { "any" }
            @for value in values.into_iter().filter(|value| !value.is_empty()) {
                option selected[value == chosen] { (value) }
            }
        }
    }
}

/// `300 MiB`, `1.5 GiB`: powers of 1024.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut units = UNITS.into_iter();
    let mut unit = units.next().unwrap_or_default();
    while value >= 1023.95 {
        let Some(next) = units.next() else { break };
        (value, unit) = (value / 1024.0, next);
    }
    let number = format!("{value:.1}");
    format!("{} {unit}", number.strip_suffix(".0").unwrap_or(&number))
}

/// A time as all pages show it: to the second, UTC, never broken across lines.
pub fn moment(at: Timestamp) -> Markup {
    html! { time { (time(at)) " UTC" } }
}

/// The same for a time in RFC 3339, as resources have it; any other text stays as it is.
pub fn moment_of(rfc3339: &str) -> Markup {
    match rfc3339.parse::<jiff::Timestamp>() {
        Ok(at) => moment(at.into()),
        Err(_) => text(rfc3339),
    }
}

/// The severity of a finding.
pub fn severity(word: &str) -> Markup {
    let class = match word {
        "error" => "high",
        "warning" => "medium",
        _ => "low",
    };
    tag(class, word)
}

/// A word in a coloured frame: `high`, `isolated`.
pub fn tag(class: &str, word: &str) -> Markup {
    html! { span class={ "tag " (class) } { (word) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_powers_of_1024_without_a_needless_zero() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (300 << 20, "300 MiB"),
            (1536 << 20, "1.5 GiB"),
            ((1 << 20) - 1, "1 MiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn times_are_shown_in_one_way_and_other_text_is_left_alone() {
        let expected = "<time>2026-11-23 17:50:46 UTC</time>";
        let shown = |text| moment_of(text).into_string();
        assert_eq!(shown("2026-11-23T17:50:46Z"), expected);
        assert_eq!(shown("2026-11-23T18:50:46.5+01:00"), expected);
        assert_eq!(shown("<b>"), "&lt;b&gt;");
        assert_eq!(shown(""), "");
    }
}
