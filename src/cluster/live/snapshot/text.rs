//! The text of a snapshot: a List as kubectl prints it, in YAML or JSON, with the time at which it was taken; and the
//! documents of a history.

pub use crate::cluster::kinds::TAKEN_AT;

use super::content::Snapshot;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::Path;

/// The annotation of an object with the time at which it was seen to be gone (RFC 3339).
pub const DELETED_AT: &str = "nanoseg.dev/deleted-at";

/// The format of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Yaml,
    Json,
}

impl Format {
    /// The format of a file by its name; `None`: a folder reader would not read it.
    pub fn of(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()? {
            "yaml" | "yml" => Some(Format::Yaml),
            "json" => Some(Format::Json),
            _ => None,
        }
    }
}

/// Writes a List.
///
/// # Errors
/// Of the output.
pub fn write_list(out: &mut impl Write, format: Format, snapshot: &Snapshot) -> io::Result<()> {
    let annotations = annotations(snapshot);
    match format {
        Format::Json => {
            write!(out, "{{\"apiVersion\":\"v1\",\"items\":[")?;
            for (at, item) in snapshot.items.iter().enumerate() {
                let comma = if at == 0 { "\n" } else { ",\n" };
                write!(out, "{comma}{}", item.json)?;
            }
            let metadata = json!({"annotations": annotations, "resourceVersion": ""});
            writeln!(out, "\n],\"kind\":\"List\",\"metadata\":{metadata}}}")
        }
        Format::Yaml => {
            let empty = if snapshot.items.is_empty() { " []" } else { "" };
            writeln!(out, "apiVersion: v1\nitems:{empty}")?;
            for item in &snapshot.items {
                write_item(out, &serde_json::from_str(&item.json)?)?;
            }
            let metadata = json!({"annotations": annotations, "resourceVersion": ""});
            let end = json!({"kind": "List", "metadata": metadata});
            out.write_all(yaml(&end)?.as_bytes())
        }
    }
}

/// Writes one object as a document of its own. The next document follows it.
///
/// # Errors
/// Of the output.
pub fn write_document(out: &mut impl Write, format: Format, object: &Value) -> io::Result<()> {
    // In one piece: a reader finds a whole document or none.
    let text = match format {
        Format::Json => format!("{object}\n"),
        Format::Yaml => format!("---\n{}", yaml(object)?),
    };
    out.write_all(text.as_bytes())
}

fn annotations(snapshot: &Snapshot) -> Value {
    json!({TAKEN_AT: snapshot.taken_at.to_string()})
}

/// An object as an item of a list: its first line after a dash.
fn write_item(out: &mut impl Write, object: &Value) -> io::Result<()> {
    let mut text = String::new();
    for (at, line) in yaml(object)?.lines().enumerate() {
        let indent = match at {
            0 => "- ",
            _ if line.is_empty() => "",
            _ => "  ",
        };
        text.push_str(indent);
        text.push_str(line);
        text.push('\n');
    }
    out.write_all(text.as_bytes())
}

fn yaml(object: &Value) -> io::Result<String> {
    serde_yaml::to_string(object).map_err(io::Error::other)
}
