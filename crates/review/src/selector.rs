//! Label selectors over plain labels, for a few pods. The crate `evaluate` has its own selectors over interned
//! labels, for many pods and policies.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use std::collections::BTreeMap;

/// One condition of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    DoesNotExist(String),
}

/// A valid label selector. It matches if all of its conditions match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Selector(Vec<Condition>);

/// The field of a selector that is invalid, relative to the selector, and the problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SelectorProblem {
    pub field: String,
    pub problem: String,
}

impl Selector {
    /// Parses a selector of the Kubernetes API.
    ///
    /// # Errors
    /// Returns an error for an unknown operator, or for values that do not fit the operator.
    pub fn parse(selector: &LabelSelector) -> Result<Selector, SelectorProblem> {
        let labels = selector.match_labels.iter().flatten();
        let mut conditions: Vec<Condition> = labels
            .map(|(key, value)| Condition::In(key.clone(), vec![value.clone()]))
            .collect();
        let expressions = selector.match_expressions.iter().flatten();
        for (index, expression) in expressions.enumerate() {
            let bad = |field: &str, problem: String| SelectorProblem {
                field: format!("matchExpressions[{index}].{field}"),
                problem,
            };
            let key = expression.key.clone();
            let values = expression.values.clone().unwrap_or_default();
            let operator = expression.operator.as_str();
            conditions.push(match (operator, values.is_empty()) {
                ("In", false) => Condition::In(key, values),
                ("NotIn", false) => Condition::NotIn(key, values),
                ("Exists", true) => Condition::Exists(key),
                ("DoesNotExist", true) => Condition::DoesNotExist(key),
                ("In" | "NotIn", true) => {
                    return Err(bad(
                        "values",
                        format!("{operator} needs at least one value"),
                    ));
                }
                ("Exists" | "DoesNotExist", false) => {
                    return Err(bad("values", format!("{operator} takes no values")));
                }
                _ => return Err(bad("operator", format!("unknown operator {operator:?}"))),
            });
        }
        Ok(Selector(conditions))
    }

    /// The requirement that matches what this selector does not; `None`: there is none in one requirement.
    pub fn negated(&self) -> Option<LabelSelectorRequirement> {
        let [condition] = self.0.as_slice() else {
            return None;
        };
        let (key, operator, values) = match condition {
            Condition::In(key, values) => (key, "NotIn", Some(values.clone())),
            Condition::NotIn(key, values) => (key, "In", Some(values.clone())),
            Condition::Exists(key) => (key, "DoesNotExist", None),
            Condition::DoesNotExist(key) => (key, "Exists", None),
        };
        Some(LabelSelectorRequirement {
            key: key.clone(),
            operator: operator.to_owned(),
            values,
        })
    }

    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|condition| match condition {
            Condition::In(key, values) => labels.get(key).is_some_and(|v| values.contains(v)),
            Condition::NotIn(key, values) => labels.get(key).is_none_or(|v| !values.contains(v)),
            Condition::Exists(key) => labels.contains_key(key),
            Condition::DoesNotExist(key) => !labels.contains_key(key),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::networking::v1::NetworkPolicy;
    use nanoseg_evaluate::{Evaluation, HostNetwork};
    use nanoseg_inventory::testing;
    use nanoseg_net::Direction;

    /// Compares every operator on every set of labels with the evaluator: a policy with the selector isolates the
    /// pod if and only if the selector matches.
    #[test]
    fn a_selector_matches_what_a_policy_with_it_selects() {
        let all = ["", "app: a", "app: b", "app: a, tier: x", "tier: x"];
        let selectors = [
            "{}",
            "{matchLabels: {app: a}}",
            "{matchLabels: {app: a, tier: x}}",
            "{matchExpressions: [{key: app, operator: In, values: [a, b]}]}",
            "{matchExpressions: [{key: app, operator: NotIn, values: [a]}]}",
            "{matchExpressions: [{key: tier, operator: Exists}]}",
            "{matchExpressions: [{key: tier, operator: DoesNotExist}]}",
            "{matchLabels: {app: a}, matchExpressions: [{key: tier, operator: DoesNotExist}]}",
        ];
        for labels in all {
            let (inventory, _) =
                testing::inventory(&testing::pod("shop", "p", "10.0.0.1", "n", labels));
            for yaml in selectors {
                let selector = Selector::parse(&serde_yaml::from_str(yaml).unwrap()).unwrap();
                let text = format!(
                    "{{metadata: {{namespace: shop, name: p}}, spec: {{podSelector: {yaml}}}}}"
                );
                let policy: NetworkPolicy = serde_yaml::from_str(&text).unwrap();
                let evaluation =
                    Evaluation::new(&inventory, [&policy], HostNetwork::Exact).unwrap();
                let (class, _) = evaluation.classes().next().unwrap();
                let selected = evaluation.isolated(class, Direction::Ingress);
                assert_eq!(
                    selector.matches(&inventory.pods[0].labels),
                    selected,
                    "{yaml} of {labels}"
                );
            }
        }
    }
}
