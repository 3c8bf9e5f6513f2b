//! The report as one HTML page that prints well, and as Markdown.

use super::Evidence;
use super::text::{Block, Section, period, sections};
use crate::report::escape::{markdown as escape_markdown, xml};
use crate::report::markdown::{heading, table};
use crate::report::words::thousands;
use std::fmt::Write as _;

const STYLE: &str = include_str!("page.css");

/// One page that needs nothing from elsewhere; `picture` is the graph as SVG.
pub fn html(evidence: &Evidence, picture: &str) -> String {
    let mut out =
        String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width\">\n");
    out.push_str("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n");
    let _ = write!(
        out,
        "<title>Segmentation report, {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>Segmentation report</h1>\n",
        xml(&period(evidence))
    );
    for section in sections(evidence) {
        let _ = writeln!(out, "<section>\n<h2>{}</h2>", xml(section.title));
        for block in &section.blocks {
            html_block(&mut out, block, picture);
        }
        out.push_str("</section>\n");
    }
    out.push_str("</body>\n</html>\n");
    out
}

fn html_block(out: &mut String, block: &Block, picture: &str) {
    match block {
        Block::Text(text) => {
            let _ = writeln!(out, "<p>{}</p>", xml(text));
        }
        Block::Commands(lines) => {
            let _ = writeln!(out, "<pre>{}</pre>", xml(&lines.join("\n")));
        }
        Block::Graph => {
            let _ = writeln!(out, "<figure>{picture}</figure>");
        }
        Block::Table { header, rows, more } => {
            out.push_str("<table>\n<thead><tr>");
            let class = |name: &str| {
                match name {
                    _ if name.starts_with('>') => " class=\"n\"",
                    // Wide enough for a date.
                    "at" | "from" | "to" | "first seen" | "last seen" => " class=\"t\"",
                    _ => "",
                }
            };
            for name in header {
                let text = xml(name.trim_start_matches('>'));
                let _ = write!(out, "<th scope=\"col\"{}>{text}</th>", class(name));
            }
            out.push_str("</tr></thead>\n<tbody>\n");
            for row in rows {
                out.push_str("<tr>");
                for (cell, name) in row.iter().zip(header) {
                    match is_long(cell) {
                        true => html_long(out, cell),
                        false => {
                            let _ = write!(out, "<td{}>{}</td>", class(name), xml(cell));
                        }
                    }
                }
                out.push_str("</tr>\n");
            }
            out.push_str("</tbody>\n</table>\n");
            if let Some((more, file)) = more {
                let more = thousands(*more as u64);
                let _ = writeln!(out, "<p>… and {more} more in {}.</p>", xml(file));
            }
        }
    }
}

/// No column is made wider than this many characters by a single word.
const LONG: usize = 20;

/// Whether a word of it has to be broken, or it would push other columns off the paper.
fn is_long(cell: &str) -> bool {
    cell.split_whitespace()
        .any(|word| word.chars().count() > LONG)
}

/// A cell that breaks anywhere, and rather between the parts of a name.
fn html_long(out: &mut String, cell: &str) {
    let text = xml(cell).replace('/', "/<wbr>");
    // Before a kind, not before the number of a rule.
    let mut parts = text.split('[');
    let _ = write!(out, "<td class=\"w\">{}", parts.next().unwrap_or_default());
    for part in parts {
        let is_kind = part.starts_with(|c: char| c.is_ascii_uppercase());
        let _ = write!(out, "{}[{part}", if is_kind { "<wbr>" } else { "" });
    }
    out.push_str("</td>");
}

/// The same as GitHub-flavoured Markdown, with the picture beside it.
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
