//! A capture or flow log as an operator names it: a path, and perhaps the nodes that it is of (`FILE@NODE`).

use crate::inventory::Inventory;
use crate::load::LoadError;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Of which nodes a source is, by the word of the operator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SaidNodes {
    #[default]
    Unsaid,
    /// `@*`: it is of all nodes.
    All,
    /// `@NODE`, or `@NODE,NODE`.
    Nodes(BTreeSet<String>),
}

/// A path with what the operator says of its nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePath {
    pub path: PathBuf,
    pub nodes: SaidNodes,
}

impl SourcePath {
    /// A path of which nothing is said.
    pub fn unsaid(path: PathBuf) -> Self {
        SourcePath {
            path,
            nodes: SaidNodes::Unsaid,
        }
    }

    /// Paths of which nothing is said.
    pub fn unsaid_all(paths: &[PathBuf]) -> Vec<Self> {
        paths.iter().cloned().map(SourcePath::unsaid).collect()
    }

    /// Returns true if a file that was read is this one, or lies in this folder.
    pub fn covers(&self, file: &str) -> bool {
        Path::new(file).starts_with(&self.path)
    }

    /// Checks that the cluster has the nodes that are named.
    ///
    /// # Errors
    /// Names the node, and those that there are.
    pub fn check(&self, inventory: &Inventory) -> Result<(), LoadError> {
        let SaidNodes::Nodes(nodes) = &self.nodes else {
            return Ok(());
        };
        let known = inventory.node_names();
        match nodes.iter().find(|node| !known.contains(*node)) {
            None => Ok(()),
            Some(node) => Err(LoadError::UnknownNode {
                path: self.path.clone(),
                node: node.clone(),
                known: known.into_iter().collect::<Vec<_>>().join(", "),
            }),
        }
    }
}

impl FromStr for SourcePath {
    type Err = Infallible;

    /// `FILE`, `FILE@NODE`, `FILE@NODE,NODE` or `FILE@*`. A file that exists under the whole text is that file.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let whole = || SourcePath::unsaid(PathBuf::from(text));
        let Some((path, nodes)) = text.rsplit_once('@') else {
            return Ok(whole());
        };
        let is_node = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
        };
        let nodes = match nodes {
            "*" => SaidNodes::All,
            names if names.split(',').all(is_node) => {
                SaidNodes::Nodes(names.split(',').map(str::to_owned).collect())
            }
            _ => return Ok(whole()),
        };
        if path.is_empty() || Path::new(text).exists() {
            return Ok(whole());
        }
        let path = PathBuf::from(path);
        Ok(SourcePath { path, nodes })
    }
}

/// The paths alone.
pub fn paths(sources: &[SourcePath]) -> Vec<PathBuf> {
    sources.iter().map(|source| source.path.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (String, SaidNodes) {
        let source: SourcePath = text.parse().expect("never fails");
        (source.path.display().to_string(), source.nodes)
    }

    #[test]
    fn what_stands_after_the_last_at_sign_names_nodes() {
        let nodes = |names: &[&str]| SaidNodes::Nodes(names.iter().map(|n| (*n).into()).collect());
        assert_eq!(parse("n1.pcap@n1"), ("n1.pcap".into(), nodes(&["n1"])));
        assert_eq!(
            parse("a@b.pcap@ip-10-0-0-1.ec2.internal,n2"),
            (
                "a@b.pcap".into(),
                nodes(&["ip-10-0-0-1.ec2.internal", "n2"])
            )
        );
        assert_eq!(parse("-@n1"), ("-".into(), nodes(&["n1"])));
        assert_eq!(parse("caps/@*"), ("caps/".into(), SaidNodes::All));
        assert_eq!(parse("n1.pcap"), ("n1.pcap".into(), SaidNodes::Unsaid));
    }

    #[test]
    fn what_cannot_be_a_node_is_part_of_the_path() {
        for text in ["a@", "@n1", "a@b/c.pcap", "a@n1,", "a@n 1"] {
            assert_eq!(parse(text), (text.to_owned(), SaidNodes::Unsaid), "{text}");
        }
    }

    #[test]
    fn a_file_that_is_called_so_is_that_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.pcap@n1");
        std::fs::write(&path, "").expect("a file");
        let text = path.display().to_string();
        assert_eq!(parse(&text), (text, SaidNodes::Unsaid));
    }

    #[test]
    fn a_folder_covers_the_files_in_it_and_no_others() {
        let folder = SourcePath::unsaid("caps".into());
        assert!(folder.covers("caps/n1.pcap"));
        assert!(!folder.covers("caps2/n1.pcap"));
        assert!(!SourcePath::unsaid("a.pcap".into()).covers("a.pcap1"));
    }
}
