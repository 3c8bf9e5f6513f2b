//! Finds the file and line where a policy and each of its rules begin, so that a finding can refer to
//! it.

use super::error::ClusterError;
use super::shares::in_shares;
use super::source;
use crate::policy_kinds::OtherKind;
use saphyr_parser::{Event, Parser};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The place where one policy is written. Lines count from 1, in the decompressed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyPlace {
    pub file: PathBuf,
    /// The line of its name.
    pub line: usize,
    /// The line of each rule of `spec.ingress`.
    pub ingress: Vec<usize>,
    /// The line of each rule of `spec.egress`.
    pub egress: Vec<usize>,
    /// The line of each rule by its path: `spec.ingressDeny[0]`, `specs[1].egress[0]`.
    pub rules: BTreeMap<String, usize>,
}

/// Finds the policies of files and folders, by `namespace/name`, those of other kinds with the kind before it. Of several versions of one policy the last
/// counts, as [`super::read_cluster`] reads them. Policies from standard input have no places.
///
/// What [`super::read_cluster`] would refuse has no place either: each file is read up to its first error.
///
/// # Errors
/// A file cannot be read.
pub fn policy_places(paths: &[PathBuf]) -> Result<BTreeMap<String, PolicyPlace>, ClusterError> {
    let files: Result<Vec<_>, _> = paths.iter().map(|path| source::files(path)).collect();
    let files: Vec<PathBuf> = files?.into_iter().flatten().collect();
    let of_files = in_shares(&files, |file| {
        let mut places = BTreeMap::new();
        let bytes = source::read_file(file)?;
        if let Ok(text) = std::str::from_utf8(&bytes) {
            places_in(text, file, &mut places);
        }
        Ok(places)
    })?;
    Ok(of_files.into_iter().flatten().collect())
}

fn places_in(text: &str, file: &Path, places: &mut BTreeMap<String, PolicyPlace>) {
    let mut walk = Walk {
        file,
        frames: Vec::new(),
        draft: Draft::default(),
        places,
    };
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { return };
        walk.event(&event, span.start.line());
    }
}

/// An open collection, and the position in it.
enum Frame {
    /// A mapping whose next key is not read yet.
    Map,
    /// A mapping whose last key was this one.
    At(String),
    Sequence(usize),
    /// A collection that is itself a key, and everything inside it. It is skipped.
    Passed,
}

/// The fields of the current object that are read so far.
#[derive(Default)]
struct Draft {
    api_version: String,
    kind: String,
    name: String,
    namespace: String,
    line: usize,
    ingress: Vec<usize>,
    egress: Vec<usize>,
    rules: BTreeMap<String, usize>,
}

struct Walk<'a> {
    file: &'a Path,
    frames: Vec<Frame>,
    draft: Draft,
    places: &'a mut BTreeMap<String, PolicyPlace>,
}

