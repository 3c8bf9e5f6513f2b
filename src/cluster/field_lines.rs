//! Finds the line of a field in the text of a document, and of a key that is there twice. It reads the text again,
//! so it is only used for an error.

use super::field_path::{FieldPath, Step};
use saphyr_parser::{Event, Parser};
use std::collections::BTreeMap;

/// The fields of one document, each with the lines where its key is. An item of a list has the line where it begins.
#[derive(Debug, Default)]
pub struct FieldLines(BTreeMap<FieldPath, Vec<usize>>);

/// More fields than this are not looked up.
const MOST: usize = 1 << 20;

impl FieldLines {
    /// Those below `below` of the document with this number, from 1. Nothing where the text is no YAML.
    pub fn of(text: &str, document: usize, below: &FieldPath) -> FieldLines {
        let mut walk = Walk {
            below,
            lines: FieldLines::default(),
            frames: Vec::new(),
        };
        let mut current = 0;
        for event in Parser::new_from_str(text) {
            let Ok((event, span)) = event else { break };
            match event {
                Event::DocumentStart(_) => current += 1,
                Event::DocumentEnd if current == document => break,
                event if current == document => walk.event(&event, span.start.line()),
                _ => {}
            }
        }
        walk.lines
    }

    /// The line of a field, or of the nearest field around it, or where the object begins.
    pub fn line(&self, path: &FieldPath) -> Option<usize> {
        let mut steps = path.0.clone();
        loop {
            let found = self.0.get(&FieldPath(steps.clone()));
            if let Some(line) = found.and_then(|lines| lines.first()) {
                return Some(*line);
            }
            if steps.pop().is_none() {
                return self.0.values().flatten().min().copied();
            }
        }
    }

    /// The first key that a mapping has twice, with its second line.
    pub fn duplicate(&self) -> Option<(&FieldPath, usize)> {
        let twice = self
            .0
            .iter()
            .filter_map(|(path, lines)| Some((path, *lines.get(1)?)));
        twice.min_by_key(|(_, line)| *line)
    }
}

enum Frame {
    /// A mapping, with the key whose value is next.
    Map(Option<String>),
    Sequence(usize),
    /// A collection that is itself a key.
    Passed,
}

struct Walk<'a> {
    below: &'a FieldPath,
    lines: FieldLines,
    frames: Vec<Frame>,
}

impl Walk<'_> {
    fn event(&mut self, event: &Event, line: usize) {
        match event {
            Event::Scalar(text, ..) => self.scalar(Some(text), line),
            Event::Alias(_) => self.scalar(None, line),
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                let is_key = matches!(self.frames.last(), Some(Frame::Map(None) | Frame::Passed));
                self.note_item(line);
                self.frames.push(match event {
                    _ if is_key => Frame::Passed,
                    Event::MappingStart(..) => Frame::Map(None),
                    _ => Frame::Sequence(0),
                });
            }
            Event::MappingEnd | Event::SequenceEnd => {
                let ended = self.frames.pop();
                match (ended, self.frames.last_mut()) {
                    (Some(Frame::Passed), Some(Frame::Map(key))) => *key = Some(String::new()),
                    (Some(Frame::Passed), _) => {}
                    _ => self.advance(),
                }
            }
            _ => {}
        }
    }

    fn scalar(&mut self, text: Option<&str>, line: usize) {
        if let Some(Frame::Map(key @ None)) = self.frames.last_mut() {
            *key = Some(text.unwrap_or_default().to_owned());
            // A merge key may be there twice.
            if text.is_some_and(|text| text != "<<") {
                self.note(line);
            }
            return;
        }
        self.note_item(line);
        self.advance();
    }

    /// Moves on to the next position after a value.
    fn advance(&mut self) {
        match self.frames.last_mut() {
            Some(Frame::Map(key)) => *key = None,
            Some(Frame::Sequence(index)) => *index += 1,
            Some(Frame::Passed) | None => {}
        }
    }

    fn note_item(&mut self, line: usize) {
        if matches!(self.frames.last(), Some(Frame::Sequence(_))) {
            self.note(line);
        }
    }

    fn note(&mut self, line: usize) {
        let steps = self.frames.iter().map(|frame| match frame {
            Frame::Map(key) => key.clone().map(Step::Key),
            Frame::Sequence(index) => Some(Step::Index(*index)),
            Frame::Passed => None,
        });
        let Some(steps) = steps.collect::<Option<Vec<Step>>>() else {
            return;
        };
        if steps.starts_with(&self.below.0) && self.lines.0.len() < MOST {
            self.lines.0.entry(FieldPath(steps)).or_default().push(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> FieldPath {
        let steps = text.split('.').map(|step| match step.parse() {
            Ok(index) => Step::Index(index),
            Err(_) => Step::Key(step.to_owned()),
        });
        FieldPath(steps.collect())
    }

    #[test]
    fn a_field_has_the_line_of_its_key_and_an_item_the_line_where_it_begins() {
        let text =
            "kind: A\n---\nkind: B\nspec:\n  ports:\n  - a: 1\n    b: 2\n  - {a: 3, c: {d: 1}}\n";
        let lines = FieldLines::of(text, 2, &FieldPath::default());
        for (field, line) in [
            ("kind", 3),
            ("spec.ports", 5),
            ("spec.ports.0", 6),
            ("spec.ports.0.b", 7),
            ("spec.ports.1.c.d", 8),
        ] {
            assert_eq!(lines.line(&path(field)), Some(line), "{field}");
        }
        assert_eq!(
            lines.line(&path("spec.ports.1.x.y")),
            Some(8),
            "the nearest around it"
        );
        assert_eq!(lines.line(&path("status")), Some(3), "the object");
        assert_eq!(lines.duplicate(), None);
    }

    #[test]
    fn a_key_that_is_there_twice_is_found_in_yaml_and_json_below_the_item_that_is_asked_for() {
        let text = "items:\n- a: {b: 1, b: 2}\n- spec:\n    x: 1\n    y: 2\n    x: 3\n";
        let item = path("items.1");
        let lines = FieldLines::of(text, 1, &item);
        assert_eq!(lines.duplicate(), Some((&path("items.1.spec.x"), 6)));
        let json = "{\n\"a\": 1,\n\"b\": {\"a\": 2},\n\"a\": 3}";
        let lines = FieldLines::of(json, 1, &FieldPath::default());
        assert_eq!(lines.duplicate(), Some((&path("a"), 4)));
        assert!(
            FieldLines::of("a: [\n}", 1, &FieldPath::default())
                .duplicate()
                .is_none()
        );
    }
}
