//! Label selectors with all operators, over interned label keys and values.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use rustc_hash::FxHashMap;

/// The index of an interned label key or value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(u32);

/// Every label key and value in use, each stored once.
#[derive(Debug, Default)]
pub struct Symbols(FxHashMap<String, Symbol>);

impl Symbols {
    pub fn intern(&mut self, text: &str) -> Symbol {
        if let Some(symbol) = self.0.get(text) {
            return *symbol;
        }
        let symbol = Symbol(self.0.len() as u32);
        self.0.insert(text.to_owned(), symbol);
        symbol
    }
}

/// Labels, sorted by key.
pub type Labels = Vec<(Symbol, Symbol)>;

/// One requirement of a label selector. A selector matches if all of its requirements match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelRequirement {
    /// The label exists and has one of the values.
    In(Symbol, Vec<Symbol>),
    /// The label does not exist, or has none of the values.
    NotIn(Symbol, Vec<Symbol>),
    Exists(Symbol),
    DoesNotExist(Symbol),
}

impl LabelRequirement {
    fn matches(&self, labels: &[(Symbol, Symbol)]) -> bool {
        let value = |key: &Symbol| {
            let index = labels.binary_search_by_key(key, |(key, _)| *key);
            index
                .ok()
                .and_then(|index| labels.get(index))
                .map(|(_, value)| *value)
        };
        match self {
            LabelRequirement::In(key, values) => value(key).is_some_and(|v| values.contains(&v)),
            LabelRequirement::NotIn(key, values) => value(key).is_none_or(|v| !values.contains(&v)),
            LabelRequirement::Exists(key) => value(key).is_some(),
            LabelRequirement::DoesNotExist(key) => value(key).is_none(),
        }
    }
}

/// A compiled label selector; without requirements it matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    pub requirements: Vec<LabelRequirement>,
}

impl Selector {
    pub fn matches(&self, labels: &[(Symbol, Symbol)]) -> bool {
        self.requirements
            .iter()
            .all(|requirement| requirement.matches(labels))
    }
}

/// Reads a label selector of the API.
///
/// # Errors
/// Returns the field, relative to the selector, and the problem: an unknown operator, `In` or `NotIn` without
/// values, `Exists` or `DoesNotExist` with values.
pub fn parse_selector(
    selector: &LabelSelector,
    symbols: &mut Symbols,
) -> Result<Selector, (String, String)> {
    let mut requirements = Vec::new();
    for (key, value) in selector.match_labels.iter().flatten() {
        requirements.push(LabelRequirement::In(
            symbols.intern(key),
            vec![symbols.intern(value)],
        ));
    }
    for (index, expression) in selector.match_expressions.iter().flatten().enumerate() {
        let key = symbols.intern(&expression.key);
        let values = expression.values.as_deref().unwrap_or_default();
        let bad = |field: &str, problem: String| {
            Err((format!("matchExpressions[{index}].{field}"), problem))
        };
        match (expression.operator.as_str(), values.is_empty()) {
            ("In" | "NotIn", true) => {
                return bad(
                    "values",
                    format!("{} needs at least one value", expression.operator),
                );
            }
            ("Exists" | "DoesNotExist", false) => {
                return bad("values", format!("{} takes no values", expression.operator));
            }
            _ => {}
        }
        let values = values.iter().map(|value| symbols.intern(value)).collect();
        requirements.push(match expression.operator.as_str() {
            "In" => LabelRequirement::In(key, values),
            "NotIn" => LabelRequirement::NotIn(key, values),
            "Exists" => LabelRequirement::Exists(key),
            "DoesNotExist" => LabelRequirement::DoesNotExist(key),
            other => return bad("operator", format!("unknown operator {other:?}")),
        });
    }
    Ok(Selector { requirements })
}

