//! Measures how deep the brackets of a YAML text nest, before the parser reads it: libyaml needs time that
//! grows with the square of the depth, and 50 000 brackets take it minutes.

/// The deepest nesting of flow collections that is accepted. `serde_yaml` stops at 128, but only after parsing.
pub const MAX_FLOW_DEPTH: usize = 256;

/// Returns true if flow collections (`[...]`, `{...}`) nest deeper than [`MAX_FLOW_DEPTH`]. Brackets in quotes,
/// comments, block scalars and plain text do not count. The result may be wrong up to the next list item where
/// the text is ambiguous (plain text that continues over several lines).
pub fn is_nested_too_deep(text: &[u8]) -> bool {
    let mut scan = Scan {
        text,
        at: 0,
        depth: 0,
    };
    while scan.at < text.len() {
        scan.line();
        if scan.depth > MAX_FLOW_DEPTH {
            return true;
        }
    }
    false
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl Scan<'_> {
    fn peek(&self, offset: usize) -> Option<u8> {
        self.text.get(self.at + offset).copied()
    }

    fn is_blank(&self, offset: usize) -> bool {
        self.peek(offset)
            .is_none_or(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
    }

    fn skip_spaces(&mut self) -> usize {
        let start = self.at;
        while self.peek(0) == Some(b' ') {
            self.at += 1;
        }
        self.at - start
    }

    /// Reads from the start of a line to the start of a later one, or to the place where it nests too deep.
    fn line(&mut self) {
        let mut parent = None;
        let mut column = self.skip_spaces();
        while self.peek(0) == Some(b'-') && self.is_blank(1) {
            // A list item inside of brackets is an error, so no bracket is open.
            self.depth = 0;
            parent = Some(column);
            self.at += 1;
            column += 1 + self.skip_spaces();
        }
        if self.depth == 0 && matches!(self.peek(0), Some(b'|' | b'>')) {
            return self.block_scalar(parent);
        }
        self.tokens(column);
    }

    /// Reads tokens up to the end of the line. `column` is the column where the line's own text begins.
    fn tokens(&mut self, column: usize) {
        // True if a token may begin here, and true if a quoted token has just ended.
        let (mut fresh, mut quoted) = (true, false);
        while let Some(byte) = self.peek(0) {
            let in_flow = self.depth > 0;
            let was_quoted = std::mem::take(&mut quoted);
            match byte {
                b'\n' => {
                    self.at += 1;
                    return;
                }
                b' ' | b'\t' | b'\r' => {
                    quoted = was_quoted;
                    if self.peek(1) == Some(b'#') {
                        return self.skip_line();
                    }
                }
                b'#' if fresh => return self.skip_line(),
                b'"' | b'\'' if fresh => {
                    self.skip_quoted(byte);
                    (fresh, quoted) = (false, true);
                    continue;
                }
                b'[' | b'{' if fresh || in_flow => {
                    self.depth += 1;
                    fresh = true;
                    if self.depth > MAX_FLOW_DEPTH {
                        return;
                    }
                }
                b']' | b'}' if in_flow => {
                    self.depth -= 1;
                    (fresh, quoted) = (false, true);
                }
                b',' if in_flow => fresh = true,
                b':' if self.is_blank(1) || (in_flow && was_quoted) => fresh = true,
                b'|' | b'>' if fresh && !in_flow => return self.block_scalar(Some(column)),
                // Anchors and tags are written before the token.
                b'&' | b'!' if fresh => {
                    while !self.is_blank(1) {
                        self.at += 1;
                    }
                }
                _ => fresh = false,
            }
            self.at += 1;
        }
    }

    fn skip_line(&mut self) {
        while let Some(byte) = self.peek(0) {
            self.at += 1;
            if byte == b'\n' {
                return;
            }
        }
    }

    fn skip_quoted(&mut self, quote: u8) {
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            self.at += 1;
            if quote == b'"' && byte == b'\\' {
                self.at += 1;
            } else if byte == quote {
                if quote == b'\'' && self.peek(0) == Some(b'\'') {
                    self.at += 1;
                } else {
                    return;
                }
            }
        }
    }

    /// Skips the rest of the line and the following lines that are indented deeper than `parent`, or are empty.
    fn block_scalar(&mut self, parent: Option<usize>) {
        self.skip_line();
        while self.at < self.text.len() {
            let start = self.at;
            let indent = self.skip_spaces();
            let ends = parent.is_some_and(|parent| indent <= parent);
            if ends && !matches!(self.peek(0), Some(b'\n' | b'\r')) {
                self.at = start;
                return;
            }
            self.skip_line();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deep(text: &str) -> bool {
        is_nested_too_deep(text.as_bytes())
    }

    #[test]
    fn brackets_count_wherever_a_value_may_stand() {
        let (open, close) = ("[".repeat(300), "]".repeat(300));
        for text in [
            format!("{open}{close}"),
            format!("a: {open}{close}"),
            format!("- b: &x {open}{close}"),
            format!("{{\"a\":{open}{close}}}"),
            format!("a: |\n  text\nb: {open}"),
            format!("- a: |\n    text\n  b: {open}"),
            format!("a: \"x\\\"\" # \"\nb: {open}"),
            format!("a: 'it''s'\nb: {open}"),
            format!("a: it's\nb: {open}"),
            "[\n".repeat(300),
            "{a: ".repeat(300),
            "{\"a\": ".repeat(300),
            "[ # ]\n".repeat(300),
            "[ \"]\", ".repeat(300),
        ] {
            assert!(deep(&text), "{text}");
        }
    }

    #[test]
    fn brackets_in_text_do_not_count() {
        let open = "[".repeat(300);
        for text in [
            format!("a: \"{open}\""),
            format!("a: '{open}'"),
            format!("a: '\n{open}\n\n{open}'"),
            format!("a: x{open}"),
            format!("a: x {open}"),
            format!("# {open}"),
            format!("a: b # {open}"),
            format!("a: |\n  {open}\n\n  {open}\nb: c"),
            format!("- a: >-\n    {open}\n  b: c"),
            format!("- |\n  {open}\n- b"),
            "a: [x, {y: z}]\n".repeat(1000),
            "- [\n".repeat(1000),
        ] {
            assert!(!deep(&text), "{text}");
        }
    }

    #[test]
    fn unusual_ends_of_text_are_read() {
        for text in ["", "\"", "'", "- |", "a: >", "\"\\", "&", "-", "]", "a: &x"] {
            assert!(!deep(text), "{text}");
        }
    }
}
