//! The frame of every page, and the pieces that pages share. Whatever is written into a page goes through
//! [`text`]: names come from captures and clusters.

use crate::report::escape::xml;
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
