//! Removes the fields that are not used from the text of items before the parser reads it: reading them takes
//! most of the time in YAML. It works line by line, by indentation, and only where no line can have a second
//! meaning: a text with flow collections, anchors, tags, or quotes that continue on the next line is unusual.

use super::Unusual;

/// What happens to a key's value.
#[derive(Clone, Copy)]
enum Fate {
    Noise,
    /// A mapping, or a list of mappings, of which some fields are removed.
    Partly(&'static [(&'static str, Fate)]),
}

use Fate::{Noise, Partly};

const METADATA: Fate = Partly(&[
    (
        "annotations",
        Partly(&[(crate::inventory::kubernetes::LAST_APPLIED, Noise)]),
    ),
    ("managedFields", Noise),
]);

const CONTAINERS: Fate = Partly(&[
    ("args", Noise),
    ("command", Noise),
    ("env", Noise),
    ("envFrom", Noise),
    ("lifecycle", Noise),
    ("livenessProbe", Noise),
    ("readinessProbe", Noise),
    ("resources", Noise),
    ("startupProbe", Noise),
    ("volumeDevices", Noise),
    ("volumeMounts", Noise),
]);

const STATUSES: Fate = Partly(&[
    ("allocatedResources", Noise),
    ("lastState", Noise),
    ("resources", Noise),
    ("volumeMounts", Noise),
]);

const TEMPLATE: Fate = Partly(&[
    ("metadata", METADATA),
    (
        "spec",
        Partly(&[
            ("affinity", Noise),
            ("containers", CONTAINERS),
            ("dnsConfig", Noise),
            ("hostAliases", Noise),
            ("initContainers", CONTAINERS),
            ("tolerations", Noise),
            ("topologySpreadConstraints", Noise),
            ("volumes", Noise),
        ]),
    ),
]);

/// No two kinds use the same path with different meanings.
const OBJECT: &[(&str, Fate)] = &[
    ("metadata", METADATA),
    (
        "spec",
        Partly(&[
            ("affinity", Noise),
            ("containers", CONTAINERS),
            ("dnsConfig", Noise),
            ("hostAliases", Noise),
            ("initContainers", CONTAINERS),
            (
                "jobTemplate",
                Partly(&[("spec", Partly(&[("template", TEMPLATE)]))]),
            ),
            ("template", TEMPLATE),
            ("tolerations", Noise),
            ("topologySpreadConstraints", Noise),
            ("volumeClaimTemplates", Noise),
            ("volumes", Noise),
        ]),
    ),
    (
        "status",
        Partly(&[
            ("containerStatuses", STATUSES),
            ("images", Noise),
            ("initContainerStatuses", STATUSES),
            ("volumesAttached", Noise),
            ("volumesInUse", Noise),
        ]),
    ),
];

/// A key that encloses the current line.
struct Above {
    column: usize,
    within: &'static [(&'static str, Fate)],
    /// The offset in the kept text where the key's line ends.
    end: usize,
    /// True if a part of its value was removed, and true if a part stays.
    lost: bool,
    stays: bool,
}

/// Returns the items of `text`, whose dashes are at `column`, without the fields that are not used.
pub fn without_noise(text: &str, column: usize) -> Result<String, Unusual> {
    let mut kept = String::with_capacity(text.len() / 2);
    let mut reader = Reader {
        column,
        path: Vec::new(),
        dropped: None,
        block: None,
        hollow: Vec::new(),
    };
    for whole in text.split_inclusive('\n') {
        let line = whole.trim_end_matches('\n');
        let end = kept.len() + line.len();
        match reader.read(&SourceLine::of(line, column)?, end)? {
            What::Kept => kept.push_str(whole),
            What::Dropped => {}
            What::OnlyKey => {
                kept.push_str(whole.split_inclusive(": ").next().unwrap_or_default());
                kept.truncate(kept.trim_ascii_end().len());
                kept.push('\n');
            }
        }
    }
    reader.leave(0);
    // From the end, so that the earlier offsets stay valid.
    reader.hollow.sort_unstable();
    for end in reader.hollow.into_iter().rev() {
        kept.insert_str(end, " {}");
    }
    Ok(kept)
}

/// What happens to a line.
enum What {
    Kept,
    Dropped,
    /// The line begins an item of a list, and its first key is dropped: the line stays, without the key's
    /// value.
    OnlyKey,
}

/// The position in the items.
struct Reader {
    column: usize,
    path: Vec<Above>,
    /// The column of a key whose value is dropped.
    dropped: Option<usize>,
    /// The column of a key whose value is a block of text.
    block: Option<usize>,
    /// The ends of the lines of keys whose mappings lost all their fields: these are empty then, and not null.
    hollow: Vec<usize>,
}

impl Reader {
    /// Reads a line. `end` is the offset where the line ends in the kept text, if it stays.
    fn read(&mut self, line: &SourceLine<'_>, end: usize) -> Result<What, Unusual> {
        if !line.rest.is_empty() {
            let same = |key: usize| line.indent == key && line.dashes > 0;
            self.block = self.block.filter(|key| line.indent > *key);
            self.dropped = self.dropped.filter(|key| line.indent > *key || same(*key));
            if self.block.is_none() && self.enter(line, end)? {
                let is_item = line.dashes > 0;
                if let Some(above) = self.path.iter_mut().nth_back(1) {
                    above.lost |= !is_item;
                    above.stays |= is_item;
                }
                return Ok(if is_item {
                    What::OnlyKey
                } else {
                    What::Dropped
                });
            }
        }
        // Empty lines have a meaning only in blocks of text. They are kept or dropped with what they are in.
        Ok(match self.dropped {
            Some(_) => What::Dropped,
            None => What::Kept,
        })
    }

