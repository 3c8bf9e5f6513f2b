//! The modules of a crate as a production build sees them: from its root along every `mod`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::cut::production_code;
use super::paths::{Token, Use, path, tokens, use_declaration};

/// A source file without what only tests compile.
pub struct File {
    pub path: PathBuf,
    pub code: String,
    /// The module that the file is.
    pub module: usize,
}

/// A path that code names.
pub struct Named {
    pub path: Vec<String>,
    pub line: usize,
}

/// A module: a file, or a block in one.
pub struct Module {
    /// Names from the crate's root on; empty for the root.
    pub name: Vec<String>,
    pub file: usize,
    pub parent: Option<usize>,
    pub children: BTreeMap<String, usize>,
    /// Functions, types, constants and macros that the module itself defines.
    pub items: BTreeSet<String>,
    pub uses: Vec<Use>,
    pub named: Vec<Named>,
}

/// A crate. Its first module and its first file are the root.
pub struct Crate {
    pub files: Vec<File>,
    pub modules: Vec<Module>,
}

impl Crate {
    pub fn read(root: &Path) -> Self {
        Self::read_with(root, &|path| fs::read_to_string(path).ok())
    }

    /// Reads files with `source`, which returns nothing for a file that does not exist.
    pub fn read_with(root: &Path, source: &dyn Fn(&Path) -> Option<String>) -> Self {
        let mut krate = Self {
            files: Vec::new(),
            modules: Vec::new(),
        };
        let text = source(root).unwrap_or_else(|| panic!("no file {}", root.display()));
        krate.file(root, &text, Vec::new(), None, source);
        krate
    }

    fn file(
        &mut self,
        path: &Path,
        text: &str,
        name: Vec<String>,
        parent: Option<usize>,
        source: &dyn Fn(&Path) -> Option<String>,
    ) -> usize {
        let code = production_code(text);
        let tokens = tokens(&code);
        let module = self.modules.len();
        self.files.push(File {
            path: path.to_owned(),
            code,
            module,
        });
        self.module(name, self.files.len() - 1, parent);
        for (child, declared_in) in self.block(module, &tokens) {
            let (path, text) = self
                .candidates(declared_in, &child)
                .into_iter()
                .find_map(|path| source(&path).map(|text| (path, text)))
                .unwrap_or_else(|| panic!("no file for module {child} of {}", path.display()));
            let mut name = self.modules[declared_in].name.clone();
            name.push(child.clone());
            let id = self.file(&path, &text, name, Some(declared_in), source);
            self.modules[declared_in].children.insert(child, id);
        }
        module
    }

    fn module(&mut self, name: Vec<String>, file: usize, parent: Option<usize>) -> usize {
        self.modules.push(Module {
            name,
            file,
            parent,
            children: BTreeMap::new(),
            items: BTreeSet::new(),
            uses: Vec::new(),
            named: Vec::new(),
        });
        self.modules.len() - 1
    }

    /// Where the file of a child module can be.
    fn candidates(&self, parent: usize, child: &str) -> [PathBuf; 2] {
        let mut folder = self.files[0].path.with_file_name("");
        folder.extend(&self.modules[parent].name);
        [
            folder.join(child).with_extension("rs"),
            folder.join(child).join("mod.rs"),
        ]
    }

    /// Reads the code of one module; returns the modules with a file of their own and where they are
    /// declared.
    fn block(&mut self, module: usize, tokens: &[Token]) -> Vec<(String, usize)> {
        let mut elsewhere = Vec::new();
        let (mut at, mut depth) = (0, 0);
        while at < tokens.len() {
            let token = &tokens[at];
            let name = tokens.get(at + 1).filter(|next| next.is_name());
            match (token.text.as_str(), name) {
                ("use", _) if !tokens[at + 1].is("<") => {
                    let (declared, end) = use_declaration(tokens, at);
                    self.modules[module].uses.extend(declared);
                    at = end;
                    continue;
                }
                ("mod", Some(name)) if tokens[at + 2].is(";") => {
                    elsewhere.push((name.text.clone(), module));
                    at += 3;
                    continue;
                }
                ("mod", Some(name)) if tokens[at + 2].is("{") => {
                    let end = block_end(tokens, at + 2);
                    let mut full = self.modules[module].name.clone();
                    full.push(name.text.clone());
                    let child = self.module(full, self.modules[module].file, Some(module));
                    let inside = &tokens[at + 3..end - 1];
                    elsewhere.extend(self.block(child, inside));
                    self.modules[module]
                        .children
                        .insert(name.text.clone(), child);
                    at = end;
                    continue;
                }
                ("{" | "(" | "[", _) => depth += 1,
                ("}" | ")" | "]", _) => depth -= 1,
                (keyword, Some(name)) if depth == 0 && is_item(keyword) => {
                    if !is_modifier(&name.text) {
                        self.modules[module].items.insert(name.text.clone());
                        at += 1;
                    }
                    at += 1;
                    continue;
                }
                ("macro_rules", None) => {
                    let name = tokens[at + 2].text.clone();
                    self.modules[module].items.insert(name);
                    at += 3;
                    continue;
                }
                _ => {}
            }
            let (named, end) = named(tokens, at);
            self.modules[module].named.extend(named);
            at = end;
        }
        elsewhere
    }
}

/// The path at `at`, if it is one and not a name that is made here: `field: Type`, `fn name`, `let name`.
fn named(tokens: &[Token], at: usize) -> (Option<Named>, usize) {
    let (path, end) = path(tokens, at);
    let is_field = tokens.get(end).is_some_and(|next| next.is(":"));
    let is_declared = at > 0 && matches!(tokens[at - 1].text.as_str(), "fn" | "let" | "mut");
    let makes_name = end == at + 1 && (is_field || is_declared);
    let line = tokens[at].line;
    let named = path
        .filter(|_| !makes_name)
        .map(|path| Named { path, line });
    (named, end)
}

/// `const fn a` and `static mut A` are found at their second word.
fn is_modifier(word: &str) -> bool {
    matches!(word, "fn" | "mut" | "unsafe" | "async" | "extern")
}

fn is_item(keyword: &str) -> bool {
    matches!(
        keyword,
        "fn" | "mut" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static"
    )
}

fn block_end(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}
