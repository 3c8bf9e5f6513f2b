//! Colours of results for people.

/// Colours text, or returns it unchanged.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// `colour`: see [`super::terminal::colour`].
    pub fn new(colour: bool) -> Style {
        Style { colour }
    }

    pub fn bold(self, text: &str) -> String {
        self.paint(text, "1")
    }

    pub fn dim(self, text: &str) -> String {
        self.paint(text, "2")
    }

    pub fn red(self, text: &str) -> String {
        self.paint(text, "31")
    }

    pub fn green(self, text: &str) -> String {
        self.paint(text, "32")
    }

    pub fn yellow(self, text: &str) -> String {
        self.paint(text, "33")
    }

    pub fn cyan(self, text: &str) -> String {
        self.paint(text, "36")
    }

    fn paint(self, text: &str, ansi: &str) -> String {
        if self.colour && !text.is_empty() {
            format!("\x1b[{ansi}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
