//! Blanks what is not code: comments and literals. Every byte keeps its place, so that lines can be named.

/// The source with comments and the contents of literals replaced by spaces. Line ends stay.
pub fn blank(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let (from, end) = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => (at, line_end(bytes, at)),
            b'/' if bytes.get(at + 1) == Some(&b'*') => (at, block_comment_end(bytes, at)),
            b'"' => (at, string_end(bytes, at)),
            b'\'' => (at, char_end(bytes, at)),
            c if is_word(c) => match raw_string_end(bytes, at) {
                Some(end) => (at, end),
                None => {
                    at = word_end(bytes, at);
                    continue;
                }
            },
            _ => (at, at),
        };
        for byte in &mut out[from..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(out).expect("whole characters are blanked")
}

/// Returns true if the byte belongs to a name or a number. Bytes of letters outside ASCII do.
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The end of the name or number at `at`.
pub fn word_end(bytes: &[u8], at: usize) -> usize {
    let length = bytes[at..].iter().take_while(|b| is_word(**b)).count();
    at + length
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    let length = bytes[at..].iter().take_while(|b| **b != b'\n').count();
    at + length
}

/// Block comments nest.
fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// The end of a character literal; `start` itself where the quote begins a lifetime.
fn char_end(bytes: &[u8], start: usize) -> usize {
    let rest = &bytes[start + 1..];
    match rest.first() {
        Some(b'\\') => {
            let close = rest.iter().skip(2).position(|b| *b == b'\'');
            close.map_or(bytes.len(), |length| start + 1 + 2 + length + 1)
        }
        Some(first) => {
            let length = match *first {
                0x00..=0x7f => 1,
                0x80..=0xdf => 2,
                0xe0..=0xef => 3,
                0xf0..=0xff => 4,
            };
            match rest.get(length) {
                Some(b'\'') => start + length + 2,
                _ => start,
            }
        }
        None => start,
    }
}

/// The end of a raw string whose prefix (`r`, `br`, `cr`) is at `at`.
fn raw_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let word = word_end(bytes, at);
    if !matches!(&bytes[at..word], b"r" | b"br" | b"cr") {
        return None;
    }
    let hashes = bytes[word..].iter().take_while(|b| **b == b'#').count();
    if bytes.get(word + hashes) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let inside = word + hashes + 1;
    let length = bytes[inside..]
        .windows(close.len())
        .position(|window| window == close);
    Some(length.map_or(bytes.len(), |length| inside + length + close.len()))
}

/// The words that are left: for the tests below.
fn words(source: &str) -> Vec<String> {
    let code = blank(source);
    assert_eq!(code.len(), source.len(), "every byte keeps its place");
    assert_eq!(code.lines().count(), source.lines().count());
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn comments_are_blanked_to_their_end() {
    assert_eq!(words("a // b\nc /// d\ne"), ["a", "c", "e"]);
    assert_eq!(words("a /* b /* c */ d */ e"), ["a", "e"]);
    assert_eq!(words("a /* \" */ b /* never closed"), ["a", "b"]);
}

#[test]
fn a_comment_sign_in_a_literal_begins_no_comment() {
    assert_eq!(words(r#"a("https://b/c"); d"#), ["a", "d"]);
    assert_eq!(words(r#"a("/*"); b('/', '*'); c"#), ["a", "b", "c"]);
    assert_eq!(words("// don't\na"), ["a"]);
}

#[test]
fn strings_end_at_their_own_quote() {
    assert_eq!(words(r#"a("b\"c"); d("e\\"); f"#), ["a", "d", "f"]);
    assert_eq!(words("a(\"b\nc\"); d"), ["a", "d"]);
    assert_eq!(words("a(r\"b\\\"); c"), ["a", "c"]);
    assert_eq!(
        words("a(r#\"b\"c\"#); d(br##\"e\"# f\"##); g"),
        ["a", "d", "g"]
    );
    assert_eq!(words("a(b\"c\"); d"), ["a", "b", "d"]);
}

#[test]
fn a_character_is_a_literal_and_a_lifetime_is_none() {
    assert_eq!(
        words(r"a('b', '\'', '\\', '\u{1f600}', 'ä', '→', '\n'); c"),
        ["a", "c"]
    );
    assert_eq!(words(r#"a('"'); b('{'); c"#), ["a", "b", "c"]);
    assert_eq!(
        words("a<'b>(c: &'b str, 'd: loop {})"),
        ["a", "b", "c", "b", "str", "d", "loop"]
    );
    assert_eq!(
        words("a(b'c', b'\\'', b'\"'); d"),
        ["a", "b", "b", "b", "d"]
    );
}

#[test]
fn a_name_with_r_in_front_is_no_raw_string() {
    assert_eq!(
        words("r#type = bar; a(r, \"b\")"),
        ["r", "type", "bar", "a", "r"]
    );
}
