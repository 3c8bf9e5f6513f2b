//! Policies that an API server takes or refuses.

use super::*;

fn problems_of(yaml: &str) -> Vec<String> {
    let tree: Value = serde_yaml::from_str(yaml).unwrap();
    let found = problems(tree.as_object().unwrap());
    found.iter().map(ToString::to_string).collect()
}

fn with_spec(spec: &str) -> Vec<String> {
    problems_of(&format!(
        "metadata: {{name: p, namespace: shop}}\nspec: {spec}"
    ))
}

#[test]
fn what_the_api_server_takes_has_no_problem() {
    for spec in [
        "null",
        "{}",
        "{podSelector: {}, ingress: null, egress: [], policyTypes: [Ingress, Egress]}",
        "{podSelector: {matchLabels: {app: web, example.com/tier: ''}}, ingress: [{}, {from: [], ports: []}]}",
        "{ingress: [{ports: [{port: http}, {port: 1, endPort: 1, protocol: SCTP}, {protocol: UDP}]}]}",
        "{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}, {ipBlock: {cidr: '2001:db8::/32'}}]}]}",
        "{ingress: [{from: [{podSelector: {}, namespaceSelector: {}}]}]}",
        "{podSelector: {matchExpressions: [{key: a, operator: NotIn, values: [b]}, {key: c, operator: Exists}]}}",
    ] {
        assert_eq!(with_spec(spec), Vec::<String>::new(), "{spec}");
    }
    assert!(problems_of("metadata: {generateName: p-}\nstatus: {}").is_empty());
}

#[test]
fn an_unknown_field_is_named_with_the_field_or_the_place_that_was_probably_meant() {
    for (spec, problem) in [
        (
            "{ingress: [{from: [{podSelectors: {}}]}]}",
            "spec.ingress[0].from[0].podSelectors: there is no such field; write podSelector, if that is meant",
        ),
        (
            "{ingress: [{from: [{podSelector: {}, ports: [{port: 1}]}]}]}",
            "spec.ingress[0].from[0].ports: there is no such field; ports belongs in a rule, beside from or to",
        ),
        (
            "{from: [{podSelector: {}}]}",
            "spec.from: there is no such field; from belongs in a rule of spec.ingress",
        ),
        (
            "{egress: [{from: []}]}",
            "spec.egress[0].from: there is no such field; from belongs in a rule of spec.ingress",
        ),
        (
            "{podselector: {}}",
            "spec.podselector: there is no such field; write podSelector, if that is meant",
        ),
        (
            "{<<: {podSelector: {}}}",
            "spec.<<: there is no such field; merge keys are not followed here; write the merged fields out",
        ),
        (
            "{podSelector: {app: web}}",
            "spec.podSelector.app: there is no such field; remove it",
        ),
    ] {
        assert!(
            with_spec(spec).contains(&problem.to_owned()),
            "{spec}: {:?}",
            with_spec(spec)
        );
    }
    let top = problems_of("metadata: {name: p}\ningress: []");
    assert_eq!(
        top,
        ["ingress: there is no such field; ingress belongs in spec"]
    );
}

