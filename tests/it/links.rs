//! Links in documents and in comments of manifests lead somewhere. Without a network: other hosts are not asked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files of the repository with one of these ends. Data of tests, what tests compare with and what is made by a build are
/// left out.
fn files(ends: &[&str]) -> Vec<PathBuf> {
    let left_out = [
        "target",
        ".git",
        "policies-out",
        "tests/data",
        "tests/scenarios",
        "tests/go",
    ];
    let mut left = vec![PathBuf::new()];
    let mut files = Vec::new();
    while let Some(path) = left.pop() {
        if left_out.iter().any(|out| path == Path::new(out)) {
            continue;
        }
        let full = root().join(&path);
        if full.is_dir() && !full.is_symlink() {
            let entries = std::fs::read_dir(&full).expect("a folder");
            left.extend(entries.map(|entry| path.join(entry.expect("an entry").file_name())));
        } else if ends.iter().any(|end| path.to_string_lossy().ends_with(end))
            && !path.ends_with("golden.md")
        {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_default()
}

/// A path without `.` and `..`. `None` if it leaves the repository.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => normal.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !normal.pop() {
                    return None;
                }
            }
            _ => return None,
        }
    }
    Some(normal)
}

/// The headings of a document, as text.
fn headings(text: &str) -> Vec<String> {
    let mut is_code = false;
    let mut all = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if !is_code && line.starts_with('#') {
            all.push(line.trim_start_matches('#').trim().to_owned());
        }
    }
    all
}

/// The anchors that GitHub gives to the headings: lower case, spaces to hyphens, other marks away, repeated ones numbered.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut all = BTreeSet::new();
    for heading in headings(text) {
        let plain = heading.to_lowercase();
        let anchor: String = plain
            .chars()
            .filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                _ => None,
            })
            .collect();
        let count = seen.entry(anchor.clone()).or_default();
        let suffix = if *count == 0 {
            String::new()
        } else {
            format!("-{count}")
        };
        *count += 1;
        all.insert(format!("{anchor}{suffix}"));
    }
    for anchor in text
        .split("<a name=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
    {
        all.insert(anchor.to_owned());
    }
    all
}

/// What is wrong with a link of a file: it leads nowhere, or its file has no such heading.
fn wrong_link(from: &Path, link: &str) -> Option<String> {
    let (path, anchor) = link
        .split_once('#')
        .map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let folder = from.parent().unwrap_or(Path::new(""));
    let target = match path {
        "" => from.to_owned(),
        path => {
            let Some(target) = normal(&folder.join(path)) else {
                return Some(format!("{}: {link} leaves the repository", from.display()));
            };
            target
        }
    };
    if !root().join(&target).exists() {
        return Some(format!(
            "{}: {link}: there is no {}",
            from.display(),
            target.display()
        ));
    }
    let anchor = anchor?;
    let has = anchors(&read(&target)).contains(anchor);
    (!has).then(|| {
        format!(
            "{}: {link}: {} has no such heading",
            from.display(),
            target.display()
        )
    })
}

/// Links in Markdown, outside of code: `[text](link)` and `[text]: link`.
fn markdown_links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut is_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        // What is between backticks is no link.
        let parts = line.split('`').enumerate();
        let plain: String = parts
            .filter(|(at, _)| at % 2 == 0)
            .map(|(_, part)| part)
            .collect::<Vec<_>>()
            .join("x");
        for rest in plain.split("](").skip(1) {
            let link = rest.split([')', ' ']).next().unwrap_or_default();
            links.push(link.to_owned());
        }
        let named = plain.split_once("]: ").filter(|_| plain.starts_with('['));
        let named = named.filter(|(name, _)| !name.contains(' '));
        links.extend(named.map(|(_, link)| link.trim().to_owned()));
    }
    links
}

