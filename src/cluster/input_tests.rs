//! Files as people have them: policies that no API server takes, keys that are there twice, text in UTF-16, and files
//! of the wrong kind.

use super::*;
use crate::inventory::Objects;
use std::io::Write;
use std::path::PathBuf;

const LIVE: &str = "uid: u1, ";

fn policy(version: &str, metadata: &str, spec: &str) -> String {
    format!(
        "# a comment\napiVersion: {version}\nkind: NetworkPolicy\nmetadata: {{{metadata}name: p, namespace: shop}}\n\
         spec:\n  podSelector: {{}}\n{spec}\n"
    )
}

fn read(text: &str) -> Result<Objects, String> {
    let mut objects = Objects::default();
    let read = parse_objects(text.as_bytes(), "a.yaml", &mut objects);
    read.map(|_| objects).map_err(|error| error.to_string())
}

fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn read_bytes(bytes: &[u8]) -> Result<Objects, String> {
    let (_folder, path) = file("a.yaml", bytes);
    let read = read_cluster(&[path]);
    read.map(|(objects, _)| objects)
        .map_err(|error| error.to_string())
}

#[test]
fn a_manifest_that_no_api_server_takes_is_refused_with_file_line_and_remedy() {
    let v1 = "networking.k8s.io/v1";
    for (text, expected) in [
        (
            policy(v1, "", "  ingress:\n  - from:\n    - podSelectors: {}"),
            "a.yaml:9: spec.ingress[0].from[0].podSelectors: there is no such field; write podSelector",
        ),
        (
            policy(v1, "", "  ingress:\n  - ports:\n    - port: '5432'"),
            "a.yaml:9: spec.ingress[0].ports[0].port: \"5432\" in quotes is the name of a port",
        ),
        (
            policy(v1, "", "  ingress: []\n  ingress:\n  - {}"),
            "a.yaml:8: the key \"ingress\" is there twice",
        ),
        (
            policy("extensions/v1beta1", "", "  ingress: []"),
            "a.yaml:2: apiVersion: no API server takes a NetworkPolicy of extensions/v1beta1; write apiVersion: networking",
        ),
    ] {
        let expected = format!("failed to read NetworkPolicy shop/p in document 1 of {expected}");
        let error = read(&text).unwrap_err();
        assert!(error.starts_with(&expected), "{error}\n{expected}");
    }
}

#[test]
fn the_line_is_that_of_the_item_in_a_list_and_of_the_document_behind_others() {
    let list = "kind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n- apiVersion: networking.k8s.io/v1\n  \
                kind: NetworkPolicy\n  metadata: {name: p}\n  spec:\n    from: []\n";
    let error = read(list).unwrap_err();
    assert!(
        error.contains("in document 1 of a.yaml:8: spec.from: "),
        "{error}"
    );
    let typed = "kind: NetworkPolicyList\napiVersion: networking.k8s.io/v1\nitems:\n- metadata: {name: p}\n  spec:\n    to: []\n";
    let error = read(typed).unwrap_err();
    assert!(
        error.contains("in document 1 of a.yaml:6: spec.to: "),
        "{error}"
    );
    let second = format!("kind: A\n---\n{list}");
    let error = read(&second).unwrap_err();
    assert!(
        error.contains("in document 2 of a.yaml:10: spec.from: "),
        "{error}"
    );
    let json = "{\"kind\": \"NetworkPolicy\", \"apiVersion\": \"networking.k8s.io/v1\",\n\"metadata\": {\"name\": \"p\"},\n\"spec\": {},\n\"spec\": {}}";
    let error = read(json).unwrap_err();
    assert!(
        error.contains("a.yaml:4: the key \"spec\" is there twice"),
        "{error}"
    );
}

