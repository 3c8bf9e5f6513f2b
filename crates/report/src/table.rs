//! Aligned tables for people: column widths by display width, so that wide characters line up too.

use super::escape;
use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr;

/// Which side of a column its text keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    /// For numbers.
    Right,
}

/// Rows under a header, printed with two spaces between columns and nothing after the last one.
#[derive(Debug, Clone)]
pub struct Table {
    header: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<'a>(header: impl IntoIterator<Item = (&'a str, Align)>) -> Self {
        Table {
            header: header
                .into_iter()
                .map(|(name, align)| (name.to_owned(), align))
                .collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row. Missing cells are empty, cells beyond the header are left out; characters that a terminal
    /// would not print as text are replaced.
    pub fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let mut row: Vec<String> = cells
            .into_iter()
            .take(self.header.len())
            .map(|cell| escape::terminal(cell.as_ref()).into_owned())
            .collect();
        row.resize(self.header.len(), String::new());
        self.rows.push(row);
    }

    /// The table as lines, the header first.
    pub fn render(&self) -> String {
        let header: Vec<String> = self.header.iter().map(|(name, _)| name.clone()).collect();
        let lines: Vec<&Vec<String>> = std::iter::once(&header).chain(&self.rows).collect();
        let widths: Vec<usize> = (0..header.len())
            .map(|i| {
                lines
                    .iter()
                    .filter_map(|line| line.get(i))
                    .map(|c| width(c))
                    .max()
            })
            .map(|widest| widest.unwrap_or(0))
            .collect();
        let mut out = String::new();
        for line in lines {
            let mut text = String::new();
            for ((cell, wide), (_, align)) in line.iter().zip(&widths).zip(&self.header) {
                let pad = " ".repeat(wide - width(cell).min(*wide));
                let _ = match align {
                    Align::Left => write!(text, "{cell}{pad}  "),
                    Align::Right => write!(text, "{pad}{cell}  "),
                };
            }
            out.push_str(text.trim_end());
            out.push('\n');
        }
        out
    }
}

/// How many terminal columns `text` takes.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_by_display_width() {
        let mut table = Table::new([
            ("NAME", Align::Left),
            ("N", Align::Right),
            ("X", Align::Left),
        ]);
        table.row(["数据", "7", "a"]);
        table.row(["b", "1 000", ""]);
        table.row(["\x1b[0m"]);
        assert_eq!(
            table.render(),
            "NAME      N  X\n数据      7  a\nb     1 000\n\u{fffd}[0m\n"
        );
    }
}
