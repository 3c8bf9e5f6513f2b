//! Circles of files: files that need each other, so that none can be understood without all.
//!
//! A file uses another if it names something that the other defines. A parent that only declares
//! (`mod child;`) or re-exports (`pub use child::Item;`) does not use the child, and who names
//! `parent::Item` uses the child. Methods are not followed: their type is what is named.

use std::collections::{BTreeMap, BTreeSet};

use super::modules::{Crate, Module};
use super::names::Target;

/// Files by number; for each pair the first line that makes the use, as written.
pub type Edges = BTreeMap<(usize, usize), String>;

pub fn edges(krate: &Crate) -> Edges {
    let mut edges = Edges::new();
    for (scope, module) in krate.modules.iter().enumerate() {
        for (path, line) in used_paths(module) {
            for target in krate.resolve(scope, path) {
                let (Target::Item(to) | Target::Unknown(to)) = target else {
                    continue;
                };
                let to = krate.modules[to].file;
                if to != module.file {
                    edges
                        .entry((module.file, to))
                        .or_insert_with(|| format!("line {line}: {}", path.join("::")));
                }
            }
        }
    }
    edges
}

/// What a module uses. A re-exported name counts where the module's own code names it.
fn used_paths(module: &Module) -> Vec<(&[String], usize)> {
    let declared = module
        .uses
        .iter()
        .filter(|u| !u.is_public && u.name != "*")
        .map(|u| (&u.path[..], u.line));
    let has_globs = module.uses.iter().any(|u| u.name == "*");
    let reexported: BTreeSet<&str> = module
        .uses
        .iter()
        .filter(|u| u.is_public)
        .map(|u| u.name.as_str())
        .collect();
    let named = module
        .named
        .iter()
        .filter(|n| n.path.len() > 1 || has_globs || reexported.contains(n.path[0].as_str()))
        .map(|n| (&n.path[..], n.line));
    declared.chain(named).collect()
}

/// The sets of more than one file in which every file reaches every other.
pub fn circles(files: usize, edges: &Edges) -> Vec<BTreeSet<usize>> {
    let mut reached: Vec<BTreeSet<usize>> = Vec::new();
    for start in 0..files {
        let mut seen = BTreeSet::new();
        let mut open = vec![start];
        while let Some(from) = open.pop() {
            let next = edges.range((from, 0)..=(from, usize::MAX));
            open.extend(next.map(|((_, to), _)| *to).filter(|to| seen.insert(*to)));
        }
        reached.push(seen);
    }
    let mutual = |file: usize| -> BTreeSet<usize> {
        let back = |other: &usize| reached[*other].contains(&file);
        reached[file].iter().copied().filter(back).collect()
    };
    let sets: BTreeSet<BTreeSet<usize>> = (0..files).map(mutual).collect();
    sets.into_iter().filter(|set| set.len() > 1).collect()
}

/// The files of a circle and what each uses of the others.
pub fn describe(krate: &Crate, edges: &Edges, circle: &BTreeSet<usize>) -> String {
    let name = |file: usize| krate.files[file].path.display();
    let mut lines = vec![format!("{} files use each other:", circle.len())];
    for from in circle {
        lines.push(format!("  {}", name(*from)));
        for ((_, to), why) in edges.range((*from, 0)..=(*from, usize::MAX)) {
            if circle.contains(to) {
                lines.push(format!("    -> {} ({why})", name(*to)));
            }
        }
    }
    lines.join("\n")
}
