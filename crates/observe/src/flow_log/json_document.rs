//! Flow logs that are JSON but not by the line: an array, an object around one, objects over several
//! lines. Only what comes before a damage can be read of these.

use super::detect::{CONTAINERS, is_container};
use super::parsed_line::LineError;
use serde_json::{Deserializer, Map, Value};
use std::io::Read;

/// Hands each object to `take`. The error is that of the place from which on nothing can be read.
pub(super) fn read(
    input: impl Read,
    mut take: impl FnMut(Map<String, Value>),
) -> Result<(), LineError> {
    for value in Deserializer::from_reader(input).into_iter::<Value>() {
        // The error has the place: there are no lines to count.
        unfold(
            value.map_err(|error| LineError(error.to_string()))?,
            &mut take,
        );
    }
    Ok(())
}

fn unfold(value: Value, take: &mut impl FnMut(Map<String, Value>)) {
    match value {
        Value::Array(values) => values.into_iter().for_each(|value| unfold(value, take)),
        Value::Object(mut object) if is_container(&object) => {
            if let Some(inner @ Value::Object(_)) = object.remove("data") {
                unfold(inner, take);
            }
            for name in CONTAINERS {
                if let Some(Value::Array(values)) = object.remove(name) {
                    values.into_iter().for_each(|value| unfold(value, take));
                }
            }
        }
        Value::Object(object) => take(object),
        // A list of other things: the caller sees an object without any field, which is no flow.
        _ => take(Map::new()),
    }
}