#[test]
fn a_live_policy_was_taken_once_so_what_is_odd_about_it_is_a_remark() {
    let v1 = "networking.k8s.io/v1";
    let objects = read(&policy(v1, LIVE, "  newField: 1\n  ingress: []")).unwrap();
    assert_eq!(objects.network_policies.len(), 1);
    assert!(
        objects.remarks[0]
            .problem
            .starts_with("spec.newField: there is no such field")
    );
    let objects = read(&policy("extensions/v1beta1", LIVE, "  ingress: []")).unwrap();
    assert_eq!(
        (objects.network_policies.len(), objects.remarks.len()),
        (1, 1)
    );
    assert!(
        read(&policy(v1, LIVE, "  ingress: []"))
            .unwrap()
            .remarks
            .is_empty()
    );
}

#[test]
fn a_policy_without_a_namespace_is_judged_in_default_and_that_is_said() {
    let json = r#"{"kind": "NetworkPolicy", "apiVersion": "networking.k8s.io/v1", "metadata": {"name": "p"}, "spec": {"podSelector": {}}}"#;
    let objects = read(json).unwrap();
    assert_eq!(
        objects.network_policies[0].metadata.namespace.as_deref(),
        Some("default")
    );
    assert!(
        objects.remarks[0]
            .problem
            .contains("counts in namespace default")
    );
}

#[test]
fn a_kind_in_the_plural_is_no_kind_that_is_passed_over() {
    let json = r#"{"kind": "NetworkPolicies", "apiVersion": "networking.k8s.io/v1", "metadata": {"name": "p"}}"#;
    let error = read(json).unwrap_err();
    assert!(
        error.contains("write apiVersion: networking.k8s.io/v1, kind: NetworkPolicy"),
        "{error}"
    );
}

#[test]
fn a_key_that_is_there_twice_is_a_remark_on_other_objects_and_nothing_on_kinds_that_are_not_used() {
    let objects =
        read("{kind: Pod, apiVersion: v1, metadata: {name: a, labels: {x: a, x: b}}}").unwrap();
    assert_eq!(objects.pods[0].metadata.labels.as_ref().unwrap()["x"], "b");
    assert_eq!(objects.remarks[0].object, "Pod a");
    let objects = read("{kind: ConfigMap, apiVersion: v1, data: {x: a, x: b}}").unwrap();
    assert!(objects.remarks.is_empty());
    let list = "{kind: List, items: [{kind: ConfigMap, apiVersion: v1, data: {x: a, x: b}}, {kind: Pod, apiVersion: v1, metadata: {name: a}}]}";
    assert!(read(list).unwrap().remarks.is_empty(), "of the item before");
}

#[test]
fn a_kind_of_the_same_name_in_another_group_is_judged_as_the_other_kind() {
    let other = "{kind: NetworkPolicy, apiVersion: crd.projectcalico.org/v1, metadata: {name: p}, spec: {order: 1}}";
    let objects = read(other).unwrap();
    assert_eq!(
        (objects.network_policies.len(), objects.other_kinds.len()),
        (0, 1)
    );
    let unknown =
        "{kind: NetworkPolicy, apiVersion: example.org/v1, metadata: {name: p}, spec: {order: 1}}";
    let objects = read(unknown).unwrap();
    assert_eq!(
        (
            objects.network_policies.len(),
            objects.other_kinds.len(),
            objects.not_judged.len()
        ),
        (0, 0, 1)
    );
}

#[test]
fn a_long_list_refuses_what_a_short_one_refuses() {
    let item = |index: usize, extra: &str| {
        format!(
            "{{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"NetworkPolicy\",\"metadata\":{{\"name\":\"p{index}\"}},\"spec\":{{\"podSelector\":{{}}{extra}}}}}"
        )
    };
    let list = |extra: &str| {
        let mut items: Vec<String> = (0..4000).map(|index| item(index, "")).collect();
        items[3000] = item(3000, extra);
        format!(
            "{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{}]}}",
            items.join(",")
        )
    };
    assert_eq!(read(&list("")).unwrap().network_policies.len(), 4000);
    for (extra, problem) in [
        (
            ",\"from\":[]",
            "p3000 in document 1 of a.yaml:1: spec.from: there is no such field",
        ),
        (
            ",\"podSelector\":{}",
            "p3000 in document 1 of a.yaml:1: the key \"podSelector\" is there twice",
        ),
    ] {
        let error = read(&list(extra)).unwrap_err();
        assert!(error.contains(problem), "{error}");
    }
}

