//! The rooms of ARCHITECTURE.md, checked against the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What may not stand below the wall, with the reason.
const ABOVE_THE_WALL_ONLY: [(&str, &str); 14] = [
    ("std::fs", "files"),
    ("std::env", "environment"),
    ("std::thread", "threads"),
    ("std::process", "processes"),
    ("TcpStream", "sockets"),
    ("UdpSocket", "sockets"),
    ("SystemTime", "a clock"),
    ("Instant::now", "a clock"),
    ("Timestamp::now", "a clock"),
    ("async fn", "async"),
    ("tokio::", "async"),
    ("kube::", "a Kubernetes client"),
    ("println!", "printing"),
    ("eprint", "printing"),
];

struct Row {
    floor: u32,
    may_use: BTreeSet<String>,
}

fn table() -> BTreeMap<String, Row> {
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

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Modules that a file declares for tests only.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let folder = path.with_extension("");
    let after = text.split("#[cfg(test)]").skip(1);
    after
        .filter_map(|rest| {
            let line = rest.trim_start().lines().next()?;
            let name = line.strip_suffix(';')?.split(' ').next_back()?;
            line.contains("mod ")
                .then(|| folder.join(format!("{name}.rs")))
        })
        .collect()
}

/// Every source file with its room; those that only tests compile are left out.
fn sources() -> Vec<(String, PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("src").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let inside = path.strip_prefix(root().join("src")).expect("inside src");
                let first = inside.components().next().expect("a name").as_os_str();
                let room = first.to_string_lossy().trim_end_matches(".rs").to_string();
                let text = fs::read_to_string(&path).expect("a source file");
                files.push((room, path, text));
            }
        }
    }
    let for_tests: Vec<PathBuf> = files
        .iter()
        .flat_map(|(_, path, text)| test_modules(path, text))
        .collect();
    files.retain(|(room, path, _)| room != "lib" && room != "main" && !for_tests.contains(path));
    files.sort();
    files
}

/// The rooms that a line of code names, as `crate::room` or in `use crate::{a, b::c}`.
fn rooms_named(code: &str, rooms: &BTreeMap<String, Row>) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let list = rest
            .strip_prefix('{')
            .and_then(|inner| inner.split_once("};"))
            .map(|(l, _)| l);
        let heads: Vec<&str> = match list {
            Some(list) => list.split(',').collect(),
            None => vec![rest],
        };
        for head in heads {
            let word: String = head
                .trim()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if rooms.contains_key(&word) {
                named.insert(word);
            }
        }
    }
    named
}

fn without_comments(text: &str) -> String {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn every_room_is_in_the_table_and_every_row_is_a_room() {
    let rooms: BTreeSet<String> = sources().into_iter().map(|(room, _, _)| room).collect();
    let rows: BTreeSet<String> = table().into_keys().collect();
    assert_eq!(rooms, rows);
}

#[test]
fn no_room_reaches_where_it_may_not() {
    let table = table();
    let mut wrong = Vec::new();
    for (room, path, text) in sources() {
        for named in rooms_named(&without_comments(&text), &table) {
            if named != room && !table[&room].may_use.contains(&named) {
                wrong.push(format!("{} ({room}) uses {named}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rooms_use_only_rooms_below_them() {
    let table = table();
    for (room, row) in &table {
        for used in &row.may_use {
            assert!(
                table[used].floor <= row.floor && !table[used].may_use.contains(room),
                "{room} may not use {used}: it is above or beside it"
            );
        }
    }
    assert!(!table["policy"].may_use.contains("evaluate"));
    assert!(!table["evaluate"].may_use.contains("policy"));
    assert!(!table["flow"].may_use.contains("inventory"));
    assert!(!table["inventory"].may_use.contains("flow"));
}

#[test]
fn below_the_wall_there_is_no_file_no_clock_and_no_printing() {
    let table = table();
    let mut wrong = Vec::new();
    for (room, path, text) in sources() {
        if table[&room].floor > 3 {
            continue;
        }
        let code = without_comments(text.split("#[cfg(test)]").next().unwrap_or_default());
        // A derive that writes schemas; it knows no client.
        let code = code.replace("kube::CustomResource", "");
        for (token, what) in ABOVE_THE_WALL_ONLY {
            if code.contains(token) {
                wrong.push(format!("{}: {token} ({what})", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_cli_prints() {
    for (room, path, text) in sources() {
        let code = without_comments(text.split("#[cfg(test)]").next().unwrap_or_default());
        let prints = ["println!", "print!(", "eprint"]
            .iter()
            .any(|token| code.contains(token));
        assert!(room == "cli" || !prints, "{} prints", path.display());
    }
}
