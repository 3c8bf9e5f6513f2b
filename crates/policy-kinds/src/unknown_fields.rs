//! Finds the fields of an object that its type does not have. The object is written again from its type; what is
//! missing then was not read.

use serde_json::Value;

/// The most unknown fields that are listed of one object.
const MOST: usize = 20;

/// Returns the paths in `read` that `written` does not have. Fields that are null say nothing, so they do not count.
pub(crate) fn unknown_fields(read: &Value, written: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    compare(read, written, path, &mut found);
    found
}

fn compare(read: &Value, written: &Value, path: &str, found: &mut Vec<String>) {
    if found.len() >= MOST {
        return;
    }
    match (read, written) {
        (Value::Object(read), Value::Object(written)) => {
            for (key, value) in read.iter().filter(|(_, value)| !value.is_null()) {
                let path = format!("{path}.{key}");
                match written.get(key) {
                    Some(written) => compare(value, written, &path, found),
                    None => found.push(path),
                }
            }
        }
        (Value::Array(read), Value::Array(written)) => {
            for (index, (read, written)) in read.iter().zip(written).enumerate() {
                compare(read, written, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}
