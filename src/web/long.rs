//! Tables that may be of any length: so many rows at once, and a way to the others.

use super::html::{Frame, part, table, text};
use crate::report::words::thousands;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// So many rows of a table are shown at once.
pub const MOST: usize = 200;

/// A page that has long tables. Each of them has a field of the query that says how many rows to skip.
#[derive(Debug, Clone, Copy)]
pub struct Long<'a> {
    pub frame: &'a Frame,
    /// The path of the page, made of [`part`]s.
    pub path: &'a str,
    pub query: &'a BTreeMap<String, String>,
}

impl Long<'_> {
    /// The part of a table that the query asks for. `name` is the table's own field; `row` makes cells, which are
    /// HTML.
    pub fn table<T>(
        &self,
        name: &str,
        header: &[&str],
        all: &[T],
        row: impl Fn(&T) -> Vec<String>,
    ) -> String {
        let shown = self.part(name, all);
        let rows: Vec<Vec<String>> = shown.iter().map(row).collect();
        format!(
            "<div id=\"{}\">{}{}</div>\n",
            text(name),
            table(header, &rows),
            self.rest(name, all.len())
        )
    }

    /// The rows that the query asks for.
    pub fn part<'t, T>(&self, name: &str, all: &'t [T]) -> &'t [T] {
        let rows = all.chunks(MOST).nth(self.skipped(name, all.len()) / MOST);
        rows.unwrap_or_default()
    }

    /// Whole parts only, and never all.
    fn skipped(&self, name: &str, total: usize) -> usize {
        let asked: usize = self
            .query
            .get(name)
            .and_then(|number| number.parse().ok())
            .unwrap_or_default();
        asked.min(total.saturating_sub(1)) / MOST * MOST
    }

    /// What is said below a table of which not all is shown, with the ways there.
    fn rest(&self, name: &str, total: usize) -> String {
        if total <= MOST {
            return String::new();
        }
        let skipped = self.skipped(name, total);
        let end = total.min(skipped + MOST);
        let mut out = String::from("<p class=\"rest\">");
        match skipped {
            0 => {
                let _ = write!(out, "… and {} more.", thousands((total - end) as u64));
            }
            _ => {
                let [first, last, all] = [skipped + 1, end, total].map(|n| thousands(n as u64));
                let _ = write!(out, "{first} to {last} of {all}.");
            }
        }
        if skipped > 0 {
            let _ = write!(out, " {}", self.link(name, skipped - MOST, "Those before"));
        }
        if end < total {
            let _ = write!(out, " {}", self.link(name, end, "The next"));
        }
        out.push_str("</p>\n");
        out
    }

    fn link(&self, name: &str, skip: usize, label: &str) -> String {
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

    fn shown(total: usize, query: &[(&str, &str)]) -> String {
        let frame = Frame {
            root: "/token/".into(),
            subject: String::new(),
            version: 1,
            problem: None,
        };
        let query = query.iter().map(|(k, v)| (k.to_string(), v.to_string()));
        let long = Long {
            frame: &frame,
            path: "edge",
            query: &query.collect(),
        };
        let all: Vec<usize> = (1..=total).collect();
        long.table("rows", &["n"], &all, |n| vec![format!("row {n}.")])
    }

    #[test]
    fn a_long_table_says_how_much_more_there_is_and_leads_there() {
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
    fn a_number_that_is_none_or_too_large_shows_rows_all_the_same() {
        for skip in ["x", "-1", "", "7"] {
            assert!(shown(450, &[("rows", skip)]).contains("row 1."), "{skip}");
        }
        assert!(shown(450, &[("rows", "99999")]).contains("row 450."));
        assert!(!shown(0, &[("rows", "99999")]).contains("row "));
    }
}
