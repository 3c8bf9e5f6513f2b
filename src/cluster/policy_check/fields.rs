//! The fields that a NetworkPolicy has, and which one was probably meant by an unknown field.

use super::{FieldPath, PolicyProblem, Wrong};
use serde_json::{Map, Value};
use std::fmt;

/// What may stand at a place.
enum Schema {
    /// Anything, such as labels or a value.
    Any,
    Object(&'static [(&'static str, Schema)]),
    List(&'static Schema),
}

/// ObjectMeta of meta/v1, with the fields that older API servers wrote.
const METADATA: Schema = Schema::Object(&[
    ("annotations", Schema::Any),
    ("clusterName", Schema::Any),
    ("creationTimestamp", Schema::Any),
    ("deletionGracePeriodSeconds", Schema::Any),
    ("deletionTimestamp", Schema::Any),
    ("finalizers", Schema::Any),
    ("generateName", Schema::Any),
    ("generation", Schema::Any),
    ("initializers", Schema::Any),
    ("labels", Schema::Any),
    ("managedFields", Schema::Any),
    ("name", Schema::Any),
    ("namespace", Schema::Any),
    ("ownerReferences", Schema::Any),
    ("resourceVersion", Schema::Any),
    ("selfLink", Schema::Any),
    ("uid", Schema::Any),
]);

const SELECTOR: Schema = Schema::Object(&[
    ("matchLabels", Schema::Any),
    (
        "matchExpressions",
        Schema::List(&Schema::Object(&[
            ("key", Schema::Any),
            ("operator", Schema::Any),
            ("values", Schema::Any),
        ])),
    ),
]);

const PEERS: Schema = Schema::List(&Schema::Object(&[
    ("podSelector", SELECTOR),
    ("namespaceSelector", SELECTOR),
    (
        "ipBlock",
        Schema::Object(&[("cidr", Schema::Any), ("except", Schema::Any)]),
    ),
]));

const PORTS: Schema = Schema::List(&Schema::Object(&[
    ("protocol", Schema::Any),
    ("port", Schema::Any),
    ("endPort", Schema::Any),
]));

/// NetworkPolicy of networking.k8s.io/v1. `status` was in it from 1.24 to 1.27 (KEP-2943).
const POLICY: Schema = Schema::Object(&[
    ("apiVersion", Schema::Any),
    ("kind", Schema::Any),
    ("metadata", METADATA),
    (
        "spec",
        Schema::Object(&[
            ("podSelector", SELECTOR),
            ("policyTypes", Schema::Any),
            (
                "ingress",
                Schema::List(&Schema::Object(&[("from", PEERS), ("ports", PORTS)])),
            ),
            (
                "egress",
                Schema::List(&Schema::Object(&[("to", PEERS), ("ports", PORTS)])),
            ),
        ]),
    ),
    ("status", Schema::Any),
]);

/// Where the fields of a policy belong. The first place is the one that is most often meant.
const HOMES: &[(&str, &str)] = &[
    ("spec", "at the top, beside metadata"),
    ("metadata", "at the top, beside spec"),
    ("name", "in metadata"),
    ("namespace", "in metadata"),
    ("labels", "in metadata"),
    ("annotations", "in metadata"),
    ("podSelector", "in spec, or in an item of from or to"),
    ("namespaceSelector", "in an item of from or to"),
    ("ipBlock", "in an item of from or to"),
    ("policyTypes", "in spec"),
    ("ingress", "in spec"),
    ("egress", "in spec"),
    ("from", "in a rule of spec.ingress"),
    ("to", "in a rule of spec.egress"),
    ("ports", "in a rule, beside from or to"),
    ("protocol", "in an item of ports"),
    ("port", "in an item of ports"),
    ("endPort", "in an item of ports"),
    ("cidr", "in an ipBlock"),
    ("except", "in an ipBlock"),
    ("matchLabels", "in a selector"),
    ("matchExpressions", "in a selector"),
    ("key", "in an item of matchExpressions"),
    ("operator", "in an item of matchExpressions"),
    ("values", "in an item of matchExpressions"),
];

/// What was probably meant by an unknown field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// YAML's merge key.
    Merge,
    /// A field of this place with a similar name.
    Spelling(&'static str),
    /// The field exists in another place.
    Place {
        field: &'static str,
        home: &'static str,
    },
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hint::Merge => {
                f.write_str("merge keys are not followed here; write the merged fields out")
            }
            Hint::Spelling(field) => write!(f, "write {field}, if that is meant"),
            Hint::Place { field, home } => write!(f, "{field} belongs {home}"),
        }
    }
}

/// The fields that no NetworkPolicy has.
pub fn unknown(object: &Map<String, Value>) -> Vec<PolicyProblem> {
    let mut found = Vec::new();
    walk_object(object, &POLICY, &FieldPath::default(), &mut found);
    found
}

fn walk(value: &Value, schema: &Schema, path: &FieldPath, found: &mut Vec<PolicyProblem>) {
    match (value, schema) {
        (Value::Object(map), Schema::Object(_)) => walk_object(map, schema, path, found),
        (Value::Array(items), Schema::List(item)) => {
            for (index, value) in items.iter().enumerate() {
                walk(value, item, &path.index(index), found);
            }
        }
        // Where the type is wrong, the conversion refuses it.
        _ => {}
    }
}

fn walk_object(
    map: &Map<String, Value>,
    schema: &Schema,
    path: &FieldPath,
    found: &mut Vec<PolicyProblem>,
) {
    let Schema::Object(known) = schema else {
        return;
    };
    for (key, value) in map {
        match known.iter().find(|(name, _)| name == key) {
            Some((_, inner)) => walk(value, inner, &path.key(key), found),
            None => found.push(PolicyProblem {
                path: path.key(key),
                what: Wrong::UnknownField {
                    hint: hint(key, known),
                },
            }),
        }
    }
}

fn hint(key: &str, known: &[(&'static str, Schema)]) -> Option<Hint> {
    // A longer typing error than this is another word.
    const MOST: usize = 2;
    if key == "<<" {
        return Some(Hint::Merge);
    }
    let home = |name: &str| HOMES.iter().find(|(field, _)| *field == name);
    if let Some((field, home)) = home(key) {
        return Some(Hint::Place { field, home });
    }
    let distance = |name: &str| edit_distance(&key.to_lowercase(), &name.to_lowercase());
    let near = |names: &mut dyn Iterator<Item = &'static str>| {
        let near = names.map(|name| (distance(name), name));
        near.filter(|(far, name)| *far <= MOST && *far * 2 < name.len())
            .min()
            .map(|(_, name)| name)
    };
    if let Some(name) = near(&mut known.iter().map(|(name, _)| *name)) {
        return Some(Hint::Spelling(name));
    }
    let (field, home) = home(near(&mut HOMES.iter().map(|(field, _)| *field))?)?;
    Some(Hint::Place { field, home })
}

/// The least number of letters to insert, remove or replace (Levenshtein). A long word is far from any other.
fn edit_distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 40;
    if a.len() > LONGEST {
        return LONGEST;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = row[j] + usize::from(x != y);
            next.push(replaced.min(row[j + 1] + 1).min(next[j] + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
