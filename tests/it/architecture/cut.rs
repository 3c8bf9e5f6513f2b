//! Cuts out what only tests compile: items under `#[cfg(test)]` or the feature `testing`.

use super::lexer::{blank, is_word, word_end};

/// The code of a file that a production build compiles, as [`blank`] leaves it.
pub fn production_code(source: &str) -> String {
    let mut code = blank(source).into_bytes();
    let mut at = 0;
    while at < code.len() {
        let inner = code[at..].starts_with(b"#![");
        if !inner && !code[at..].starts_with(b"#[") {
            at += 1;
            continue;
        }
        let open = at + if inner { 2 } else { 1 };
        let close = matching(&code, open);
        if !is_test_only(&source[open + 1..close - 1]) {
            at = close;
            continue;
        }
        let end = if inner {
            code.len()
        } else {
            item_end(&code, close)
        };
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(code).expect("whole items are blanked")
}

/// The place after the bracket that closes the one at `open`.
pub fn matching(code: &[u8], open: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.iter().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// Returns true if an attribute (without its brackets) leaves the item out of every production build.
fn is_test_only(attribute: &str) -> bool {
    let bare: String = attribute.split_whitespace().collect();
    let condition = bare.strip_prefix("cfg(").and_then(|c| c.strip_suffix(')'));
    condition.is_some_and(|c| holds(c) == Some(false))
}

/// The value of a `cfg` condition in a production build; `None` where it depends on the build.
fn holds(condition: &str) -> Option<bool> {
    if matches!(condition, "test" | "feature=\"testing\"") {
        return Some(false);
    }
    let (operator, list) = condition.strip_suffix(')')?.split_once('(')?;
    let values: Vec<Option<bool>> = arguments(list).into_iter().map(holds).collect();
    let (decisive, otherwise) = match operator {
        "not" => return values.first().copied().flatten().map(|value| !value),
        "all" => (false, true),
        "any" => (true, false),
        _ => return None,
    };
    if values.contains(&Some(decisive)) {
        Some(decisive)
    } else if values.contains(&None) {
        None
    } else {
        Some(otherwise)
    }
}

fn arguments(list: &str) -> Vec<&str> {
    let mut depth = 0;
    list.split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .filter(|argument| !argument.is_empty())
    .collect()
}

/// The end of the item, field, arm or statement that begins at `start`, further attributes included.
fn item_end(code: &[u8], start: usize) -> usize {
    let mut at = skip_space(code, start);
    while code[at..].starts_with(b"#[") {
        at = skip_space(code, matching(code, at + 1));
    }
    let kind = kind(code, at);
    let mut angles = 0_i32;
    while at < code.len() {
        match code[at] {
            b'{' if kind == Kind::Block => return matching(code, at),
            b'(' | b'[' | b'{' => {
                at = matching(code, at);
                // An arm or an expression with a block needs no comma.
                if kind == Kind::Part && code[at - 1] == b'}' {
                    return match code.get(skip_space(code, at)) {
                        Some(b',') => skip_space(code, at) + 1,
                        _ => at,
                    };
                }
                continue;
            }
            b'<' => angles += 1,
            b'>' if at > 0 && !matches!(code[at - 1], b'-' | b'=') => angles -= 1,
            b';' => return at + 1,
            b',' if kind == Kind::Part && angles <= 0 => return at + 1,
            b')' | b']' | b'}' => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

/// How an item ends.
#[derive(PartialEq)]
enum Kind {
    /// At its block, or at a semicolon: `fn`, `mod`, `impl`, …
    Block,
    /// At a semicolon: `use`, `const`, `static`, `type`, `let`.
    Statement,
    /// At a comma, or where what is around it ends: fields, arms, parameters.
    Part,
}

fn kind(code: &[u8], mut at: usize) -> Kind {
    loop {
        let end = word_end(code, at);
        let next = skip_space(code, end);
        let is_name = code.get(next).is_some_and(|b| is_word(*b));
        match &code[at..end] {
            b"pub" if code.get(next) == Some(&b'(') => at = skip_space(code, matching(code, next)),
            b"pub" | b"async" | b"default" if is_name => at = next,
            b"unsafe" if is_name => at = next,
            b"const" if code[next..].starts_with(b"fn ") => return Kind::Block,
            b"use" | b"const" | b"static" | b"type" | b"let" => return Kind::Statement,
            b"fn" | b"mod" | b"impl" | b"struct" | b"enum" | b"union" | b"trait" | b"extern"
            | b"macro_rules" => return Kind::Block,
            _ => return Kind::Part,
        }
    }
}

fn skip_space(code: &[u8], at: usize) -> usize {
    let length = code[at..]
        .iter()
        .take_while(|b| b.is_ascii_whitespace())
        .count();
    at + length
}

/// What is left, each run of space as one.
fn left(source: &str) -> String {
    let code = production_code(source);
    assert_eq!(code.len(), source.len(), "every byte keeps its place");
    code.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn code_after_a_test_module_is_read() {
    assert_eq!(left("#[cfg(test)]\nmod tests;\nfn a() {}"), "fn a() {}");
    assert_eq!(
        left("#[cfg(test)] mod tests { fn a() { b!(\"}\") } } fn c() {}"),
        "fn c() {}"
    );
    assert_eq!(
        left("#[cfg(test)] pub(crate) use a::{b, c}; fn d() {}"),
        "fn d() {}"
    );
    assert_eq!(left("fn a() {} #[cfg(test)] mod tests;"), "fn a() {}");
}

#[test]
fn attributes_after_the_condition_belong_to_the_item() {
    assert_eq!(left("#[cfg(test)] #[path = \"a.rs\"] mod a; b"), "b");
    assert_eq!(
        left("#[cfg(test)]\n/// Doc; {\n#[allow(x)]\nfn a() {} b"),
        "b"
    );
}

#[test]
fn each_kind_of_item_ends_where_it_ends() {
    assert_eq!(
        left("#[cfg(test)] fn a<T: B<C>>(d: E, f: G) -> H<I, J> where K: L { m; } n"),
        "n"
    );
    assert_eq!(left("#[cfg(test)] const A: [u8; 2] = [{ 1 }, 2]; b"), "b");
    assert_eq!(left("#[cfg(test)] static A: B = B { c: 1 }; d"), "d");
    assert_eq!(left("#[cfg(test)] pub const fn a() {} b"), "b");
    assert_eq!(left("#[cfg(test)] pub struct A(B, C); d"), "d");
    assert_eq!(left("#[cfg(test)] impl A for B { fn c(); } d"), "d");
    assert_eq!(
        left("struct A { b: C, #[cfg(test)] pub d: E<F, G>, h: I }"),
        "struct A { b: C, h: I }"
    );
    assert_eq!(
        left("struct A { b: C, #[cfg(test)] d: fn(E) -> F }"),
        "struct A { b: C, }"
    );
    assert_eq!(
        left("match a { #[cfg(test)] B::C => { d } e => f }"),
        "match a { e => f }"
    );
    assert_eq!(
        left("fn a() { #[cfg(test)] let b = C { d }; e }"),
        "fn a() { e }"
    );
}

#[test]
fn only_what_no_production_build_compiles_is_cut() {
    assert_eq!(
        left("#[cfg(any(test, feature = \"testing\"))] pub mod testing; a"),
        "a"
    );
    assert_eq!(left("#[cfg(all(test, unix))] mod a; b"), "b");
    assert_eq!(left("#![cfg(test)] a"), "");
    for kept in [
        "#[cfg(not(test))] mod a; b",
        "#[cfg(any(test, fuzzing))] mod a; b",
        "#[cfg(unix)] mod a; b",
        "#[cfg_attr(test, derive(A))] mod a; b",
        "#[derive(A)] struct B { c: D }",
    ] {
        assert_eq!(left(kept), kept);
    }
    assert_eq!(left("// #[cfg(test)]\nmod a; b"), "mod a; b");
    assert_eq!(left("a(\"#[cfg(test)]\"); b"), "a( ); b");
}
