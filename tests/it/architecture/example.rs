//! Crates that exist as text only, for the tests of this folder.

use std::path::{Path, PathBuf};

use super::circles::{circles, edges};
use super::modules::Crate;

fn example(files: &[(&str, &str)]) -> Crate {
    Crate::read_with(Path::new("lib.rs"), &|path| {
        let mut found = files.iter().filter(|(name, _)| Path::new(name) == path);
        found.next().map(|(_, text)| (*text).to_owned())
    })
}

fn arrows(files: &[(&str, &str)]) -> Vec<String> {
    let krate = example(files);
    let name = |file: usize| {
        krate.files[file]
            .path
            .with_extension("")
            .display()
            .to_string()
    };
    let edges = edges(&krate);
    edges
        .keys()
        .map(|(a, b)| format!("{} -> {}", name(*a), name(*b)))
        .collect()
}

#[test]
fn only_files_that_a_production_build_compiles_are_read() {
    let krate = example(&[
        ("lib.rs", "#[cfg(test)] mod tests; mod a; mod b { mod c; }"),
        ("a.rs", "mod d;"),
        ("a/d/mod.rs", ""),
        ("b/c.rs", ""),
        ("tests.rs", "mod more;"),
    ]);
    let mut paths: Vec<PathBuf> = krate.files.into_iter().map(|file| file.path).collect();
    paths.sort();
    let expected = ["a/d/mod.rs", "a.rs", "b/c.rs", "lib.rs"];
    assert_eq!(paths, expected.map(PathBuf::from));
}

#[test]
fn declaring_and_reexporting_a_child_is_no_use_of_it() {
    let files = [
        ("lib.rs", "mod a;"),
        ("a.rs", "mod b; pub use b::B; pub struct A;"),
        ("a/b.rs", "use super::A; pub struct B(A);"),
    ];
    assert_eq!(arrows(&files), ["a/b -> a"]);
}

#[test]
fn a_parent_that_names_what_it_reexports_uses_it() {
    let files = [
        ("lib.rs", "mod a;"),
        ("a.rs", "mod b; pub use b::B; pub struct A(B);"),
        ("a/b.rs", "pub struct B;"),
    ];
    assert_eq!(arrows(&files), ["a -> a/b"]);
}

#[test]
fn a_field_or_a_method_of_the_same_name_is_no_use_of_what_is_reexported() {
    let files = [
        ("lib.rs", "mod a;"),
        (
            "a.rs",
            "mod b; pub use b::b; struct A { b: u8 } impl A { fn b(&self) { self.b() } }",
        ),
        ("a/b.rs", "pub fn b() {}"),
    ];
    assert!(arrows(&files).is_empty());
}

#[test]
fn a_use_leads_to_the_file_that_defines_the_item() {
    let files = [
        ("lib.rs", "mod a; mod e; pub use a::B as Renamed;"),
        ("a.rs", "mod b; mod c; mod d; pub use b::{B, b}; use c::*;"),
        ("a/b.rs", "pub struct B; pub fn b() {}"),
        ("a/c.rs", "pub const C: u8 = 1;"),
        ("a/d.rs", "use super::{B, C}; fn d() -> B { C }"),
        (
            "e.rs",
            "use crate::{a, Renamed}; fn e() { a::b(); super::a::b::b(); let x = Renamed; }",
        ),
    ];
    assert_eq!(arrows(&files), ["a/d -> a/b", "a/d -> a/c", "e -> a/b"]);
}

#[test]
fn paths_in_code_and_names_made_by_macros_are_uses() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c;"),
        (
            "a.rs",
            "fn a() { super::b::made_by_macro(); crate::c::inner::C::new() }",
        ),
        ("b.rs", "macro_rules! make { () => {} } make!();"),
        ("c.rs", "pub mod inner { pub struct C; }"),
    ];
    assert_eq!(arrows(&files), ["a -> b", "a -> c"]);
}

#[test]
fn names_of_other_crates_are_no_uses() {
    let files = [
        ("lib.rs", "mod a; mod serde;"),
        (
            "a.rs",
            "use ::serde::S; use std::b; fn a() { b::c(); Vec::<u8>::new(); T::x() }",
        ),
        ("serde.rs", "pub struct S; pub struct T;"),
    ];
    assert!(arrows(&files).is_empty());
}

#[test]
fn a_circle_is_found_whole_and_apart_from_its_neighbours() {
    let krate = example(&[
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "use super::b::B; pub struct A;"),
        ("b.rs", "use super::c::C; pub struct B;"),
        ("c.rs", "use super::a::A; use super::d::D; pub struct C;"),
        ("d.rs", "pub struct D;"),
    ]);
    let found = circles(krate.files.len(), &edges(&krate));
    let names: Vec<Vec<String>> = found
        .iter()
        .map(|set| {
            set.iter()
                .map(|f| krate.files[*f].path.display().to_string())
                .collect()
        })
        .collect();
    assert_eq!(names, [["a.rs", "b.rs", "c.rs"]]);
}

#[test]
fn a_path_is_read_from_the_root_whatever_it_is_called_here() {
    let krate = example(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "mod c;"),
        (
            "a/c.rs",
            "use crate as root; use std as s; use super::super::b as other; mod d {}",
        ),
        ("b.rs", ""),
    ]);
    let scope = krate
        .files
        .iter()
        .find(|f| f.path == Path::new("a/c.rs"))
        .expect("a/c.rs")
        .module;
    let absolute = |path: &str| {
        let parts: Vec<String> = path.split("::").map(str::to_owned).collect();
        krate.absolute(scope, &parts).join("::")
    };
    assert_eq!(absolute("super::super::b::X"), "crate::b::X");
    assert_eq!(absolute("super::e"), "crate::a::e");
    assert_eq!(absolute("self::e"), "crate::a::c::e");
    assert_eq!(absolute("d::e"), "crate::a::c::d::e");
    assert_eq!(absolute("root::b::X"), "crate::b::X");
    assert_eq!(absolute("s::fs::read"), "std::fs::read");
    assert_eq!(absolute("other::X"), "crate::b::X");
    assert_eq!(absolute("nanoseg_b::X"), "nanoseg_b::X");
}
