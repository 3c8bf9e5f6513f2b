//! Adds one object to what was read: checked, and converted to its type.

use super::field_path::{FieldPath, Step};
use super::kinds::{Typed, parse_object};
use super::policy_check::{self, POLICY_VERSION, PolicyKind, PolicyProblem, Wrong};
use crate::inventory::kubernetes::Json;
use crate::inventory::{ObjectRemark, Objects};
use serde_json::{Map, Value};
use std::fmt;

/// An object that cannot be used.
#[derive(Debug)]
pub struct Broken {
    /// Such as `Pod default/web`.
    pub object: String,
    /// Where in the document, if it is an item of a list.
    pub item: Option<usize>,
    pub why: Why,
}

/// Why an object cannot be used.
#[derive(Debug)]
pub enum Why {
    /// A field has the wrong type, in words of the conversion.
    Type(String),
    Policy(PolicyProblem),
    /// A mapping has this key twice.
    DuplicateKey(String),
}

impl Broken {
    /// The path of the field in the document, as far as it is known.
    pub fn path(&self) -> FieldPath {
        let mut steps = self.object_path().0;
        if let Why::Policy(problem) = &self.why {
            steps.extend(problem.path.0.iter().cloned());
        }
        FieldPath(steps)
    }

    /// The path of the object in the document.
    pub fn object_path(&self) -> FieldPath {
        let item = self.item.map(Step::Index);
        let items = item
            .into_iter()
            .flat_map(|index| [Step::Key("items".to_owned()), index]);
        FieldPath(items.collect())
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Type(problem) => {
                write!(f, "{problem}; check it with kubectl apply --dry-run=server")
            }
            Why::Policy(problem) => problem.fmt(f),
            Why::DuplicateKey(key) => write!(
                f,
                "the key {key:?} is there twice, and only one can count; join or remove one"
            ),
        }
    }
}

/// Adds one object, or counts it as skipped. Its own kind and version are used if it has them, otherwise the
/// given ones. `duplicate` is a key that a mapping of it has twice.
pub fn add(
    tree: Value,
    kind: &str,
    version: &str,
    duplicate: Option<String>,
    objects: &mut Objects,
) -> Result<(), Broken> {
    let broken = |object: String, why: Why| Broken {
        object,
        item: None,
        why,
    };
    let Value::Object(mut map) = tree else {
        let why = Why::Type("it is not an object".into());
        return Err(broken("an item of a list".into(), why));
    };
    let text = |value: Option<Value>, other: &str| match value {
        Some(Value::String(text)) if !text.is_empty() => text,
        _ => other.to_owned(),
    };
    // k8s-openapi accepts only its own version there, or none.
    let kind = text(map.remove("kind"), kind);
    let version = text(map.remove("apiVersion"), version);
    if kind == "List" {
        let Some(Value::Array(items)) = map.remove("items") else {
            return Ok(());
        };
        return items
            .into_iter()
            .try_for_each(|item| add(item, "", "", duplicate.clone(), objects));
    }
    let name = object_name(&kind, &map);
    let (kind, version) = match PolicyKind::of(&kind, &version) {
        PolicyKind::Other => (kind, version),
        read_as => {
            check_policy(
                read_as,
                &kind,
                &version,
                &map,
                duplicate.as_deref(),
                &name,
                objects,
            )
            .map_err(|why| broken(name.clone(), why))?;
            ("NetworkPolicy".to_owned(), POLICY_VERSION.to_owned())
        }
    };
    let group = version.rsplit_once('/').map_or("", |(group, _)| group);
    let is_policy = kind == "NetworkPolicy";
    match parse_object(&kind, group, Json::Value(Value::Object(map)), objects) {
        Ok(Typed::Read) => {
            if let Some(key) = duplicate.filter(|_| !is_policy) {
                remark(&name, Why::DuplicateKey(key).to_string(), objects);
            }
            Ok(())
        }
        Ok(Typed::Skipped) => {
            skip(&kind, group, objects);
            Ok(())
        }
        Err(problem) => Err(broken(name, Why::Type(problem.to_string()))),
    }
}

/// Refuses a policy that no API server takes. Of a live object, which one has taken, it is only noted.
fn check_policy(
    read_as: PolicyKind,
    kind: &str,
    version: &str,
    map: &Map<String, Value>,
    duplicate: Option<&str>,
    name: &str,
    objects: &mut Objects,
) -> Result<(), Why> {
    let mut found = Vec::new();
    if read_as == PolicyKind::NotServed {
        found.push(Why::Policy(PolicyProblem {
            path: FieldPath::default().key("apiVersion"),
            what: Wrong::Version {
                kind: kind.to_owned(),
                version: version.to_owned(),
            },
        }));
    }
    found.extend(duplicate.map(|key| Why::DuplicateKey(key.to_owned())));
    found.extend(policy_check::problems(map).into_iter().map(Why::Policy));
    if policy_check::is_live(map) {
        for why in found {
            remark(name, why.to_string(), objects);
        }
        return Ok(());
    }
    let metadata = map.get("metadata");
    let namespace = metadata.and_then(|metadata| metadata.get("namespace"));
    if found.is_empty() && namespace.and_then(Value::as_str).is_none_or(str::is_empty) {
        let problem =
            "it has no namespace, so it counts in namespace default; write metadata.namespace";
        remark(name, problem.to_owned(), objects);
    }
    found.into_iter().next().map_or(Ok(()), Err)
}

fn remark(object: &str, problem: String, objects: &mut Objects) {
    objects.remarks.push(ObjectRemark {
        object: object.to_owned(),
        problem,
        file: String::new(),
    });
}

/// Counts an object of a kind that nanoseg does not use.
pub fn skip(kind: &str, group: &str, objects: &mut Objects) {
    let kind = match (kind, group) {
        ("", _) => "(no kind)".to_owned(),
        (kind, "") => kind.to_owned(),
        (kind, group) => format!("{kind}.{group}"),
    };
    *objects.skipped.entry(kind).or_default() += 1;
}

/// Returns a name such as `Pod default/web`.
fn object_name(kind: &str, map: &Map<String, Value>) -> String {
    let field = |field: &str| {
        let value = map.get("metadata").and_then(|meta| meta.get(field));
        value
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let name = field("name").unwrap_or("(no name)");
    match field("namespace") {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}