#[test]
fn values_that_the_api_server_refuses_are_named_with_their_field() {
    for (spec, field) in [
        (
            "{ingress: [{ports: [{port: '5432'}]}]}",
            "spec.ingress[0].ports[0].port",
        ),
        (
            "{ingress: [{ports: [{port: ''}]}]}",
            "spec.ingress[0].ports[0].port",
        ),
        (
            "{ingress: [{ports: [{port: HTTP}]}]}",
            "spec.ingress[0].ports[0].port",
        ),
        (
            "{ingress: [{ports: [{port: a-very-long-name}]}]}",
            "spec.ingress[0].ports[0].port",
        ),
        (
            "{ingress: [{ports: [{port: 0}]}]}",
            "spec.ingress[0].ports[0].port",
        ),
        (
            "{ingress: [{ports: [{port: 80, endPort: 79}]}]}",
            "spec.ingress[0].ports[0].endPort",
        ),
        (
            "{ingress: [{ports: [{port: 80, endPort: 70000}]}]}",
            "spec.ingress[0].ports[0].endPort",
        ),
        (
            "{ingress: [{ports: [{port: http, endPort: 90}]}]}",
            "spec.ingress[0].ports[0].endPort",
        ),
        (
            "{ingress: [{ports: [{endPort: 90}]}]}",
            "spec.ingress[0].ports[0].endPort",
        ),
        (
            "{ingress: [{ports: [{protocol: tcp}]}]}",
            "spec.ingress[0].ports[0].protocol",
        ),
        (
            "{ingress: [{ports: [{protocol: ''}]}]}",
            "spec.ingress[0].ports[0].protocol",
        ),
        ("{ingress: [{from: [{}]}]}", "spec.ingress[0].from[0]"),
        (
            "{ingress: [{from: [{podSelector: null}]}]}",
            "spec.ingress[0].from[0]",
        ),
        (
            "{egress: [{to: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}",
            "spec.egress[0].to[0].ipBlock",
        ),
        (
            "{egress: [{to: [{ipBlock: {cidr: 10.0.0.1}}]}]}",
            "spec.egress[0].to[0].ipBlock.cidr",
        ),
        (
            "{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]}",
            "spec.egress[0].to[0].ipBlock.except[0]",
        ),
        (
            "{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/9, 11.0.0.0/9]}}]}]}",
            "spec.egress[0].to[0].ipBlock.except[1]",
        ),
        ("{policyTypes: [Ingress, ingress]}", "spec.policyTypes[1]"),
        (
            "{policyTypes: [Ingress, Egress, Ingress]}",
            "spec.policyTypes",
        ),
        (
            "{podSelector: {matchLabels: {-a: b}}}",
            "spec.podSelector.matchLabels.-a",
        ),
        (
            "{podSelector: {matchLabels: {a: b c}}}",
            "spec.podSelector.matchLabels.a",
        ),
        (
            "{podSelector: {matchExpressions: [{key: a, operator: in, values: [b]}]}}",
            "spec.podSelector.matchExpressions[0].operator",
        ),
        (
            "{podSelector: {matchExpressions: [{key: a, operator: In}]}}",
            "spec.podSelector.matchExpressions[0].values",
        ),
        (
            "{podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}",
            "spec.podSelector.matchExpressions[0].values",
        ),
    ] {
        let found = with_spec(spec);
        assert!(
            found.len() == 1 && found[0].starts_with(&format!("{field}: ")),
            "{spec}: {found:?}"
        );
    }
    assert_eq!(
        problems_of("metadata: {name: A_b, namespace: a.b}").len(),
        2
    );
    assert_eq!(problems_of("spec: {}").len(), 1, "a policy needs a name");
}

#[test]
fn only_one_version_of_a_policy_is_served_and_other_projects_have_kinds_of_that_name() {
    for (kind, version, is) in [
        ("NetworkPolicy", "networking.k8s.io/v1", PolicyKind::Served),
        ("NetworkPolicy", "extensions/v1beta1", PolicyKind::NotServed),
        (
            "NetworkPolicy",
            "networking.k8s.io/v1beta1",
            PolicyKind::NotServed,
        ),
        ("NetworkPolicy", "network.k8s.io/v1", PolicyKind::NotServed),
        ("NetworkPolicy", "v1", PolicyKind::NotServed),
        ("NetworkPolicy", "", PolicyKind::NotServed),
        (
            "networkPolicy",
            "networking.k8s.io/v1",
            PolicyKind::NotServed,
        ),
        (
            "NetworkPolicy",
            "crd.projectcalico.org/v1",
            PolicyKind::Other,
        ),
        ("NetworkPolicy", "example.com/v1", PolicyKind::Other),
        ("Ingress", "networking.k8s.io/v1", PolicyKind::Other),
    ] {
        assert_eq!(PolicyKind::of(kind, version), is, "{kind} {version}");
    }
}

proptest::proptest! {
    #[test]
    fn any_tree_is_checked_without_harm(text in "(?s)[a-z:{}\\[\\], \"0-9/.]{0,60}") {
        if let Ok(Value::Object(tree)) = serde_yaml::from_str::<Value>(&format!("{{metadata: {{name: p}}, spec: {{ingress: [{{from: [{text}]}}]}}}}")) {
            let _ = problems(&tree);
        }
    }
}
