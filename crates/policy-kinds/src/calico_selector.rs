//! Calico's selectors: expressions over labels, such as `app == "web" && has(team)`.
//!
//! Source: `libcalico-go/lib/selector` of Calico (`parser`, `tokenizer`).

use std::collections::BTreeSet;

/// How deep parentheses and negations may be nested. Calico's own limit for a selector is 1024 characters.
const DEEPEST: usize = 100;

/// A selector, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CalicoSelector {
    /// `all()`, and the empty text.
    All,
    /// `global()`: what has no namespace.
    Global,
    /// `has(key)`.
    Has(String),
    /// `key == "value"`, and `key in {"a", "b"}`: the label is there and has one of the values.
    In(String, Vec<String>),
    /// `key != "value"`, and `key not in {"a", "b"}`: the label is not there, or has none of the values.
    NotIn(String, Vec<String>),
    /// `key contains "text"`.
    Contains(String, String),
    /// `key starts with "text"`.
    StartsWith(String, String),
    /// `key ends with "text"`.
    EndsWith(String, String),
    Not(Box<CalicoSelector>),
    And(Vec<CalicoSelector>),
    Or(Vec<CalicoSelector>),
}

impl CalicoSelector {
    /// Parses a selector.
    ///
    /// # Errors
    /// The text is not a selector; the error says what was expected, and where.
    pub fn parse(text: &str) -> Result<CalicoSelector, String> {
        let tokens = tokens(text)?;
        if tokens.is_empty() {
            return Ok(CalicoSelector::All);
        }
        let mut parser = Parser { tokens, at: 0 };
        let selector = parser.or(0)?;
        match parser.next() {
            None => Ok(selector),
            Some(token) => Err(format!("{token:?} was not expected")),
        }
    }

