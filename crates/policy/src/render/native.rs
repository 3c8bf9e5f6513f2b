//! The text of a policy in another dialect: the object as it is proven, with its fields in the order of a hand-written
//! policy and the same comments as a NetworkPolicy has (rule: policy-reads-as-written-by-hand).

use super::{peers, write_comment, write_direction, write_names};
use crate::dialect::NativePolicy;
use crate::synthesis::WorkloadPolicy;
use crate::yaml::{Yaml, comment};
use k8s_openapi::api::networking::v1::NetworkPolicyPort;
use nanoseg_net::Direction;
use serde_json::Value;
use std::collections::BTreeMap;

/// Fields in the order in which people write them. Others follow, in the order of their names.
const ORDER: [&str; 38] = [
    "apiVersion",
    "kind",
    "metadata",
    "name",
    "namespace",
    "spec",
    "tier",
    "order",
    "priority",
    "subject",
    "selector",
    "endpointSelector",
    "enableDefaultDeny",
    "types",
    "ingress",
    "egress",
    "action",
    "protocol",
    "source",
    "destination",
    "fromEndpoints",
    "fromEntities",
    "fromCIDR",
    "fromCIDRSet",
    "toEndpoints",
    "toEntities",
    "toFQDNs",
    "toCIDR",
    "toCIDRSet",
    "toPorts",
    "from",
    "to",
    "protocols",
    "namespaceSelector",
    "nets",
    "notNets",
    "port",
    "ports",
];

/// Fields whose values are addresses, which a comment explains.
const EXPLAINED: [&str; 4] = ["cidr", "fromCIDR", "toCIDR", "nets"];

/// Writes the YAML document of the policy of a workload in its dialect.
pub(super) fn write_native(out: &mut String, policy: &WorkloadPolicy, native: &NativePolicy) {
    write_names(out, policy);
    for direction in [Direction::Ingress, Direction::Egress] {
        let ports: Vec<Option<&[NetworkPolicyPort]>> = native
            .rules
            .iter()
            .zip(&native.ports)
            .filter(|(origin, _)| origin.direction == direction)
            .map(|(_, ports)| Some(ports.as_slice()))
            .collect();
        write_direction(out, policy, (direction, &native.rules), &ports);
    }
    let object = native.object.to_object();
    yaml(&object, "", &|field, place| notes(native, field, place)).write(out);
}

/// Writes the YAML document of an object, with lines of comment at its head.
pub(crate) fn write_object(out: &mut String, comments: &[String], object: &Value) {
    for line in comments {
        write_comment(out, &comment(line));
    }
    yaml(object, "", &|_, _| Notes::new()).write(out);
}

/// The comments beside addresses, by the text that they stand beside.
type Notes = BTreeMap<String, String>;

/// The comments of one rule of the object: that at `place` of its `ingress` or `egress`.
fn notes(native: &NativePolicy, field: &str, place: usize) -> Notes {
    let [ingress, egress] = &native.groups;
    let (direction, groups) = match field {
        "ingress" => (Direction::Ingress, ingress),
        _ => (Direction::Egress, egress),
    };
    let group = groups.get(place).copied();
    let peers = group.map(|group| peers(&native.rules, direction, group));
    let peers = peers.into_iter().flatten();
    let noted = peers.filter_map(|peer| Some((peer.written.clone()?, peer.comment.clone()?)));
    noted.collect()
}

/// The object with its fields in order. `notes` gives the comments of a rule.
fn yaml(value: &Value, field: &str, notes: &dyn Fn(&str, usize) -> Notes) -> Yaml {
    match (field, value) {
        ("ingress" | "egress", Value::Array(rules)) => {
            let rules = rules.iter().enumerate();
            let written = rules.map(|(place, rule)| noted(rule, field, &notes(field, place)));
            Yaml::List(written.collect())
        }
        (_, Value::Object(fields)) => map(fields, |name, value| yaml(value, name, notes)),
        _ => noted(value, field, &Notes::new()),
    }
}

fn map(fields: &serde_json::Map<String, Value>, write: impl Fn(&str, &Value) -> Yaml) -> Yaml {
    let place = |name: &str| ORDER.iter().position(|one| *one == name);
    let mut entries: Vec<(&String, &Value)> = fields.iter().collect();
    entries.sort_by_key(|(name, _)| (place(name).unwrap_or(ORDER.len()), *name));
    let entry = |(name, value): (&String, &Value)| (name.clone(), write(name, value));
    Yaml::Map(entries.into_iter().map(entry).collect())
}

fn noted(value: &Value, field: &str, notes: &Notes) -> Yaml {
    match value {
        Value::Null => Yaml::Map(Vec::new()),
        Value::Bool(value) => Yaml::Bool(*value),
        Value::Number(number) => number_of(number),
        Value::String(text) => match notes.get(text).filter(|_| EXPLAINED.contains(&field)) {
            Some(note) => Yaml::Noted(text.clone(), note.clone()),
            None => Yaml::text(text),
        },
        Value::Array(items) => {
            Yaml::List(items.iter().map(|item| noted(item, field, notes)).collect())
        }
        Value::Object(fields) => map(fields, |name, value| noted(value, name, notes)),
    }
}

/// Ports and orders: whole numbers. Another number is written as it is, as text.
fn number_of(number: &serde_json::Number) -> Yaml {
    let whole = number.as_i64().or_else(|| {
        let number = number.as_f64()?;
        (number.fract() == 0.0 && number.abs() <= f64::from(i32::MAX)).then_some(number as i64)
    });
    match whole.and_then(|whole| i32::try_from(whole).ok()) {
        Some(whole) => Yaml::Number(whole),
        None => Yaml::text(number.to_string()),
    }
}
