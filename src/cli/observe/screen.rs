//! The live table: each time it is drawn over itself, so that earlier text stays on the terminal. The terminal is restored
//! however the process ends.

use crossterm::cursor::{Hide, MoveToColumn, MoveUp, Show};
use crossterm::event::{self, Event, KeyCode, KeyModifiers};
use crossterm::terminal::{self, Clear, ClearType};
use crossterm::{execute, queue};
use std::io::{self, Write};
use std::time::Duration;
use unicode_width::UnicodeWidthChar;

use super::edges::Order;

/// What the user asked for by a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Sort(Order),
    Redraw,
    Quit,
}

/// The terminal while it shows the table.
pub struct Screen {
    /// How many lines were drawn last.
    lines: u16,
}

impl Screen {
    /// Takes control of the terminal.
    ///
    /// # Errors
    /// If stdout is not a terminal that supports it.
    pub fn start() -> io::Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
        terminal::enable_raw_mode()?;
        execute!(io::stdout(), Hide)?;
        Ok(Screen { lines: 0 })
    }

    /// Waits up to `patience` for a key.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub fn command(&self, patience: Duration) -> io::Result<Option<Command>> {
        if !event::poll(patience)? {
            return Ok(None);
        }
        Ok(match event::read()? {
            Event::Resize(..) => Some(Command::Redraw),
            Event::Key(key) => match key.code {
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                    Some(Command::Quit)
                }
                KeyCode::Char('q') | KeyCode::Esc => Some(Command::Quit),
                KeyCode::Char('n') => Some(Command::Sort(Order::Name)),
                KeyCode::Char('r') => Some(Command::Sort(Order::Rate)),
                KeyCode::Char('a') => Some(Command::Sort(Order::Age)),
                _ => None,
            },
            _ => None,
        })
    }

    /// Draws `text` in place of what was drawn before, cut to the terminal's size, with `footer` as the last line.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub fn draw(&mut self, text: &str, footer: &str) -> io::Result<()> {
        let (columns, rows) = terminal::size()?;
        let mut out = io::stdout().lock();
        self.clear(&mut out, rows)?;
        let room = usize::from(rows.saturating_sub(2)).max(1);
        let mut lines = 0;
        for line in text.lines().take(room).chain([footer]) {
            writeln!(out, "{}\r", cut(line, usize::from(columns)))?;
            lines += 1;
        }
        self.lines = lines;
        out.flush()
    }

    fn clear(&self, out: &mut impl Write, rows: u16) -> io::Result<()> {
        // After the window got smaller, lines that scrolled away stay: they cannot be reached.
        let up = self.lines.min(rows.saturating_sub(1));
        if up > 0 {
            queue!(out, MoveUp(up))?;
        }
        queue!(out, MoveToColumn(0), Clear(ClearType::FromCursorDown))
    }

    /// Removes the table.
    pub fn finish(self) {
        let rows = terminal::size().map_or(24, |(_, rows)| rows);
        // A terminal that is gone needs no cleaning.
        let _ = self.clear(&mut io::stdout().lock(), rows);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    let _ = terminal::disable_raw_mode();
    let _ = execute!(io::stdout(), Show);
}

/// The beginning of the line that fits.
fn cut(line: &str, columns: usize) -> &str {
    let mut width = 0;
    for (at, c) in line.char_indices() {
        width += c.width().unwrap_or(0);
        if width > columns {
            return line.get(..at).unwrap_or(line);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn lines_are_cut_by_what_they_take_on_the_terminal() {
        assert_eq!(cut("abcdef", 4), "abcd");
        assert_eq!(cut("日本語", 4), "日本");
        assert_eq!(cut("日本語", 3), "日");
        assert_eq!(cut("ab", 4), "ab");
    }
}
