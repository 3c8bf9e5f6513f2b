//! The crates of the workspace and what each depends on, as cargo resolves it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use super::table::root;

/// The crates of the rooms, by the room's name, and all that is built with them.
pub struct Crates {
    /// What each room's Cargo.toml lists under `[dependencies]`, optional ones too: rooms only.
    pub declared: BTreeMap<String, BTreeSet<String>>,
    /// What a build of each package uses directly on this platform; tests use more.
    resolved: BTreeMap<String, BTreeSet<String>>,
}

impl Crates {
    pub fn read() -> Self {
        let metadata = metadata();
        let packages = metadata["packages"].as_array().expect("packages");
        let declared = packages
            .iter()
            .filter_map(|package| {
                let name = room(text(&package["name"]))?;
                let dependencies = package["dependencies"].as_array().expect("dependencies");
                let rooms = dependencies
                    .iter()
                    .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
                    .filter_map(|dependency| room(text(&dependency["name"])));
                Some((name, rooms.collect()))
            })
            .collect();
        let names: BTreeMap<&str, &str> = packages
            .iter()
            .map(|package| (text(&package["id"]), text(&package["name"])))
            .collect();
        let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes");
        let mut resolved: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in nodes {
            let uses = resolved.entry(names[text(&node["id"])].to_owned());
            let dependencies = node["deps"].as_array().expect("deps").iter();
            let built = dependencies.filter(|dependency| {
                let kinds = dependency["dep_kinds"].as_array().expect("dep_kinds");
                kinds
                    .iter()
                    .any(|kind| kind["kind"].as_str() != Some("dev"))
            });
            let built = built.map(|dependency| names[text(&dependency["pkg"])].to_owned());
            uses.or_default().extend(built);
        }
        Self { declared, resolved }
    }

    /// All packages that a build of the room's crate uses, directly or not.
    pub fn closure(&self, room: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open = vec![format!("nanoseg-{}", room.replace('_', "-"))];
        while let Some(package) = open.pop() {
            for used in &self.resolved[&package] {
                if found.insert(used.as_str()) {
                    open.push(used.clone());
                }
            }
        }
        found
    }
}

/// Rooms have the names of modules, which have no hyphens.
fn room(package: &str) -> Option<String> {
    let room = package.strip_prefix("nanoseg-")?;
    Some(room.replace('-', "_"))
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// For this platform alone: a clone that built for it has no other platform's packages.
fn metadata() -> Value {
    let version = run(Command::new("rustc").arg("-vV"));
    let version = String::from_utf8(version).expect("text");
    let mut lines = version.lines();
    let host = lines.find_map(|line| line.strip_prefix("host: "));
    let output = run(Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", host.expect("a host")])
        .current_dir(root()));
    serde_json::from_slice(&output).expect("JSON")
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("a program of the toolchain");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    output.stdout
}
