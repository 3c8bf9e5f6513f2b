//! Pagination of tables: a part of the rows, and links to the others.

use super::html::{Frame, part, table};
use crate::report::words::thousands;
use maud::{Markup, html};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// At most this many rows of a table are shown at once.
pub const MOST: usize = 200;

/// A page that has long tables. Each of them has a field of the query: the number of rows to skip.
#[derive(Debug, Clone, Copy)]
pub struct Pagination<'a> {
    pub frame: &'a Frame,
    /// The path of the page, made of [`part`]s.
    pub path: &'a str,
    pub query: &'a BTreeMap<String, String>,
}

impl Pagination<'_> {
    /// The part of a table that the query asks for. `name` is the table's own field; `row` makes its cells.
    pub fn table<T>(
        &self,
        name: &str,
        header: &[&str],
        all: &[T],
        row: impl Fn(&T) -> Vec<Markup>,
    ) -> Markup {
        let shown = self.part(name, all);
        let rows: Vec<Vec<Markup>> = shown.iter().map(row).collect();
        html! {
            div id=(name) { (table(header, &rows)) (self.rest(name, all.len())) } "\n"
        }
    }

    /// The rows that the query asks for.
    pub fn part<'t, T>(&self, name: &str, all: &'t [T]) -> &'t [T] {
        let rows = all.chunks(MOST).nth(self.skipped(name, all.len()) / MOST);
        rows.unwrap_or_default()
    }

    /// How many rows are skipped: a multiple of [`MOST`], and never all of them.
    fn skipped(&self, name: &str, total: usize) -> usize {
        let asked: usize = self
            .query
            .get(name)
            .and_then(|number| number.parse().ok())
            .unwrap_or_default();
        asked.min(total.saturating_sub(1)) / MOST * MOST
    }

    /// The line below a table of which only a part is shown, with links to the other parts.
    fn rest(&self, name: &str, total: usize) -> Markup {
        if total <= MOST {
            return html! {};
        }
        let skipped = self.skipped(name, total);
        let end = total.min(skipped + MOST);
        let extent = match skipped {
            0 => format!("… and {} more.", thousands((total - end) as u64)),
            _ => {
                let [first, last, all] = [skipped + 1, end, total].map(|n| thousands(n as u64));
                format!("{first} to {last} of {all}.")
            }
        };
        html! {
            p.rest {
                (extent)
                @if skipped > 0 { " " (self.link(name, skipped - MOST, "Previous")) }
                @if end < total { " " (self.link(name, end, "Next")) }
            }
            "\n"
        }
    }

    fn link(&self, name: &str, skip: usize, label: &str) -> Markup {
        let mut path = format!("{}?{name}={skip}", self.path);
        for (key, value) in self.query.iter().filter(|(key, _)| *key != name) {
            let _ = write!(path, "&{}={}", part(key), part(value));
        }
        // Back to the table, wherever on the page it is.
        let _ = write!(path, "#{name}");
        self.frame.link(&path, label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::html::text;

    fn shown(total: usize, query: &[(&str, &str)]) -> String {
        let frame = Frame {
            root: "/token/".into(),
            subject: String::new(),
            version: 1,
            problem: None,
        };
        let query = query.iter().map(|(k, v)| (k.to_string(), v.to_string()));
        let pages = Pagination {
            frame: &frame,
            path: "edge",
            query: &query.collect(),
        };
        let all: Vec<usize> = (1..=total).collect();
        let table = pages.table("rows", &["n"], &all, |n| vec![text(format!("row {n}."))]);
        table.into_string()
    }

    #[test]
    fn a_long_table_shows_how_many_rows_more_there_are_and_links_to_them() {
        let short = shown(200, &[]);
        assert_eq!(short.matches("row ").count(), 200);
        assert!(!short.contains("more"), "{short}");
        let first = shown(450, &[("from", "a b")]);
        assert_eq!(first.matches("row ").count(), 200);
        assert!(first.contains("… and 250 more."), "{first}");
        assert!(
            first.contains("/token/edge?rows=200&amp;from=a%20b#rows\""),
            "{first}"
        );
        let last = shown(450, &[("rows", "400")]);
        assert!(last.contains("row 401.") && last.contains("row 450."));
        assert!(last.contains("401 to 450 of 450."), "{last}");
        assert!(
            last.contains("rows=200") && !last.contains("rows=600"),
            "{last}"
        );
    }

    #[test]
    fn a_number_that_is_invalid_or_too_large_still_shows_rows() {
        for skip in ["x", "-1", "", "7"] {
            assert!(shown(450, &[("rows", skip)]).contains("row 1."), "{skip}");
        }
        assert!(shown(450, &[("rows", "99999")]).contains("row 450."));
        assert!(!shown(0, &[("rows", "99999")]).contains("row "));
    }
}
