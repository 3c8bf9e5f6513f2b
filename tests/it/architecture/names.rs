//! Where a path leads: through `mod`, `use` and re-exports to the module that defines the item.

use super::modules::Crate;

/// What a path names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    Module(usize),
    /// An item that this module defines.
    Item(usize),
    /// A name that this module does not show in its text; a macro may make it there.
    Unknown(usize),
}

/// A path through more names than this leads in a circle.
const DEEPEST: u32 = 24;

impl Crate {
    /// What `path` names where it stands in `scope`. Nothing if it leads out of the crate.
    pub fn resolve(&self, scope: usize, path: &[String]) -> Vec<Target> {
        self.resolve_within(scope, path, DEEPEST)
    }

    fn resolve_within(&self, scope: usize, path: &[String], depth: u32) -> Vec<Target> {
        if depth == 0 {
            return Vec::new();
        }
        let mut from = scope;
        let mut rest = path;
        while let Some((first, after)) = rest.split_first() {
            from = match first.as_str() {
                "crate" => 0,
                "self" => from,
                "super" => self.modules[from].parent.unwrap_or(from),
                _ => break,
            };
            rest = after;
        }
        let found = self.walk(from, rest, depth);
        let is_relative = rest.len() < path.len();
        if !is_relative && found == [Target::Unknown(scope)] {
            // Another crate's name, or a local one.
            return Vec::new();
        }
        found
    }

    fn walk(&self, at: usize, path: &[String], depth: u32) -> Vec<Target> {
        let Some((name, rest)) = path.split_first() else {
            return vec![Target::Module(at)];
        };
        let module = &self.modules[at];
        let child = module.children.get(name).copied();
        if let Some(child) = child.filter(|_| !rest.is_empty()) {
            return self.walk(child, rest, depth);
        }
        let mut found = Vec::new();
        if module.items.contains(name) {
            found.push(Target::Item(at));
        }
        let mut is_imported = false;
        for import in module.uses.iter().filter(|import| import.name == *name) {
            is_imported = true;
            for target in self.resolve_within(at, &import.path, depth - 1) {
                match target {
                    Target::Module(module) => found.extend(self.walk(module, rest, depth - 1)),
                    item => found.push(item),
                }
            }
        }
        if found.is_empty() && !is_imported {
            found.extend(child.map(Target::Module));
        }
        if found.is_empty() && !is_imported {
            found.extend(self.through_globs(at, path, depth));
        }
        if found.is_empty() && !is_imported {
            found.push(Target::Unknown(at));
        }
        found
    }

    fn through_globs(&self, at: usize, path: &[String], depth: u32) -> Vec<Target> {
        let globs = self.modules[at].uses.iter().filter(|u| u.name == "*");
        globs
            .flat_map(|glob| self.resolve_within(at, &glob.path, depth - 1))
            .filter_map(|target| match target {
                Target::Module(module) if module != at && depth > 1 => Some(module),
                _ => None,
            })
            .flat_map(|module| self.walk(module, path, depth - 1))
            .filter(|target| !matches!(target, Target::Unknown(_)))
            .collect()
    }

    /// The path from the crate's root (`crate`, …) or from another crate's name on, with what its
    /// first name stands for in `scope`.
    pub fn absolute(&self, scope: usize, path: &[String]) -> Vec<String> {
        self.absolute_within(scope, path, DEEPEST)
    }

    fn absolute_within(&self, scope: usize, path: &[String], depth: u32) -> Vec<String> {
        let module = &self.modules[scope];
        let Some((first, rest)) = path.split_first().filter(|_| depth > 0) else {
            return path.to_vec();
        };
        let at = |module: usize| {
            let mut full = vec!["crate".to_owned()];
            full.extend(self.modules[module].name.iter().cloned());
            full
        };
        let alias = module
            .uses
            .iter()
            .find(|u| u.name == *first && u.path != path);
        let mut full = match (first.as_str(), alias) {
            ("crate", _) => return path.to_vec(),
            ("", _) => return rest.to_vec(),
            ("self", _) => at(scope),
            ("super", _) => {
                let parent = module.parent.unwrap_or(scope);
                if rest.first().is_some_and(|next| next == "super") {
                    return self.absolute_within(parent, rest, depth - 1);
                }
                at(parent)
            }
            (_, Some(alias)) => self.absolute_within(scope, &alias.path, depth - 1),
            _ if module.children.contains_key(first) => {
                let mut full = at(scope);
                full.push(first.clone());
                full
            }
            _ => vec![first.clone()],
        };
        full.extend(rest.iter().cloned());
        full
    }
}
