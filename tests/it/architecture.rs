//! The rooms of ARCHITECTURE.md, checked against the sources and against what cargo resolves.

mod circles;
mod crates;
mod cut;
mod example;
mod house;
mod lexer;
mod modules;
mod names;
mod paths;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::LazyLock;

use circles::{circles, describe, edges};
use crates::Crates;
use house::{House, absolute_paths};
use modules::{Crate, File};
use table::{Row, WALL, root, table};

/// What may not stand below the wall, with the reason.
const ABOVE_THE_WALL_ONLY: [(&str, &str); 16] = [
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
    ("async move", "async"),
    ("tokio::", "async"),
    ("kube::", "a Kubernetes client"),
    ("println!", "printing"),
    ("print!(", "printing"),
    ("eprint", "printing"),
];

/// The same as paths, however a `use` takes them apart or renames them.
const PATHS_ABOVE_THE_WALL_ONLY: [(&[&str], &str); 15] = [
    (&["std", "fs"], "files"),
    (&["std", "os"], "files"),
    (&["std", "env"], "environment"),
    (&["std", "thread"], "threads"),
    (&["std", "process"], "processes"),
    (&["std", "io", "stderr"], "printing"),
    (&["std", "io", "stdin"], "files"),
    (&["std", "io", "stdout"], "printing"),
    (&["std", "net", "TcpListener"], "sockets"),
    (&["std", "net", "TcpStream"], "sockets"),
    (&["std", "net", "UdpSocket"], "sockets"),
    (&["std", "time", "SystemTime"], "a clock"),
    (&["std", "time", "Instant"], "a clock"),
    (&["tokio"], "async"),
    (&["kube"], "a Kubernetes client"),
];

/// Packages that nothing below the wall is built with.
const PACKAGES_ABOVE_THE_WALL_ONLY: [&str; 6] =
    ["tokio", "kube", "tonic", "rusqlite", "axum", "async-nats"];

/// Rooms of which neither may use the other, not even by way of a third.
const APART: [(&str, &str); 2] = [("policy", "evaluate"), ("flow", "inventory")];

/// More files than this in a circle cannot be understood one by one.
const LARGEST_CIRCLE: usize = 5;

/// Circles that may be larger, by folder, with the reason.
const RECURSIONS: [(&str, &str); 1] = [(
    "crates/flow/src/decode",
    "a tunnel's payload is a packet again, with link layer, addresses and transport",
)];

/// Read once for all tests.
fn house() -> &'static House {
    static HOUSE: LazyLock<House> = LazyLock::new(House::read);
    &HOUSE
}

/// The rooms that a file names, as `crate::room` or as `nanoseg_room`.
fn rooms_named(
    krate: &Crate,
    file: usize,
    rooms: &BTreeMap<String, Row>,
) -> BTreeSet<(String, usize)> {
    let mut named = BTreeSet::new();
    for (path, line) in absolute_paths(krate, file) {
        let room = match path[0].as_str() {
            "crate" => path.get(1).map(String::as_str),
            other => other.strip_prefix("nanoseg_"),
        };
        let is_room = |room: &&str| rooms.contains_key(*room) || *room == "*";
        if let Some(room) = room.filter(is_room) {
            named.insert((room.to_owned(), line));
        }
    }
    named
}

#[test]
fn every_room_is_in_the_table_and_every_row_is_a_room() {
    let rows: BTreeSet<String> = table().into_keys().collect();
    assert_eq!(house().rooms(), rows);
}

#[test]
fn every_folder_under_crates_is_a_crate_of_the_workspace() {
    let folders: BTreeSet<String> = house()
        .crates
        .iter()
        .map(|(room, _)| room.clone())
        .collect();
    let members: BTreeSet<String> = Crates::read().declared.into_keys().collect();
    assert_eq!(folders, members);
}

