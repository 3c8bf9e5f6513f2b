//! Escaping of names for each format. Names come from captures and manifests of unknown origin: each function
//! here makes any string harmless in its format.

use std::borrow::Cow;

/// For terminals: control characters (escape sequences!) and characters that turn the direction of
/// text become U+FFFD.
pub fn terminal(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(
        text.chars()
            .map(|c| if is_unsafe(c) { '\u{fffd}' } else { c })
            .collect(),
    )
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}')
}

/// For XML text and attribute values in double quotes; what XML 1.0 cannot hold becomes U+FFFD.
pub fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if is_unsafe(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// For a whole HTML document, whose markup maud has written: maud escapes markup, and here control characters and
/// characters that turn the direction of text become U+FFFD, wherever they are. Line breaks and tabs stay.
pub fn html_document(document: String) -> String {
    let is_bad = |c: char| {
        !matches!(c, '\n' | '\t') && (is_unsafe(c) || matches!(c, '\u{fffe}' | '\u{ffff}'))
    };
    if document.contains(is_bad) {
        document.replace(is_bad, "\u{fffd}")
    } else {
        document
    }
}

/// A DOT string in double quotes. Backslashes are doubled, since `\N` and the like are escapes there.
pub fn dot(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in terminal(text).chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // Graphviz reads HTML entities even in plain labels.
            '&' => out.push_str("&amp;"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A Mermaid string in double quotes: entities for all that Mermaid, its Markdown or HTML would read.
pub fn mermaid(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in terminal(text).chars() {
        match c {
            '"' => out.push_str("#quot;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            '&' => out.push_str("#amp;"),
            '#' | '`' | '*' | '[' | ']' | '(' | ')' | '{' | '}' | '|' | ';' | '%' | '\\' | '_'
            | '$' => {
                out.push_str(&format!("#{};", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// One CSV field (RFC 4180). A field that a spreadsheet would take for a formula gets a leading `'`
/// (OWASP, "CSV Injection").
pub fn csv(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains([',', '"', '\n', '\r', '\'', ' ', ';']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

/// Text inside a line or table cell of GitHub-flavoured Markdown.
pub fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let safe = terminal(text);
    let mut rest = safe.as_ref();
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' | '$' => {
                out.push('\\');
                out.push(c);
            }
            // Keeps `@name`, `http://…` and `www.…` from becoming a mention or a link.
            '@' => out.push_str("&#64;"),
            ':' if after.starts_with("//") => out.push_str("&#58;"),
            'w' | 'W' if after.starts_with('.') => {
                out.push(c);
                out.push_str("&#46;");
                rest = &after[1..];
                continue;
            }
            c => out.push(c),
        }
        rest = after;
    }
    out
}

/// A Markdown code span, for names and addresses. Fences grow with the backticks inside; a pipe is
/// escaped, because a table cell ends at it even in code.
pub fn code(text: &str) -> String {
    let text = terminal(text).replace('|', "\\|");
    if text.is_empty() {
        return String::new();
    }
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') {
        " "
    } else {
        ""
    };
    format!("{fence}{pad}{text}{pad}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\"]b\n<script>x</script>,|`&'\\N\x1b[31m";

    #[test]
    fn a_terminal_never_gets_control_characters() {
        assert!(!terminal(HOSTILE).chars().any(char::is_control));
        assert_eq!(terminal("a\u{202e}b"), "a\u{fffd}b");
    }

    #[test]
    fn xml_never_gets_markup_or_forbidden_characters() {
        let text = xml("<a b=\"c\">&\x00'\u{ffff}");
        assert_eq!(text, "&lt;a b=&quot;c&quot;&gt;&amp;\u{fffd}&#39;\u{fffd}");
    }

    #[test]
    fn an_html_document_keeps_its_lines_and_no_other_control_characters() {
        let text = html_document("<p>a\u{202e}b\x1b[31m\u{ffff}\r\n\tc</p>".into());
        assert_eq!(text, "<p>a\u{fffd}b\u{fffd}[31m\u{fffd}\u{fffd}\n\tc</p>");
    }

    #[test]
    fn a_dot_string_ends_only_at_its_end() {
        assert_eq!(dot("a\"b\\N\n"), "\"a\\\"b\\\\N\u{fffd}\"");
    }

    #[test]
    fn mermaid_sees_no_brackets_quotes_or_tags() {
        let text = mermaid(HOSTILE);
        let inner = &text[1..text.len() - 1];
        assert!(
            !inner.contains(['"', '<', '>', ']', '|', '`', '\n']),
            "{inner}"
        );
    }

    #[test]
    fn csv_fields_are_quoted_and_formulas_disarmed() {
        assert_eq!(csv("plain"), "plain");
        assert_eq!(csv("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(csv("=1+1"), "\"'=1+1\"");
        assert_eq!(csv("a\nb"), "\"a\nb\"");
    }

    #[test]
    fn markdown_sees_no_tags_tables_or_links() {
        let text = markdown("<b>|[x](http://y) @me www.x a:1");
        assert_eq!(
            text,
            "&lt;b&gt;\\|\\[x\\](http&#58;//y) &#64;me www&#46;x a:1"
        );
        assert_eq!(code("a`b|"), "``a`b\\|``");
    }
}