    /// Returns true if labels match, which `value` looks up by key.
    pub fn matches<'a>(&self, value: &impl Fn(&str) -> Option<&'a str>) -> bool {
        let is = |key: &str, test: &dyn Fn(&str) -> bool| value(key).is_some_and(test);
        match self {
            CalicoSelector::All => true,
            CalicoSelector::Global => false,
            CalicoSelector::Has(key) => value(key).is_some(),
            CalicoSelector::In(key, values) => is(key, &|label| values.iter().any(|v| v == label)),
            CalicoSelector::NotIn(key, values) => {
                !is(key, &|label| values.iter().any(|v| v == label))
            }
            CalicoSelector::Contains(key, text) => is(key, &|label| label.contains(text.as_str())),
            CalicoSelector::StartsWith(key, text) => {
                is(key, &|label| label.starts_with(text.as_str()))
            }
            CalicoSelector::EndsWith(key, text) => is(key, &|label| label.ends_with(text.as_str())),
            CalicoSelector::Not(one) => !one.matches(value),
            CalicoSelector::And(all) => all.iter().all(|one| one.matches(value)),
            CalicoSelector::Or(any) => any.iter().any(|one| one.matches(value)),
        }
    }

    /// Returns every label key that the selector reads.
    pub fn keys(&self) -> BTreeSet<&str> {
        let mut keys = BTreeSet::new();
        self.collect(&mut keys);
        keys
    }

    fn collect<'s>(&'s self, keys: &mut BTreeSet<&'s str>) {
        match self {
            CalicoSelector::All | CalicoSelector::Global => {}
            CalicoSelector::Has(key)
            | CalicoSelector::In(key, _)
            | CalicoSelector::NotIn(key, _)
            | CalicoSelector::Contains(key, _)
            | CalicoSelector::StartsWith(key, _)
            | CalicoSelector::EndsWith(key, _) => {
                keys.insert(key);
            }
            CalicoSelector::Not(one) => one.collect(keys),
            CalicoSelector::And(all) | CalicoSelector::Or(all) => {
                all.iter().for_each(|one| one.collect(keys));
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    /// One of `== != && || ! ( ) { } ,`.
    Sign(&'static str),
}

const SIGNS: [&str; 10] = ["==", "!=", "&&", "||", "!", "(", ")", "{", "}", ","];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut rest = text.trim_start();
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            tokens.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else if first == '"' || first == '\'' {
            let inner = &rest[1..];
            let end = inner.find(first);
            let end = end.ok_or_else(|| format!("{rest:?} has no closing {first}"))?;
            tokens.push(Token::Text(inner[..end].to_owned()));
            rest = &inner[end + 1..];
        } else {
            let is_word = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            if end == 0 {
                return Err(format!("{first:?} was not expected"));
            }
            tokens.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    /// Goes over a sign if it is next.
    fn takes(&mut self, sign: &str) -> bool {
        let is_next = matches!(self.tokens.get(self.at), Some(Token::Sign(next)) if *next == sign);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.takes(sign) {
            return Ok(());
        }
        Err(format!("{sign:?} was expected"))
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        match self.next() {
            Some(Token::Word(next)) if next == word => Ok(()),
            _ => Err(format!("{word:?} was expected")),
        }
    }

    fn text(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Token::Text(text)) => Ok(text),
            _ => Err("a text in quotes was expected".into()),
        }
    }

    fn or(&mut self, depth: usize) -> Result<CalicoSelector, String> {
        let mut any = vec![self.and(depth)?];
        while self.takes("||") {
            any.push(self.and(depth)?);
        }
        Ok(one_or(any, CalicoSelector::Or))
    }

    fn and(&mut self, depth: usize) -> Result<CalicoSelector, String> {
        let mut all = vec![self.operation(depth)?];
        while self.takes("&&") {
            all.push(self.operation(depth)?);
        }
        Ok(one_or(all, CalicoSelector::And))
    }

    fn operation(&mut self, depth: usize) -> Result<CalicoSelector, String> {
        if depth > DEEPEST {
            return Err("it is nested too deep".into());
        }
        if self.takes("!") {
            return Ok(CalicoSelector::Not(Box::new(self.operation(depth + 1)?)));
        }
        if self.takes("(") {
            let inner = self.or(depth + 1)?;
            self.expect(")")?;
            return Ok(inner);
        }
        let Some(Token::Word(word)) = self.next() else {
            return Err("a label was expected".into());
        };
        match word.as_str() {
            "all" | "global" if self.takes("(") => {
                self.expect(")")?;
                Ok(match word.as_str() {
                    "all" => CalicoSelector::All,
                    _ => CalicoSelector::Global,
                })
            }
            "has" if self.takes("(") => {
                let Some(Token::Word(key)) = self.next() else {
                    return Err("has() needs a label".into());
                };
                self.expect(")")?;
                Ok(CalicoSelector::Has(key))
            }
            _ => self.comparison(word),
        }
    }

    fn comparison(&mut self, key: String) -> Result<CalicoSelector, String> {
        if self.takes("==") {
            return Ok(CalicoSelector::In(key, vec![self.text()?]));
        }
        if self.takes("!=") {
            return Ok(CalicoSelector::NotIn(key, vec![self.text()?]));
        }
        let Some(Token::Word(operator)) = self.next() else {
            return Err(format!("an operator was expected behind {key:?}"));
        };
        match operator.as_str() {
            "in" => Ok(CalicoSelector::In(key, self.values()?)),
            "not" => {
                self.word("in")?;
                Ok(CalicoSelector::NotIn(key, self.values()?))
            }
            "contains" => Ok(CalicoSelector::Contains(key, self.text()?)),
            "starts" => {
                self.word("with")?;
                Ok(CalicoSelector::StartsWith(key, self.text()?))
            }
            "ends" => {
                self.word("with")?;
                Ok(CalicoSelector::EndsWith(key, self.text()?))
            }
            other => Err(format!("{other:?} is no operator")),
        }
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        self.expect("{")?;
        let mut values = Vec::new();
        if self.takes("}") {
            return Ok(values);
        }
        loop {
            values.push(self.text()?);
            if self.takes("}") {
                return Ok(values);
            }
            self.expect(",")?;
        }
    }
}

fn one_or(
    mut list: Vec<CalicoSelector>,
    of: fn(Vec<CalicoSelector>) -> CalicoSelector,
) -> CalicoSelector {
    match (list.len(), list.pop()) {
        (1, Some(one)) => one,
        (_, Some(last)) => {
            list.push(last);
            of(list)
        }
        (_, None) => of(list),
    }
}