impl Walk<'_> {
    fn event(&mut self, event: &Event, line: usize) {
        match event {
            Event::Scalar(text, ..) => {
                if let Some(map @ Frame::Map) = self.frames.last_mut() {
                    *map = Frame::At(text.to_string());
                    return;
                }
                self.value(line, Some(text));
                self.advance();
            }
            Event::Alias(_) => {
                if let Some(map @ Frame::Map) = self.frames.last_mut() {
                    *map = Frame::At(String::new());
                    return;
                }
                self.advance();
            }
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                let is_key = matches!(self.frames.last(), Some(Frame::Map | Frame::Passed));
                if self.place().is_some_and(|place| place.is_empty()) {
                    self.draft = Draft::default();
                }
                self.value(line, None);
                self.frames.push(match event {
                    _ if is_key => Frame::Passed,
                    Event::MappingStart(..) => Frame::Map,
                    _ => Frame::Sequence(0),
                });
            }
            Event::MappingEnd | Event::SequenceEnd => {
                self.frames.pop();
                if self.place().is_some_and(|place| place.is_empty()) {
                    self.finish();
                }
                if let Some(map @ Frame::Map) = self.frames.last_mut() {
                    *map = Frame::At(String::new());
                    return;
                }
                self.advance();
            }
            Event::DocumentStart(_) => self.frames.clear(),
            _ => {}
        }
    }

    /// Moves on to the next position after a value.
    fn advance(&mut self) {
        match self.frames.last_mut() {
            Some(at @ Frame::At(_)) => *at = Frame::Map,
            Some(Frame::Sequence(index)) => *index += 1,
            Some(Frame::Map | Frame::Passed) | None => {}
        }
    }

    /// The path of the current value inside its object, which is the document or an item of a list.
    fn place(&self) -> Option<&[Frame]> {
        match self.frames.as_slice() {
            [Frame::At(items), Frame::Sequence(_), rest @ ..] if items == "items" => Some(rest),
            [Frame::Passed, ..] => None,
            all => Some(all),
        }
    }

    fn value(&mut self, line: usize, text: Option<&str>) {
        let Some(place) = self.place() else { return };
        let (spec, rule) = match place {
            [Frame::At(one)] => (one.as_str(), ""),
            [Frame::At(one), Frame::At(two)] => (one.as_str(), two.as_str()),
            [
                Frame::At(specs),
                Frame::Sequence(spec),
                Frame::At(list),
                Frame::Sequence(index),
            ] if specs == "specs" => {
                let path = format!("specs[{spec}].{list}[{index}]");
                self.draft.rules.insert(path, line);
                return;
            }
            [
                Frame::At(spec),
                Frame::At(direction),
                Frame::Sequence(index),
            ] if spec == "spec" => {
                let path = format!("spec.{direction}[{index}]");
                let direction = direction.clone();
                self.draft.rules.insert(path, line);
                match direction.as_str() {
                    "ingress" => self.draft.ingress.push(line),
                    "egress" => self.draft.egress.push(line),
                    _ => {}
                }
                return;
            }
            _ => return,
        };
        let Some(text) = text.map(str::to_owned) else {
            return;
        };
        match (spec, rule) {
            ("apiVersion", "") => self.draft.api_version = text,
            ("kind", "") => self.draft.kind = text,
            ("metadata", "name") => (self.draft.name, self.draft.line) = (text, line),
            ("metadata", "namespace") => self.draft.namespace = text,
            _ => {}
        }
    }

    /// Ends the current object.
    fn finish(&mut self) {
        let draft = std::mem::take(&mut self.draft);
        let group = draft
            .api_version
            .split_once('/')
            .map_or("", |(group, _)| group);
        let other = OtherKind::of(&draft.kind, group);
        // An item of a NetworkPolicyList has no `kind`.
        let is_network_policy = matches!(draft.kind.as_str(), "NetworkPolicy" | "");
        if !is_network_policy && other.is_none() || draft.name.is_empty() {
            return;
        }
        let namespace = match draft.namespace.as_str() {
            "" => "default",
            other => other,
        };
        let place = PolicyPlace {
            file: self.file.to_owned(),
            line: draft.line,
            ingress: draft.ingress,
            egress: draft.egress,
            rules: draft.rules,
        };
        let name = match other {
            None => format!("{namespace}/{}", draft.name),
            Some(kind) if kind.is_namespaced() => {
                format!("{} {namespace}/{}", kind.shown(), draft.name)
            }
            Some(kind) => format!("{} {}", kind.shown(), draft.name),
        };
        self.places.insert(name, place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<String> {
        let mut places = BTreeMap::new();
        places_in(text, Path::new("a.yaml"), &mut places);
        let line = |(name, place): (&String, &PolicyPlace)| {
            format!(
                "{name} {} {:?} {:?}",
                place.line, place.ingress, place.egress
            )
        };
        places.iter().map(line).collect()
    }

    #[test]
    fn each_policy_and_rule_has_the_line_where_it_begins() {
        let text = "# a comment
kind: NetworkPolicy
metadata:
  name: db
  namespace: shop
spec:
  podSelector: {}
  ingress:
    - from: [{podSelector: {}}]
      ports: [{port: 1}]
    - {}
  egress:
  - to: []
---
kind: Deployment
metadata: {name: db}
---
kind: NetworkPolicy
metadata: {name: other}
";
        assert_eq!(
            places(text),
            ["default/other 19 [] []", "shop/db 4 [9, 11] [13]"]
        );
    }

    #[test]
    fn policies_of_other_kinds_have_lines_as_well() {
        let text = "apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: db, namespace: shop}
specs:
- endpointSelector: {}
- endpointSelector: {}
  ingressDeny:
  - {}
  - {}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: all}
spec:
  egress:
  - action: Deny
";
        let mut places = BTreeMap::new();
        places_in(text, Path::new("a.yaml"), &mut places);
        let cilium = &places["CiliumNetworkPolicy shop/db"];
        assert_eq!(cilium.line, 3);
        assert_eq!(cilium.rules["specs[1].ingressDeny[1]"], 9);
        let calico = &places["Calico's GlobalNetworkPolicy all"];
        assert_eq!(calico.rules["spec.egress[0]"], 16);
    }

    #[test]
    fn lists_json_and_odd_yaml_are_walked_as_well() {
        let text = "kind: List\nitems:\n- kind: NetworkPolicy\n  metadata: {name: a}\n  spec:\n    ingress:\n    - {}\n\
            - kind: Service\n  metadata: {name: b}\n- kind: NetworkPolicy\n  metadata: {name: c}\n";
        assert_eq!(places(text), ["default/a 4 [7] []", "default/c 11 [] []"]);
        let typed = "kind: NetworkPolicyList\nitems:\n- metadata: {name: a}\n";
        assert_eq!(places(typed), ["default/a 3 [] []"]);
        let json = "{\n\"kind\": \"NetworkPolicy\",\n\"metadata\": {\"name\": \"a\"},\n\"spec\": {\"egress\": [\n{}]}}";
        assert_eq!(places(json), ["default/a 3 [] [5]"]);
        let odd =
            "? {a: [b]}\n: kind\n? *x\n: 1\nkind: NetworkPolicy\nmetadata: {[a]: b, name: c}\n";
        assert!(places(odd).len() <= 1);
        let aliases = "x: &x {name: a}\nkind: NetworkPolicy\nmetadata: *x\n";
        assert!(places(aliases).is_empty(), "an alias is not followed");
        assert!(places("a: [\n}").is_empty());
    }
}
