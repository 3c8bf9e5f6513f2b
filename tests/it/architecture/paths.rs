//! The paths that code names: in `use` declarations, each branch of a tree on its own, and elsewhere.

use super::lexer::{is_word, word_end};

/// A name or a sign of the code, with the line it stands on.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

impl Token {
    pub fn is(&self, text: &str) -> bool {
        self.text == text
    }

    pub fn is_name(&self) -> bool {
        let first = self.text.as_bytes()[0];
        is_word(first) && !first.is_ascii_digit()
    }
}

/// A `use` declaration: one branch of its tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Use {
    pub path: Vec<String>,
    /// The name it has here; `*` for all names of a module.
    pub name: String,
    /// Others see the name too: `pub use`, with or without a restriction.
    pub is_public: bool,
    pub line: usize,
}

/// The names and signs of blanked code. `::` is one sign; lifetimes are left out.
pub fn tokens(code: &str) -> Vec<Token> {
    let bytes = code.as_bytes();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < bytes.len() {
        let end = match bytes[at] {
            b'\n' => {
                line += 1;
                at += 1;
                continue;
            }
            b'\'' => {
                at = word_end(bytes, at + 1);
                continue;
            }
            c if c.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            // `r#type` is the name `type`.
            b'r' if bytes.get(at + 1) == Some(&b'#') => {
                at += 2;
                continue;
            }
            c if is_word(c) => word_end(bytes, at),
            b':' if bytes.get(at + 1) == Some(&b':') => at + 2,
            _ => at + 1,
        };
        let text = code[at..end].to_owned();
        tokens.push(Token { text, line });
        at = end;
    }
    tokens
}

/// Reads the declaration whose `use` is at `start`; returns its branches and the place after it.
pub fn use_declaration(tokens: &[Token], start: usize) -> (Vec<Use>, usize) {
    let is_public = start > 0 && (tokens[start - 1].is("pub") || tokens[start - 1].is(")"));
    let mut branches = Vec::new();
    let mut at = start + 1;
    branch(tokens, &mut at, Vec::new(), &mut branches);
    for declared in &mut branches {
        declared.is_public = is_public;
    }
    (branches, at + 1)
}

fn branch(tokens: &[Token], at: &mut usize, mut path: Vec<String>, found: &mut Vec<Use>) {
    let prefix = path.len();
    let mut name = None;
    while *at < tokens.len() {
        let token = &tokens[*at];
        match token.text.as_str() {
            ";" | "," | "}" => break,
            // A path from outside of every crate; its first part is empty.
            "::" if path.is_empty() => path.push(String::new()),
            "::" => {}
            "{" => {
                while !tokens[*at].is("}") {
                    *at += 1;
                    branch(tokens, at, path.clone(), found);
                }
                *at += 1;
                return;
            }
            "as" => {
                *at += 1;
                name = Some(tokens[*at].text.clone());
            }
            "self" if prefix > 0 => {}
            _ => path.push(token.text.clone()),
        }
        *at += 1;
    }
    // After the comma in front of a closing brace.
    if path.len() == prefix && !tokens[*at - 1].is("self") && name.is_none() {
        return;
    }
    let last = path.last().cloned().unwrap_or_default();
    if last == "*" {
        path.pop();
    }
    found.push(Use {
        name: name.unwrap_or(last),
        path,
        is_public: false,
        line: tokens[*at - 1].line,
    });
}

/// The path that begins at `at`, if one does; and the place after it.
pub fn path(tokens: &[Token], at: usize) -> (Option<Vec<String>>, usize) {
    let before = |back: usize| at.checked_sub(back).map(|at| &tokens[at]);
    let after_dot = before(1).is_some_and(|t| t.is(".")) && !before(2).is_some_and(|t| t.is("."));
    let after_colons = before(1).is_some_and(|t| t.is("::"));
    let from_outside =
        after_colons && !before(2).is_some_and(|t| t.is(">") || t.is("$") || t.is_name());
    let mut parts = Vec::new();
    if from_outside {
        parts.push(String::new());
    }
    parts.push(tokens[at].text.clone());
    let mut end = at + 1;
    if !tokens[at].is_name() {
        return (None, end);
    }
    while end + 1 < tokens.len() && tokens[end].is("::") && tokens[end + 1].is_name() {
        parts.push(tokens[end + 1].text.clone());
        end += 2;
    }
    let begins = !after_dot && (!after_colons || from_outside);
    (begins.then_some(parts), end)
}

fn branches(code: &str) -> Vec<String> {
    let (branches, end) = use_declaration(&tokens(code), 0);
    assert_eq!(end, tokens(code).len(), "{code}");
    branches
        .iter()
        .map(|branch| format!("{} as {}", branch.path.join("::"), branch.name))
        .collect()
}

#[test]
fn each_branch_of_a_use_tree_is_a_path() {
    assert_eq!(branches("use a::b;"), ["a::b as b"]);
    assert_eq!(branches("use a::{b, c::d};"), ["a::b as b", "a::c::d as d"]);
    assert_eq!(
        branches("use a::{self, b::{c as d, e::*,}, f as _,};"),
        ["a as a", "a::b::c as d", "a::b::e as *", "a::f as _"]
    );
    assert_eq!(branches("use {a, b::c};"), ["a as a", "b::c as c"]);
    assert_eq!(branches("use ::a::b;"), ["::a::b as b"]);
    assert_eq!(
        branches("use super::super::a::r#type;"),
        ["super::super::a::type as type"]
    );
    assert_eq!(branches("use self::a as b;"), ["self::a as b"]);
    assert_eq!(branches("use a::{self as b};"), ["a as b"]);
}

fn paths(code: &str) -> Vec<String> {
    let tokens = tokens(code);
    let mut at = 0;
    let mut found = Vec::new();
    while at < tokens.len() {
        let (path, end) = path(&tokens, at);
        found.extend(
            path.filter(|path| path.len() > 1)
                .map(|path| path.join("::")),
        );
        at = end;
    }
    found
}

#[test]
fn paths_in_code_are_found_whole() {
    assert_eq!(
        paths("a::b(c::<D>(), &e::f::G { h: i })"),
        ["a::b", "e::f::G"]
    );
    assert_eq!(paths("x.y::<a::B>().z"), ["a::B"]);
    assert_eq!(paths("0..a::B; ..c::D"), ["a::B", "c::D"]);
    assert_eq!(
        paths("<A as b::C>::d::e; Vec::<a::B>::new()"),
        ["b::C", "a::B"]
    );
    assert_eq!(
        paths("f(::a::b, $crate::c::d, &'a e::f)"),
        ["::a::b", "crate::c::d", "e::f"]
    );
}
