//! The frame of every page, and the pieces that pages share. Whatever is written into a page goes through
//! [`text`]: names come from captures and clusters.

use crate::net::{ConnectionSet, Timestamp};
use crate::report::escape::xml;
use crate::report::words::{thousands, time};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt::{Display, Write as _};

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Any text, made harmless in HTML and in attribute values.
pub fn text(text: impl AsRef<str>) -> String {
    xml(text.as_ref())
}

/// One part of a URL's path or query (RFC 3986: all but unreserved characters is encoded).
pub fn part(text: &str) -> impl Display + '_ {
    utf8_percent_encode(text, RESERVED)
}

/// Which entry of the navigation a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Map,
    Proposals,
    Workloads,
    Risks,
    WhatIf,
    Record,
}

/// What every page is put into. `root` is the path with the token, ending in a slash.
#[derive(Debug, Clone)]
pub struct Frame {
    pub root: String,
    /// What is looked at, such as the name of a context or a folder.
    pub subject: String,
    /// Grows with every change.
    pub version: u64,
    /// Why what is shown may be older than it looks.
    pub problem: Option<String>,
}

impl Frame {
    /// A whole page. `body` is HTML already, `title` is not.
    pub fn page(&self, place: Place, title: &str, body: &str) -> String {
        let root = text(&self.root);
        let mut links = String::new();
        for (at, path, name) in [
            (Place::Map, "", "Map"),
            (Place::Proposals, "proposals", "Proposals"),
            (Place::Workloads, "workloads", "Workloads"),
            (Place::Risks, "risks", "Risks"),
            (Place::WhatIf, "what-if", "What if"),
            (Place::Record, "record", "Record"),
        ] {
            let current = match at == place {
                true => " aria-current=\"page\"",
                false => "",
            };
            let _ = write!(links, "<a href=\"{root}{path}\"{current}>{name}</a>");
        }
        let problem = self.problem.as_ref().map_or(String::new(), |problem| {
            let problem = text(problem);
            format!("<p id=\"problem\" class=\"problem\" role=\"alert\">{problem}</p>\n")
        });
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title} – nanoseg</title>\n\
             <link rel=\"stylesheet\" href=\"{root}style.css\">\n<link rel=\"icon\" href=\"data:,\">\n\
             <script src=\"{root}script.js\" defer></script>\n</head>\n\
             <body data-root=\"{root}\" data-version=\"{version}\">\n\
             <a class=\"skip\" href=\"#main\">Skip to content</a>\n\
             <header><strong>nanoseg</strong><nav aria-label=\"Views\">{links}</nav>\
             <span class=\"subject\">{subject}</span><span id=\"live\" role=\"status\"></span></header>\n\
             <main id=\"main\" tabindex=\"-1\">\n<h1>{title}</h1>\n{problem}{body}</main>\n</body>\n</html>\n",
            title = text(title),
            subject = text(&self.subject),
            version = self.version,
        )
    }

    /// A link within the pages; `path` is made of [`part`]s, `name` is plain.
    pub fn link(&self, path: &str, name: &str) -> String {
        format!(
            "<a href=\"{}{}\">{}</a>",
            text(&self.root),
            text(path),
            text(name)
        )
    }
}

/// A table. Cells are HTML already; a header that begins with `>` is right-aligned.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let class = |name: &str| {
        if name.starts_with('>') {
            " class=\"n\""
        } else {
            ""
        }
    };
    let mut out = String::from("<div class=\"scroll\"><table>\n<thead><tr>");
    for name in header {
        let shown = text(name.trim_start_matches('>'));
        let _ = write!(out, "<th scope=\"col\"{}>{shown}</th>", class(name));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (cell, name) in row.iter().zip(header) {
            let _ = write!(out, "<td{}>{cell}</td>", class(name));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table></div>\n");
    out
}

/// What is said below a list that is cut; nothing if it is not.
pub fn more(shown: usize, total: usize) -> String {
    match total.saturating_sub(shown) {
        0 => String::new(),
        some => format!(
            "<p class=\"rest\">… and {} more.</p>\n",
            thousands(some as u64)
        ),
    }
}

/// Ports in words.
pub fn ports(connections: &ConnectionSet) -> String {
    match connections.is_all() {
        true => "all ports".into(),
        false => connections.to_string(),
    }
}

/// A list to choose a field of a form from, first of all nothing of it.
pub fn select<'a>(name: &str, chosen: &str, values: impl IntoIterator<Item = &'a str>) -> String {
    let mut out = format!("<select name=\"{name}\"><option value=\"\">any</option>");
    for value in values.into_iter().filter(|value| !value.is_empty()) {
        let selected = match value == chosen {
            true => " selected",
            false => "",
        };
        let _ = write!(out, "<option{selected}>{}</option>", text(value));
    }
    out.push_str("</select>");
    out
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

/// A time as all pages show it: to the second, UTC, never broken.
pub fn moment(at: Timestamp) -> String {
    format!("<time>{} UTC</time>", text(time(at)))
}

/// The same of a time in RFC 3339, as resources have it; what is none stays as it is.
pub fn moment_of(rfc3339: &str) -> String {
    match rfc3339.parse::<jiff::Timestamp>() {
        Ok(at) => moment(at.into()),
        Err(_) => text(rfc3339),
    }
}

/// The severity of a finding.
pub fn severity(word: &str) -> String {
    let class = match word {
        "error" => "high",
        "warning" => "medium",
        _ => "low",
    };
    tag(class, word)
}

/// A word in a coloured frame: `high`, `isolated`. The class is one of ours.
pub fn tag(class: &str, word: &str) -> String {
    format!("<span class=\"tag {class}\">{}</span>", text(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_powers_of_1024_and_without_a_needless_zero() {
        for (bytes, said) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (300 << 20, "300 MiB"),
            (1536 << 20, "1.5 GiB"),
            ((1 << 20) - 1, "1 MiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(size(bytes), said);
        }
    }

    #[test]
    fn times_are_told_in_one_way_and_what_is_no_time_is_left_alone() {
        let said = "<time>2026-11-23 17:50:46 UTC</time>";
        assert_eq!(moment_of("2026-11-23T17:50:46Z"), said);
        assert_eq!(moment_of("2026-11-23T18:50:46.5+01:00"), said);
        assert_eq!(moment_of("<b>"), "&lt;b&gt;");
        assert_eq!(moment_of(""), "");
    }
}
