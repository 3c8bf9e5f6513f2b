//! How wide text is, without fonts: an estimate after DejaVu Sans, the widest of the usual fonts, so
//! that text fits whatever font shows it.

use unicode_width::UnicodeWidthChar;

/// The width of `text` in pixels at a font size.
pub fn width(text: &str, size: f64) -> f64 {
    (text.chars().map(em).sum::<f64>() * size).ceil()
}

fn em(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' | '·' => 0.33,
        'f' | 'r' | 't' | '(' | ')' | '[' | ']' | '/' | '-' => 0.41,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '…' => 0.96,
        'A'..='Z' => 0.70,
        '+' | '→' | '<' | '>' | '=' => 0.84,
        c if c.is_ascii() => 0.62,
        c => match c.width() {
            Some(2..) => 1.1,
            Some(0) | None => 0.0,
            _ => 0.7,
        },
    }
}

/// The text, cut with an ellipsis if it is wider than `most` pixels.
pub fn fit(text: &str, size: f64, most: f64) -> String {
    if width(text, size) <= most {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = em('…');
    for c in text.chars() {
        used += em(c);
        if used * size > most {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_to_fit() {
        let cut = fit("a-very-long-name-of-a-workload", 14.0, 100.0);
        assert!(cut.ends_with('…') && width(&cut, 14.0) <= 100.0, "{cut}");
        assert_eq!(fit("web", 14.0, 100.0), "web");
    }
}
