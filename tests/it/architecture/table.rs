//! The table of rooms in ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

pub struct Row {
    pub floor: u32,
    pub may_use: BTreeSet<String>,
}

/// The last floor below the wall.
pub const WALL: u32 = 3;

pub fn table() -> BTreeMap<String, Row> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let names = |cell: &str| -> BTreeSet<String> {
        cell.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    let start = text.find("| floor | room |").expect("the table of rooms");
    text[start..]
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let floor = cells[1]
                .trim_end_matches(char::is_alphabetic)
                .parse()
                .expect("a floor");
            let room = names(cells[2]).pop_first().expect("a room");
            (
                room,
                Row {
                    floor,
                    may_use: names(cells[3]),
                },
            )
        })
        .collect()
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