#[test]
fn no_room_reaches_where_it_may_not() {
    let table = table();
    let house = house();
    let mut wrong = Vec::new();
    for (at, file) in house.main.files.iter().enumerate().skip(1) {
        let room = &house.main.modules[file.module].name[0];
        for (named, line) in rooms_named(&house.main, at, &table) {
            if named != *room && !table[room].may_use.contains(&named) {
                wrong.push(format!(
                    "{}:{line} ({room}) uses {named}",
                    file.path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_row_of_a_crate_is_what_its_manifest_depends_on() {
    let table = table();
    let declared = Crates::read().declared;
    let rows: BTreeMap<&String, &BTreeSet<String>> = table
        .iter()
        .filter(|(room, _)| declared.contains_key(*room))
        .map(|(room, row)| (room, &row.may_use))
        .collect();
    assert_eq!(rows, declared.iter().collect());
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
fn rooms_that_stand_apart_are_not_built_with_each_other() {
    let crates = Crates::read();
    for (one, other) in APART {
        for (room, apart) in [(one, other), (other, one)] {
            let built_with = crates.closure(room);
            assert!(
                !built_with.contains(format!("nanoseg-{apart}").as_str()),
                "{room} depends on {apart}"
            );
        }
    }
}

#[test]
fn no_crate_below_the_wall_is_built_with_a_client_a_server_or_a_database() {
    let table = table();
    let crates = Crates::read();
    let mut wrong = Vec::new();
    for room in crates.declared.keys() {
        if table.get(room).is_some_and(|row| row.floor > WALL) {
            continue;
        }
        let built_with = crates.closure(room);
        for package in PACKAGES_ABOVE_THE_WALL_ONLY {
            if built_with.contains(package) {
                wrong.push(format!("{room} is built with {package}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The facts can be read: above the wall they are otherwise.
    assert!(crates.closure("wire").contains("tokio"));
}

/// `cargo clippy` refuses clocks, files and printing by what a name resolves to, which a text cannot show.
#[test]
fn every_crate_below_the_wall_has_the_same_lints() {
    let table = table();
    let mut lints: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (room, _) in &house().crates {
        if table.get(room).is_some_and(|row| row.floor <= WALL) {
            let path = root()
                .join("crates")
                .join(room.replace('_', "-"))
                .join("clippy.toml");
            let text = fs::read_to_string(&path).unwrap_or_default();
            lints.entry(text).or_default().push(room);
        }
    }
    let rooms: Vec<_> = lints.values().collect();
    assert_eq!(rooms.len(), 1, "crates by their clippy.toml: {rooms:?}");
    assert!(
        lints
            .keys()
            .all(|text| text.contains("std::time::SystemTime::now"))
    );
}

#[test]
fn below_the_wall_there_is_no_file_no_clock_and_no_printing() {
    let table = table();
    let house = house();
    let mut wrong = Vec::new();
    for (room, krate, file) in house.files() {
        if table[room].floor > WALL {
            continue;
        }
        let File { path, code, .. } = &krate.files[file];
        for (token, what) in ABOVE_THE_WALL_ONLY {
            if code.contains(token) {
                wrong.push(format!("{}: {token} ({what})", path.display()));
            }
        }
        for (named, line) in absolute_paths(krate, file) {
            for (forbidden, what) in PATHS_ABOVE_THE_WALL_ONLY {
                if named
                    .iter()
                    .map(String::as_str)
                    .take(forbidden.len())
                    .eq(forbidden.iter().copied())
                {
                    wrong.push(format!(
                        "{}:{line}: {} ({what})",
                        path.display(),
                        named.join("::")
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_cli_prints() {
    let house = house();
    for (room, krate, file) in house.files() {
        let File { path, code, .. } = &krate.files[file];
        let prints = ["println!", "print!(", "eprint", "dbg!"]
            .iter()
            .any(|token| code.contains(token));
        assert!(room == "cli" || !prints, "{} prints", path.display());
    }
}

#[test]
fn no_circle_of_files_is_large() {
    let house = house();
    let crates = house.crates.iter().map(|(_, krate)| krate);
    let mut wrong = Vec::new();
    for krate in crates.chain([&house.main]) {
        let edges = edges(krate);
        for circle in circles(krate.files.len(), &edges) {
            let is_known = RECURSIONS.iter().any(|(folder, _)| {
                let folder = root().join(folder);
                let is_inside = |file: &usize| {
                    let path = &krate.files[*file].path;
                    path.starts_with(&folder) || *path == folder.with_extension("rs")
                };
                circle.iter().all(is_inside)
            });
            if circle.len() > LARGEST_CIRCLE && !is_known {
                wrong.push(describe(krate, &edges, &circle));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_path_of_the_page_exists() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let is_path = |word: &&str| {
        let folders = ["src/", "crates/", "tests/", "docs/"];
        folders.iter().any(|folder| word.starts_with(folder))
    };
    let missing: Vec<&str> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(is_path)
        .filter(|path| !root().join(path).exists())
        .collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names {missing:?}");
}