const PODS: &str =
    "kind: List\r\nitems:\r\n- kind: Pod\r\n  apiVersion: v1\r\n  metadata: {name: \"é☃😀\"}\r\n";

fn utf_16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(to_bytes).collect()
}

#[test]
fn text_in_utf_16_and_with_a_byte_order_mark_is_read() {
    let marked = format!("\u{feff}{PODS}");
    for bytes in [
        marked.clone().into_bytes(),
        utf_16(&marked, u16::to_le_bytes),
        utf_16(&marked, u16::to_be_bytes),
        utf_16(PODS, u16::to_le_bytes),
        utf_16(PODS, u16::to_be_bytes),
    ] {
        let objects = read_bytes(&bytes).unwrap();
        assert_eq!(objects.pods[0].metadata.name.as_deref(), Some("é☃😀"));
    }
    let mut damaged = utf_16(&marked, u16::to_le_bytes);
    damaged.extend([0x00, 0xd8]);
    let error = read_bytes(&damaged).unwrap_err();
    assert!(
        error.contains("damaged UTF-16LE; save it as UTF-8"),
        "{error}"
    );
}

#[test]
fn places_of_policies_are_found_in_utf_16_too() {
    let text = format!(
        "\u{feff}{}",
        policy("networking.k8s.io/v1", "", "  ingress: []")
    );
    let (_folder, path) = file("a.yaml", &utf_16(&text, u16::to_le_bytes));
    assert_eq!(policy_places(&[path]).unwrap()["shop/p"].line, 4);
}

#[test]
fn a_file_of_the_wrong_kind_is_named() {
    let mut tar = vec![0u8; 1024];
    tar[..6].copy_from_slice(b"a.yaml");
    tar[148..156].fill(b' ');
    let sum: u32 = tar.iter().map(|byte| u32::from(*byte)).sum();
    tar[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&tar).unwrap();
    let packed = packed.finish().unwrap();
    for (bytes, named) in [
        (tar.as_slice(), "it is a tar archive; unpack it first"),
        (packed.as_slice(), "it is a tar archive; unpack it first"),
        (b"PK\x03\x04....", "it is a zip archive; unpack it first"),
        (
            b"\xd4\xc3\xb2\xa1\x02\0\x04\0",
            "it is a packet capture; give it with --capture",
        ),
        (
            b"\xff\xfe\0\0k\0\0\0",
            "it is text in UTF-32; save it as UTF-8",
        ),
        (b"\xfd7zXZ\0\0", "it is compressed with xz; unpack it first"),
    ] {
        let error = read_bytes(bytes).unwrap_err();
        assert!(error.contains(named), "{error}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>, start in 0usize..6) {
        let starts: [&[u8]; 6] = [b"", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"{\0", b"\0{"];
        bytes.splice(0..0, starts[start].iter().copied());
        let _ = read_bytes(&bytes);
    }
}

#[test]
fn empty_documents_and_windows_line_ends_change_nothing() {
    let text = "---\r\n---\r\nkind: Pod\r\napiVersion: v1\r\nmetadata: {name: a}\r\n---\r\n";
    assert_eq!(read_bytes(text.as_bytes()).unwrap().pods.len(), 1);
    for nothing in ["", "\r\n", "---\n", "---\r\n---\r\n", "# only a comment\n"] {
        let error = read_bytes(nothing.as_bytes()).unwrap_err();
        assert!(
            error.contains("there is nothing in it"),
            "{nothing:?}: {error}"
        );
    }
}

#[test]
fn a_list_in_lines_of_json_is_read() {
    let list = "{\"kind\":\"List\",\"items\":[{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\"}}]}";
    let pod = "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"b\"}}";
    assert_eq!(
        read_bytes(format!("{list}\r\n{pod}\n").as_bytes())
            .unwrap()
            .pods
            .len(),
        2
    );
}