/// Returns every label key that a selector reads.
pub fn keys(selector: &LabelSelector) -> impl Iterator<Item = &str> {
    let labels = selector
        .match_labels
        .iter()
        .flatten()
        .map(|(key, _)| key.as_str());
    let expressions = selector.match_expressions.iter().flatten();
    labels.chain(expressions.map(|expression| expression.key.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(yaml: &str, labels: &[(&str, &str)]) -> bool {
        let selector: LabelSelector = serde_yaml::from_str(yaml).unwrap();
        let mut symbols = Symbols::default();
        let mut labels: Labels = labels
            .iter()
            .map(|(k, v)| (symbols.intern(k), symbols.intern(v)))
            .collect();
        labels.sort_unstable();
        parse_selector(&selector, &mut symbols)
            .unwrap()
            .matches(&labels)
    }

    fn problem(yaml: &str) -> (String, String) {
        let selector: LabelSelector = serde_yaml::from_str(yaml).unwrap();
        parse_selector(&selector, &mut Symbols::default()).unwrap_err()
    }

    #[test]
    fn an_empty_selector_matches_everything() {
        assert!(matches("{}", &[]));
        assert!(matches("{}", &[("app", "a")]));
    }

    #[test]
    fn match_labels_requires_every_label() {
        let yaml = "matchLabels: {app: a, tier: x}";
        assert!(matches(yaml, &[("tier", "x"), ("app", "a"), ("more", "1")]));
        assert!(!matches(yaml, &[("app", "a")]));
        assert!(!matches(yaml, &[("app", "a"), ("tier", "y")]));
    }

    #[test]
    fn in_requires_the_key_with_one_of_the_values() {
        let yaml = "matchExpressions: [{key: app, operator: In, values: [a, b]}]";
        assert!(matches(yaml, &[("app", "b")]));
        assert!(!matches(yaml, &[("app", "c")]));
        assert!(!matches(yaml, &[]));
    }

    #[test]
    fn not_in_matches_when_the_key_is_absent() {
        let yaml = "matchExpressions: [{key: app, operator: NotIn, values: [a, b]}]";
        assert!(matches(yaml, &[]));
        assert!(matches(yaml, &[("app", "c")]));
        assert!(!matches(yaml, &[("app", "a")]));
    }

    #[test]
    fn exists_requires_the_key_with_any_value() {
        let yaml = "matchExpressions: [{key: app, operator: Exists}]";
        assert!(matches(yaml, &[("app", "")]));
        assert!(!matches(yaml, &[("apps", "a")]));
    }

    #[test]
    fn does_not_exist_requires_that_the_key_is_absent() {
        let yaml = "matchExpressions: [{key: app, operator: DoesNotExist}]";
        assert!(matches(yaml, &[("apps", "a")]));
        assert!(!matches(yaml, &[("app", "")]));
    }

    #[test]
    fn labels_and_expressions_must_all_match() {
        let yaml =
            "{matchLabels: {app: a}, matchExpressions: [{key: old, operator: DoesNotExist}]}";
        assert!(matches(yaml, &[("app", "a")]));
        assert!(!matches(yaml, &[("app", "a"), ("old", "1")]));
    }

    #[test]
    fn an_unknown_operator_is_reported_with_its_field() {
        let (field, problem) =
            problem("matchExpressions: [{key: app, operator: Near, values: [a]}]");
        assert_eq!(field, "matchExpressions[0].operator");
        assert!(problem.contains("Near"), "{problem}");
    }

    #[test]
    fn values_must_fit_the_operator() {
        for operator in ["In", "NotIn"] {
            let yaml = format!("matchExpressions: [{{key: app, operator: {operator}}}]");
            assert_eq!(problem(&yaml).0, "matchExpressions[0].values");
        }
        for operator in ["Exists", "DoesNotExist"] {
            let yaml =
                format!("matchExpressions: [{{key: app, operator: {operator}, values: [a]}}]");
            assert_eq!(problem(&yaml).0, "matchExpressions[0].values");
        }
    }
}
