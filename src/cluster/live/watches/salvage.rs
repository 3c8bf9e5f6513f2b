//! Finds the fields of an object that its type refuses, and leaves them out: the rest of the object is known.

use crate::cluster::field_path::{FieldPath, Step};
use serde_json::Value;

/// The most fields that are left out of one object.
const MOST_FIELDS: usize = 16;
/// The most attempts to read one object: anybody may make an object of a million fields.
const MOST_ATTEMPTS: usize = 128;

/// Tries to read an object; `Some`: what is wrong with it.
pub type Try<'t> = &'t dyn Fn(&Value) -> Option<String>;

/// A field that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongField {
    /// Empty: the object as a whole.
    pub path: FieldPath,
    pub problem: String,
}

/// Returns the first field that is refused, and what of the object can be read: without that field and others that are
/// refused. `None` in place of the rest: nothing of it can be read within the bounds.
pub fn salvage(object: &Value, wrong: Try<'_>) -> Option<(WrongField, Option<Value>)> {
    let mut attempts = MOST_ATTEMPTS;
    let mut rest = object.clone();
    let mut first: Option<WrongField> = None;
    for _ in 0..MOST_FIELDS {
        let Some(problem) = wrong(&rest) else {
            return first.map(|first| (first, Some(rest)));
        };
        let path = locate(&rest, &problem, wrong, &mut attempts);
        let known = first.get_or_insert_with(|| WrongField {
            path: path.clone(),
            problem,
        });
        if path.is_empty() || attempts == 0 || !remove(&mut rest, &path) {
            return Some((known.clone(), None));
        }
    }
    let is_read = wrong(&rest).is_none();
    first.map(|first| (first, is_read.then_some(rest)))
}

/// Returns the deepest field without which `problem` is gone.
fn locate(object: &Value, problem: &str, wrong: Try<'_>, attempts: &mut usize) -> FieldPath {
    let mut path = FieldPath::default();
    loop {
        let is_same = |object: &Value, attempts: &mut usize| {
            *attempts = attempts.saturating_sub(1);
            wrong(object).as_deref() == Some(problem)
        };
        let mut emptied = object.clone();
        if empty(&mut emptied, &path) && is_same(&emptied, attempts) {
            // Something is missing here.
            return path;
        }
        let children = children(object, &path);
        let culprit = children.into_iter().find(|child| {
            let mut without = object.clone();
            *attempts > 0 && remove(&mut without, child) && !is_same(&without, attempts)
        });
        match culprit {
            Some(child) => path = child,
            None => return path,
        }
    }
}

fn at_mut<'v>(object: &'v mut Value, steps: &[Step]) -> Option<&'v mut Value> {
    let mut place = object;
    for step in steps {
        place = match step {
            Step::Key(key) => place.get_mut(key)?,
            Step::Index(index) => place.get_mut(index)?,
        };
    }
    Some(place)
}

fn at<'v>(object: &'v Value, steps: &[Step]) -> Option<&'v Value> {
    let mut place = object;
    for step in steps {
        place = match step {
            Step::Key(key) => place.get(key)?,
            Step::Index(index) => place.get(index)?,
        };
    }
    Some(place)
}

fn children(object: &Value, path: &FieldPath) -> Vec<FieldPath> {
    match at(object, &path.0) {
        Some(Value::Object(fields)) => fields.keys().map(|key| path.key(key)).collect(),
        Some(Value::Array(items)) => (0..items.len()).map(|index| path.index(index)).collect(),
        _ => Vec::new(),
    }
}

/// Returns false if the value at the path has nothing in it.
fn empty(object: &mut Value, path: &FieldPath) -> bool {
    match at_mut(object, &path.0) {
        Some(Value::Object(fields)) if !fields.is_empty() => fields.clear(),
        Some(Value::Array(items)) if !items.is_empty() => items.clear(),
        _ => return false,
    }
    true
}

fn remove(object: &mut Value, path: &FieldPath) -> bool {
    let Some((last, parents)) = path.0.split_last() else {
        return false;
    };
    match (at_mut(object, parents), last) {
        (Some(Value::Object(fields)), Step::Key(key)) => fields.remove(key).is_some(),
        (Some(Value::Array(items)), Step::Index(index)) if *index < items.len() => {
            items.remove(*index);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::kubernetes::{FromJson, Json, Pod};
    use serde_json::json;

    fn wrong<K: FromJson>(object: &Value) -> Option<String> {
        let read = K::from_json(Json::Value(object.clone()));
        read.err().map(|error| error.to_string())
    }

    #[test]
    fn the_field_is_named_and_the_rest_of_the_object_is_kept() {
        let pod = json!({
            "spec": {"nodeName": "n1", "hostNetwork": "yes", "containers": [{"name": "a"}, {"name": 5}]},
            "status": {"podIP": "10.0.0.1"},
        });
        let (field, rest) = salvage(&pod, &wrong::<Pod>).expect("it is wrong");
        assert_eq!(field.path.to_string(), "spec.containers[1].name");
        assert!(field.problem.contains("expected a string"), "{field:?}");
        let rest = rest.expect("the rest");
        let read = Pod::from_json(Json::Value(rest)).expect("it is read");
        let spec = read.spec.expect("a spec");
        assert_eq!(spec.node_name.as_deref(), Some("n1"));
        assert_eq!((spec.host_network, spec.containers.len()), (None, 2));
        assert_eq!(
            read.status.and_then(|status| status.pod_ip).as_deref(),
            Some("10.0.0.1")
        );
    }

    #[test]
    fn what_is_missing_is_named_by_where_it_belongs() {
        use crate::review::resources::ProposalDecision;
        let decision = json!({"metadata": {}, "spec": {"decision": "Approve", "reason": "x"}});
        let (field, rest) = salvage(&decision, &wrong::<ProposalDecision>).expect("it is wrong");
        assert_eq!(field.path.to_string(), "spec");
        assert!(field.problem.contains("missing field"), "{field:?}");
        assert_eq!(rest, None);
    }

    #[test]
    fn a_huge_object_takes_a_bounded_number_of_attempts() {
        let many: Vec<Value> = (0..100_000).map(|_| json!({"name": 5})).collect();
        let pod = json!({"spec": {"containers": many}});
        let count = std::cell::Cell::new(0);
        let counted = |_: &Value| {
            count.set(count.get() + 1);
            Some("always".to_owned())
        };
        let (_, rest) = salvage(&pod, &counted).expect("it is wrong");
        assert_eq!(rest, None);
        assert!(count.get() <= MOST_ATTEMPTS + 2 * MOST_FIELDS);
    }
}