#[test]
fn every_link_of_a_document_leads_to_a_file_and_a_heading() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for file in files(&[".md"]) {
        for link in markdown_links(&read(&file)) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            count += 1;
            wrong.extend(wrong_link(&file, &link));
        }
    }
    assert!(count > 50, "{count}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// In comments, help and messages a document is named by its path, with a heading after `#` or in quotes:
/// `docs/install.md`, `docs/install.md#two-replicas`, `docs/install.md, "Two replicas"`.
fn mentions(text: &str) -> Vec<(String, Option<String>)> {
    let mut all = Vec::new();
    for (at, _) in text.match_indices(".md") {
        let is_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        let start = text[..at].rfind(|c| !is_path(c)).map_or(0, |before| {
            before + text[before..].chars().next().map_or(1, char::len_utf8)
        });
        let rest = &text[at + 3..];
        if rest.starts_with(is_path) && !rest.starts_with('.') {
            continue;
        }
        let path = &text[start..at + 3];
        let heading = match rest.strip_prefix('#') {
            Some(anchor) => {
                let end = anchor.find(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_'));
                Some(format!("#{}", &anchor[..end.unwrap_or(anchor.len())]))
            }
            None => {
                let quoted = rest
                    .strip_prefix(", \"")
                    .and_then(|rest| rest.split('"').next());
                quoted.map(str::to_owned)
            }
        };
        if path.len() > 3 {
            all.push((path.to_owned(), heading));
        }
    }
    all
}

#[test]
fn every_document_that_a_comment_names_is_there_with_its_heading() {
    let mut wrong = Vec::new();
    let mut count = 0;
    let ends = [
        ".yaml",
        ".conf",
        ".tpl",
        "NOTES.txt",
        "Containerfile",
        ".rs",
        ".md",
        ".json",
        ".toml",
        ".proto",
    ];
    for file in files(&ends) {
        // Tests make documents of their own.
        let is_test = file.starts_with("tests") || file.to_string_lossy().contains("test");
        if is_test || file.starts_with("samples") {
            continue;
        }
        let text = read(&file);
        // A comment may break the line before the heading.
        let text = text.replace(",\n# \"", ", \"").replace(",\n  # \"", ", \"");
        for (path, heading) in mentions(&text) {
            let Some(found) = place(&file, &path) else {
                if path.contains('/') && is_ours(&path) {
                    wrong.push(format!("{}: there is no {path}", file.display()));
                }
                continue;
            };
            count += 1;
            let document = read(&found);
            let is_there = match &heading {
                None => true,
                Some(heading) => match heading.strip_prefix('#') {
                    Some(anchor) => anchors(&document).contains(anchor),
                    None => headings(&document).iter().any(|one| one == heading),
                },
            };
            if !is_there {
                let heading = heading.unwrap_or_default();
                wrong.push(format!(
                    "{}: {path} has no heading {heading}",
                    file.display()
                ));
            }
        }
    }
    assert!(count > 30, "{count}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A path from the root of the repository, or from the folder of the file that names it.
fn place(file: &Path, path: &str) -> Option<PathBuf> {
    let beside = file.parent().unwrap_or(Path::new("")).join(path);
    let places = [PathBuf::from(path), beside];
    let mut places = places.iter().filter_map(|place| normal(place));
    places.find(|place| root().join(place).is_file())
}

/// Folders of the repository that documents are in.
fn is_ours(path: &str) -> bool {
    [
        "docs/", "deploy/", "benches/", "tests/", "samples/", "crates/",
    ]
    .iter()
    .any(|folder| path.starts_with(folder))
}

/// Paths below deploy/ in documents and in comments of manifests: files move.
#[test]
fn every_path_below_deploy_that_is_named_exists() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for file in files(&[".md", ".yaml", ".tpl", "NOTES.txt", ".conf"]) {
        if file.starts_with("tests") || file == Path::new("CHANGELOG.md") {
            continue;
        }
        let text = read(&file);
        let is_end = |c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c));
        for token in text.split(is_end) {
            let token = token.trim_end_matches(['.', '/', '-']);
            let Some(name) = token
                .strip_prefix("deploy/")
                .filter(|name| !name.is_empty())
            else {
                continue;
            };
            // kubectl's short name of Deployments.
            if name.starts_with("nanoseg-") {
                continue;
            }
            count += 1;
            if !root().join(token).exists() {
                wrong.push(format!("{}: {token}", file.display()));
            }
        }
    }
    assert!(count > 20, "{count}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn headings_become_anchors_as_on_github() {
    let text = "# A `b`: c, d\n```\n# no heading\n```\n## Same\n## Same\n";
    let wanted = ["a-b-c-d", "same", "same-1"].map(str::to_owned);
    assert_eq!(anchors(text), BTreeSet::from(wanted));
    let links = markdown_links("[a](b.md#c) `[x](y)` ![p](q.png)\n[r]: s.md\n");
    assert_eq!(links, ["b.md#c", "q.png", "s.md"]);
    let named = mentions("see docs/a.md, \"Two words\" and b.md#c-d. And x.mdx");
    let wanted = [("docs/a.md", Some("Two words")), ("b.md", Some("#c-d"))];
    let wanted = wanted.map(|(path, heading)| (path.to_owned(), heading.map(str::to_owned)));
    assert_eq!(named, wanted);
}
