//! The report as one HTML page that prints well, and as Markdown.

use super::Evidence;
use super::text::{Block, Section, period, sections};
use crate::escape::{html_document, markdown as escape_markdown};
use crate::markdown::{heading, table};
use crate::words::thousands;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::fmt::Write as _;

const STYLE: &str = include_str!("page.css");

/// No script runs, and nothing is loaded from elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// One page that loads nothing from elsewhere; `picture` is the graph as SVG, which is already escaped.
pub fn html(evidence: &Evidence, picture: &str) -> String {
    let page = html! {
        (DOCTYPE) "\n"
        html lang="en" {
            head {
                "\n"
                meta charset="utf-8"; "\n"
                meta name="viewport" content="width=device-width"; "\n"
                meta http-equiv="Content-Security-Policy" content=(POLICY); "\n"
                title { "Segmentation report, " (period(evidence)) } "\n"
                style { "\n" (PreEscaped(STYLE)) } "\n"
            }
            "\n"
            body {
                "\n"
                h1 { "Segmentation report" } "\n"
                @for Section { title, blocks } in sections(evidence) {
                    section {
                        "\n"
                        h2 { (title) } "\n"
                        @for block in &blocks { (html_block(block, picture)) }
                    }
                    "\n"
                }
            }
        }
        "\n"
    };
    html_document(page.into_string())
}

fn html_block(block: &Block, picture: &str) -> Markup {
    html! {
        @match block {
            Block::Text(text) => p { (text) },
            Block::Commands(lines) => pre { (lines.join("\n")) },
            Block::Graph => figure { (PreEscaped(picture)) },
            Block::Table { header, rows, more } => {
                (html_table(header, rows))
                @if let Some((more, file)) = more {
                    "\n"
                    p { "… and " (thousands(*more as u64)) " more in " (file) "." }
                }
            }
        }
        "\n"
    }
}

fn html_table(header: &[&str], rows: &[Vec<String>]) -> Markup {
    let class = |name: &str| match name {
        _ if name.starts_with('>') => Some("n"),
        // Wide enough for a date.
        "at" | "from" | "to" | "first seen" | "last seen" => Some("t"),
        _ => None,
    };
    html! {
        table {
            "\n"
            thead {
                tr {
                    @for name in header {
                        th scope="col" class=[class(name)] { (name.trim_start_matches('>')) }
                    }
                }
            }
            "\n"
            tbody {
                "\n"
                @for row in rows {
                    tr {
                        @for (cell, name) in row.iter().zip(header) {
                            @if is_long(cell) {
                                td.w { (breakable(cell)) }
                            } @else {
                                td class=[class(name)] { (cell) }
                            }
                        }
                    }
                    "\n"
                }
            }
            "\n"
        }
    }
}

/// A single word makes no column wider than this many characters.
const LONG: usize = 20;

/// Returns true if one of its words must be broken, because it would push other columns off the paper.
fn is_long(cell: &str) -> bool {
    cell.split_whitespace()
        .any(|word| word.chars().count() > LONG)
}

/// Returns the text of a cell that may break anywhere, with the preferred places for a break: between the parts
/// of a name, and before a kind in brackets, but not before the number of a rule.
fn breakable(cell: &str) -> Markup {
    let mut parts = Vec::new();
    let mut begin = 0;
    for (at, c) in cell.char_indices() {
        let is_kind = |rest: &str| rest.starts_with(|c: char| c.is_ascii_uppercase());
        let end = match c {
            '/' => at + 1,
            '[' if is_kind(&cell[at + 1..]) => at,
            _ => continue,
        };
        parts.push(&cell[begin..end]);
        begin = end;
    }
    html! {
        @for part in parts { (part) wbr; }
        (cell[begin..])
    }
}

/// The same content as GitHub-flavoured Markdown; the picture is a file beside it.
pub fn markdown(evidence: &Evidence) -> String {
    let mut out = String::from("# Segmentation report\n");
    for Section { title, blocks } in sections(evidence) {
        heading(&mut out, 2, title);
        for (number, block) in blocks.iter().enumerate() {
            if number > 0 {
                out.push('\n');
            }
            match block {
                Block::Text(text) => {
                    let _ = writeln!(out, "{}", escape_markdown(text));
                }
                Block::Commands(lines) => {
                    let _ = writeln!(out, "```\n{}\n```", lines.join("\n"));
                }
                Block::Graph => out.push_str("![Communication graph](graph.svg)\n"),
                Block::Table { header, rows, more } => {
                    let rows: Vec<Vec<String>> = rows
                        .iter()
                        .map(|row| row.iter().map(|cell| escape_markdown(cell)).collect())
                        .collect();
                    table(&mut out, header, &rows);
                    if let Some((more, file)) = more {
                        let more = thousands(*more as u64);
                        let _ = writeln!(out, "\n… and {more} more in {file}.");
                    }
                }
            }
        }
    }
    out
}
