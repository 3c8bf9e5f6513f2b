//! All sources of the house, each with its room.

use std::collections::BTreeSet;
use std::fs;

use super::modules::Crate;
use super::table::root;

pub struct House {
    pub main: Crate,
    /// The crates under `crates/`, by the room's name.
    pub crates: Vec<(String, Crate)>,
}

impl House {
    pub fn read() -> Self {
        let folders = fs::read_dir(root().join("crates"))
            .expect("crates")
            .flatten();
        let crates = folders.map(|folder| {
            // Rooms have the names of modules, which have no hyphens.
            let room = folder.file_name().to_string_lossy().replace('-', "_");
            (room, Crate::read(&folder.path().join("src/lib.rs")))
        });
        let mut crates: Vec<_> = crates.collect();
        crates.sort_by(|a, b| a.0.cmp(&b.0));
        Self {
            main: Crate::read(&root().join("src/lib.rs")),
            crates,
        }
    }

    pub fn rooms(&self) -> BTreeSet<String> {
        let crates = self.crates.iter().map(|(room, _)| room.clone());
        let modules = self.main.modules[0].children.keys().cloned();
        crates.chain(modules).collect()
    }

    /// Every file of every room, with the room and the crate. The root of the main crate is of no room.
    pub fn files(&self) -> Vec<(&str, &Crate, usize)> {
        let crates = self.crates.iter().flat_map(|(room, krate)| {
            (0..krate.files.len()).map(move |file| (room.as_str(), krate, file))
        });
        let rooms = self
            .main
            .files
            .iter()
            .enumerate()
            .skip(1)
            .map(|(at, file)| {
                let room = &self.main.modules[file.module].name[0];
                (room.as_str(), &self.main, at)
            });
        crates.chain(rooms).collect()
    }
}

/// What a file names, each path from a crate's root on, with the line.
pub fn absolute_paths(krate: &Crate, file: usize) -> Vec<(Vec<String>, usize)> {
    let mut found = Vec::new();
    for (scope, module) in krate.modules.iter().enumerate() {
        if module.file != file {
            continue;
        }
        let declared = module.uses.iter().map(|u| {
            let mut path = krate.absolute(scope, &u.path);
            if u.name == "*" {
                path.push("*".to_owned());
            }
            (path, u.line)
        });
        let named = module
            .named
            .iter()
            .filter(|n| n.path.len() > 1)
            .map(|n| (krate.absolute(scope, &n.path), n.line));
        found.extend(declared.chain(named));
    }
    found
}