    /// Reads a line that is not in a block of text. Returns true if it begins something that is dropped.
    fn enter(&mut self, line: &SourceLine<'_>, end: usize) -> Result<bool, Unusual> {
        let (key, value) = line.entry()?;
        let column = line.indent + 2 * line.dashes;
        if is_block(value)? {
            let only_dash = key.is_none() && line.dashes > 0;
            self.block = Some(column - if only_dash { 2 } else { 0 });
        }
        if self.dropped.is_some() {
            return Ok(false);
        }
        let Some(key) = key else {
            self.path.iter_mut().for_each(|above| above.stays = true);
            return Ok(false);
        };
        self.leave(column);
        let known = match self.path.last() {
            None if column == self.column + 2 => OBJECT,
            None => return Err(Unusual),
            Some(above) => above.within,
        };
        let fate = known.iter().find(|(name, _)| *name == key);
        let within: &[_] = match fate {
            Some((_, Partly(within))) if value.is_empty() => within,
            _ => &[],
        };
        let is_noise = matches!(fate, Some((_, Noise)));
        if is_noise {
            self.dropped = Some(column);
        } else if let Some(above) = self.path.last_mut() {
            above.stays = true;
        }
        self.path.push(Above {
            column,
            within,
            end,
            lost: false,
            stays: false,
        });
        Ok(is_noise)
    }

    /// Leaves the keys whose values end at a line with this `column`.
    fn leave(&mut self, column: usize) {
        while let Some(above) = self.path.pop_if(|above| above.column >= column) {
            if above.lost && !above.stays {
                self.hollow.push(above.end);
            }
        }
    }
}

/// A line: spaces, dashes of lists, and the rest.
struct SourceLine<'a> {
    indent: usize,
    dashes: usize,
    rest: &'a str,
}

impl<'a> SourceLine<'a> {
    /// Splits a line of an item. Only the first line of an item is indented as little as `column`.
    fn of(line: &'a str, column: usize) -> Result<SourceLine<'a>, Unusual> {
        let mut rest = line.trim_start_matches(' ');
        let indent = line.len() - rest.len();
        let mut dashes = 0;
        while let Some(after) = rest.strip_prefix("- ") {
            (rest, dashes) = (after, dashes + 1);
        }
        let inside = indent > column || (indent == column && dashes > 0) || rest.is_empty();
        if inside && !line.ends_with('\r') {
            Ok(SourceLine {
                indent,
                dashes,
                rest,
            })
        } else {
            Err(Unusual)
        }
    }

    /// Returns the key, if the line has one, and the value after it.
    fn entry(&self) -> Result<(Option<&'a str>, &'a str), Unusual> {
        let (rest, first) = (self.rest, self.rest.bytes().next().unwrap_or_default());
        let (key, value) = match first {
            b'"' | b'\'' => {
                // Reads up to the same quote. A key with escapes is not among the known keys, and is unusual.
                let end = rest.get(1..).and_then(|rest| rest.find(char::from(first)));
                let (key, after) = rest.split_at(end.ok_or(Unusual)? + 2);
                match after.strip_prefix(':') {
                    Some(value) if !key.contains('\\') => (Some(key), value),
                    _ => (None, rest),
                }
            }
            b'?' | b'#' | b'%' | b'\t' | b' ' => return Err(Unusual),
            b'{' | b'[' | b'&' | b'*' | b'!' | b'|' | b'>' => (None, rest),
            _ => match (rest.split_once(": "), rest.strip_suffix(':')) {
                (Some((key, value)), _) => (Some(key), value),
                (None, Some(key)) => (Some(key), ""),
                (None, None) => (None, rest),
            },
        };
        let value = value.trim_matches(' ');
        if is_plain_to_see(value) {
            Ok((key, value))
        } else {
            Err(Unusual)
        }
    }
}

/// Returns true if the value is a block of text.
fn is_block(value: &str) -> Result<bool, Unusual> {
    match value.strip_prefix(['|', '>']) {
        None => Ok(false),
        // More than a chomping indicator: the block states its own indentation.
        Some(more) if more.trim_start_matches(['-', '+']).is_empty() => Ok(true),
        Some(_) => Err(Unusual),
    }
}

/// Returns true if a value ends on its line, or is a plain scalar, which continues only on lines indented
/// deeper than its key.
fn is_plain_to_see(value: &str) -> bool {
    let Some(first) = value.bytes().next() else {
        return true;
    };
    match first {
        b'\'' => {
            let inner = value.strip_prefix('\'').and_then(|v| v.strip_suffix('\''));
            inner.is_some_and(|inner| inner.replace("''", "").find('\'').is_none())
        }
        b'"' => {
            let inner = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
            inner.is_some_and(|inner| {
                let unescaped = inner.replace("\\\\", "").replace("\\\"", "");
                !unescaped.contains('"') && !unescaped.ends_with('\\')
            })
        }
        b'{' | b'[' => matches!(value, "{}" | "[]"),
        b'&' | b'*' | b'!' | b'#' | b'?' | b'@' | b'`' | b'%' | b'-' | b':' => {
            // A negative number, or a text that begins like one, is plain.
            first == b'-' && value.len() > 1 && !value.starts_with("- ")
        }
        _ => true,
    }
}
