//! Tests what is read, what is skipped, and what is refused.

use super::parse::Counts;
use super::{ClusterError, EXTRA_VALUES, parse_objects, read_cluster};
use crate::inventory::Objects;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

fn parse(text: &str) -> Objects {
    let mut objects = Objects::default();
    parse_objects(text.as_bytes(), "test.yaml", &mut objects).expect(text);
    objects
}

fn refuse(text: &str) -> ClusterError {
    parse_objects(text.as_bytes(), "test.yaml", &mut Objects::default()).expect_err("refused")
}

fn pod(name: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: a}}\n")
}

fn names(objects: &Objects) -> Vec<&str> {
    objects
        .pods
        .iter()
        .map(|pod| pod.metadata.name.as_deref().unwrap_or_default())
        .collect()
}

#[test]
fn documents_of_one_file_are_read_in_order() {
    let objects = parse(&format!(
        "# first\n---\n{}---\n{}---\n# nothing\n",
        pod("x"),
        pod("y")
    ));
    assert_eq!(names(&objects), ["x", "y"]);
    assert_eq!(objects.snapshots, 0);
}

#[test]
fn a_list_is_read_with_its_kind_after_its_items() {
    let objects = parse(
        "apiVersion: v1\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: x}}\n\
         - {apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}\nkind: List\n",
    );
    assert_eq!((names(&objects), objects.deployments.len()), (vec!["x"], 1));
    assert_eq!(objects.snapshots, 1);
}

#[test]
fn items_of_a_typed_list_get_their_kind_from_it() {
    let pods = "{kind: PodList, apiVersion: v1, items: [{metadata: {name: x}}]}";
    let late = "items: [{metadata: {name: y}}]\napiVersion: v1\nkind: PodList\n";
    let apps = "{kind: DeploymentList, apiVersion: apps/v1, items: [{metadata: {name: d}}]}";
    let objects = parse(&format!("{pods}\n---\n{late}---\n{apps}\n"));
    assert_eq!(
        (names(&objects), objects.deployments.len()),
        (vec!["x", "y"], 1)
    );
    assert_eq!(objects.snapshots, 3);
}

#[test]
fn an_empty_list_is_a_snapshot() {
    for items in ["[]", "null"] {
        let objects = parse(&format!("{{kind: List, apiVersion: v1, items: {items}}}"));
        assert_eq!(objects.snapshots, 1);
    }
}

#[test]
fn a_list_inside_a_list_is_read() {
    let objects =
        parse("{kind: List, items: [{kind: List, items: [{kind: Pod, metadata: {name: x}}]}]}");
    assert_eq!(names(&objects), ["x"]);
}

#[test]
fn json_is_read_also_several_objects_in_a_row() {
    let one = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"}}"#;
    let list = r#"{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"y"}}]}"#;
    let objects = parse(&format!("\u{feff}{one}\n{list} "));
    assert_eq!(names(&objects), ["x", "y"]);
}

#[test]
fn yaml_in_flow_style_is_not_read_as_json() {
    assert_eq!(
        names(&parse(
            "{kind: Pod, apiVersion: v1, metadata: {name: x}} # c\n"
        )),
        ["x"]
    );
}

#[test]
fn an_absent_namespace_is_default() {
    let objects = parse("{kind: Pod, apiVersion: v1, metadata: {name: x, namespace: ''}}");
    assert_eq!(
        objects.pods[0].metadata.namespace.as_deref(),
        Some("default")
    );
    let objects = parse("{kind: Namespace, apiVersion: v1, metadata: {name: x}}");
    assert_eq!(objects.namespaces[0].metadata.namespace, None);
}

#[test]
fn other_kinds_are_skipped_and_counted() {
    let objects = parse(
        "{kind: ConfigMap, apiVersion: v1}\n---\n{kind: ConfigMap, apiVersion: v1}\n---\n\
         {kind: AdminNetworkPolicy, apiVersion: policy.networking.k8s.io/v1alpha1}\n---\n\
         {kind: NetworkPolicy, apiVersion: crd.projectcalico.org/v1, spec: {ingress: nonsense}}\n",
    );
    let skipped: Vec<_> = objects
        .skipped
        .iter()
        .map(|(kind, n)| (kind.as_str(), *n))
        .collect();
    assert_eq!(
        skipped,
        [
            ("AdminNetworkPolicy.policy.networking.k8s.io", 1),
            ("ConfigMap", 2),
            ("NetworkPolicy.crd.projectcalico.org", 1)
        ]
    );
    assert!(objects.network_policies.is_empty());
}

#[test]
fn another_version_of_the_same_group_is_read() {
    let objects = parse("{kind: CronJob, apiVersion: batch/v1beta1, metadata: {name: c}}");
    assert_eq!(objects.cron_jobs.len(), 1);
}

#[test]
fn a_kind_that_has_items_of_its_own_is_not_a_list() {
    let objects =
        parse("{kind: Stock, apiVersion: shop/v1, items: [{kind: Pod, metadata: {name: x}}, 3]}");
    assert!(objects.pods.is_empty());
    assert_eq!(objects.skipped["Stock.shop"], 1);
    let objects = parse("{kind: Stock, apiVersion: shop/v1, items: {a: b}}");
    assert_eq!(objects.skipped["Stock.shop"], 1);
}

#[test]
fn a_field_of_the_wrong_type_names_the_object() {
    let wrong =
        "{kind: Pod, apiVersion: v1, metadata: {name: x, namespace: a}, spec: {containers: 3}}";
    for text in [
        format!("{}---\n{wrong}", pod("ok")),
        format!("{}---\n{{kind: List, items: [{wrong}]}}", pod("ok")),
    ] {
        let error = refuse(&text);
        let ClusterError::Object {
            document: 2,
            object,
            ..
        } = &error
        else {
            panic!("{error}")
        };
        assert_eq!(object, "Pod a/x");
        let message = error.to_string();
        let place = message.strip_prefix("failed to read Pod a/x in document 2 of test.yaml:");
        let problem = place.map(|place| place.trim_start_matches(|c: char| c.is_ascii_digit()));
        assert!(
            problem.is_some_and(|problem| problem.starts_with(": invalid type")),
            "{message}"
        );
        assert!(message.contains("kubectl apply --dry-run"), "{message}");
    }
}

#[test]
fn a_document_without_a_kind_is_refused() {
    for text in ["a: b", "- 1", "text", "7", "kind: 7"] {
        let error = refuse(&format!("{}---\n{text}\n", pod("x")));
        assert!(
            matches!(error, ClusterError::NoKind { document: 2, .. }),
            "{text}: {error}"
        );
    }
}

#[test]
fn nothing_at_all_is_refused() {
    for text in ["", "\n# only this\n", "---\n---\n"] {
        assert!(
            matches!(refuse(text), ClusterError::Empty { .. }),
            "{text:?}"
        );
    }
}

#[test]
fn a_cut_off_file_is_refused() {
    let json = r#"{"kind":"List","apiVersion":"v1","items":[{"kind":"Pod","metadata":{"na"#;
    assert!(matches!(
        refuse(json),
        ClusterError::Syntax { document: 1, .. }
    ));
    assert!(matches!(
        refuse("kind: Pod\n  a: [\n"),
        ClusterError::Syntax { .. }
    ));
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut laughs = String::from("kind: Pod\na0: &a0 [x, x]\n");
    for level in 1..30 {
        let below = format!("*a{}", level - 1);
        laughs += &format!("a{level}: &a{level} [{below}, {below}, {below}, {below}]\n");
    }
    let error = refuse(&laughs);
    assert!(matches!(error, ClusterError::Hostile { .. }), "{error}");
    assert!(
        error.to_string().contains("write the values out"),
        "{error}"
    );
}

#[test]
fn many_aliases_of_one_long_list_are_refused() {
    // serde_yaml's own limit is 100 jumps for each event, which this stays far below.
    let long = vec!["x"; 20_000].join(",");
    let many = vec!["*a"; 20_000].join(",");
    let error = refuse(&format!("kind: Pod\na: &a [{long}]\nb: [{many}]\n"));
    assert!(matches!(error, ClusterError::Hostile { .. }), "{error}");
    const { assert!(20_000 * 20_000 > EXTRA_VALUES * 100) };
}

#[test]
fn an_alias_to_itself_is_refused() {
    let error = refuse("kind: Pod\na: &a [*a]\n");
    assert!(
        matches!(
            error,
            ClusterError::Hostile { .. } | ClusterError::Syntax { .. }
        ),
        "{error}"
    );
}

#[test]
fn ordinary_aliases_are_read() {
    let objects =
        parse("kind: Service\nmetadata: {name: x, labels: &l {app: a}}\nspec: {selector: *l}\n");
    let selector = objects.services[0]
        .spec
        .as_ref()
        .and_then(|spec| spec.selector.clone());
    assert_eq!(
        selector.and_then(|mut map| map.remove("app")).as_deref(),
        Some("a")
    );
}

#[test]
fn huge_nesting_is_refused() {
    let mut texts = vec!["- ".repeat(50_000), "? ".repeat(5_000)];
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("{\"a\": ", "}")] {
        let (open, close) = (open.repeat(50_000), close.repeat(50_000));
        texts.push(format!("{{\"kind\": \"Pod\", \"a\": {open}1{close}}}"));
        texts.push(format!("kind: Pod\na: {open}1{close}\n"));
    }
    for text in texts {
        let error = refuse(&text);
        assert!(matches!(error, ClusterError::Hostile { .. }), "{error}");
    }
}

#[test]
fn tags_and_odd_keys_do_not_stop_reading() {
    let objects = parse("{kind: ConfigMap, apiVersion: v1, data: !x {1: a, true: b, ~: !y c}}");
    assert_eq!(objects.skipped["ConfigMap"], 1);
}

#[test]
fn lists_and_single_objects_are_counted_separately() {
    let text = format!("{}---\nkind: List\nitems: []\n", pod("x"));
    let counts = parse_objects(text.as_bytes(), "t", &mut Objects::default()).unwrap();
    assert_eq!(
        counts,
        Counts {
            lists: 1,
            singles: 1,
            without_kind: 0
        }
    );
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    ruzstd::encoding::compress_to_vec(bytes, level)
}

#[test]
fn a_folder_is_read_in_order_and_in_depth() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "b.yml", pod("b").as_bytes());
    write(folder.path(), "a/z.yaml.gz", &gzip(pod("z").as_bytes()));
    write(
        folder.path(),
        "a/y.json.zst",
        &zstd(br#"{"kind":"Pod","metadata":{"name":"y"}}"#),
    );
    write(folder.path(), "c.txt", b"kind: Pod");
    write(folder.path(), ".git/x.yaml", pod("hidden").as_bytes());
    let (objects, skipped) = read_cluster(&[folder.path().to_owned()]).unwrap();
    assert_eq!(names(&objects), ["y", "z", "b"]);
    assert_eq!(
        objects.snapshots, 1,
        "a folder of manifests is one snapshot"
    );
    assert!(skipped.is_empty());
}

#[test]
fn several_snapshots_are_counted_each() {
    let folder = tempfile::tempdir().unwrap();
    let list = "kind: List\nitems: []\n";
    let paths = ["1.yaml", "2.yaml"].map(|name| write(folder.path(), name, list.as_bytes()));
    let (objects, _) = read_cluster(&paths).unwrap();
    assert_eq!(objects.snapshots, 2);
}

#[test]
fn files_of_a_folder_without_objects_are_left_out_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.yaml", pod("a").as_bytes());
    write(folder.path(), "values.yaml", b"replicas: 3\n");
    write(
        folder.path(),
        "templates/d.yaml",
        b"kind: Pod\nname: {{ .Values.name }}\n  {{- end }}\n",
    );
    let (objects, skipped) = read_cluster(&[folder.path().to_owned()]).unwrap();
    assert_eq!(names(&objects), ["a"]);
    assert_eq!(skipped.len(), 2);
    assert!(skipped[0].reason.contains("template"), "{skipped:?}");
    assert!(skipped[1].reason.contains("no kind"), "{skipped:?}");
    assert_eq!(objects.skipped.values().sum::<usize>(), 2);
    let error = read_cluster(&[folder.path().join("values.yaml")]).unwrap_err();
    assert!(matches!(error, ClusterError::NoKind { .. }), "{error}");
}

#[test]
fn a_broken_manifest_in_a_folder_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.yaml", pod("a").as_bytes());
    write(folder.path(), "b.yaml", b"kind: Pod\n  a: [\n");
    let error = read_cluster(&[folder.path().to_owned()]).unwrap_err();
    assert!(error.to_string().contains("b.yaml"), "{error}");
}

#[test]
fn a_folder_without_objects_and_a_missing_file_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let error = read_cluster(&[folder.path().to_owned()]).unwrap_err();
    assert!(matches!(error, ClusterError::EmptyFolder { .. }), "{error}");
    let error = read_cluster(&[folder.path().join("no.yaml")]).unwrap_err();
    assert!(error.to_string().contains("no.yaml"), "{error}");
}

#[test]
fn a_damaged_archive_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = gzip(pod("a").repeat(100).as_bytes());
    bytes.truncate(bytes.len() / 2);
    let path = write(folder.path(), "a.yaml.gz", &bytes);
    let error = read_cluster(&[path]).unwrap_err();
    assert!(matches!(error, ClusterError::Unpack { .. }), "{error}");
    let path = write(folder.path(), "a.yaml.zst", &zstd(pod("a").as_bytes())[..9]);
    let error = read_cluster(&[path]).unwrap_err();
    assert!(matches!(error, ClusterError::Unpack { .. }), "{error}");
}

#[test]
fn the_recorded_snapshot_is_read_whole() {
    let shared = std::env::var_os("NANOSEG_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let file = shared.join("data/boutique/node-capture/cluster.yaml");
    if !file.exists() {
        println!("skipped: {} is not there", file.display());
        return;
    }
    let (objects, _) = read_cluster(&[file]).unwrap();
    assert_eq!((objects.pods.len(), objects.snapshots), (18, 1));
    assert!(objects.nodes.len() == 1 && !objects.endpoint_slices.is_empty());
}

#[test]
fn a_list_shows_when_it_was_taken_by_its_annotation_by_heartbeats_and_by_leases() {
    let pod = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x","namespace":"a","creationTimestamp":"2026-01-01T00:00:00Z"}}"#;
    let node = r#"{"kind":"Node","apiVersion":"v1","metadata":{"name":"n"},"status":{"conditions":[{"type":"Ready","lastHeartbeatTime":"2026-01-02T00:00:00Z"}]}}"#;
    let lease = r#"{"kind":"Lease","apiVersion":"coordination.k8s.io/v1","metadata":{"name":"n"},"spec":{"renewTime":"2026-01-02T00:00:00.000000Z"}}"#;
    let annotated =
        r#""metadata":{"annotations":{"nanoseg.dev/taken-at":"2026-01-02T00:00:00Z"}},"#;
    for (metadata, more, timed) in [
        (annotated, "", true),
        ("", node, true),
        ("", lease, true),
        ("", "", false),
    ] {
        let items = [pod, more];
        let items = items.iter().filter(|one| !one.is_empty());
        let items: Vec<&str> = items.copied().collect();
        let text = format!(
            r#"{{"kind":"List","apiVersion":"v1",{metadata}"items":[{}]}}"#,
            items.join(",")
        );
        let mut objects = Objects::default();
        parse_objects(text.as_bytes(), "test", &mut objects).expect("objects");
        let shows = if timed {
            "2026-01-02T00:00:00Z"
        } else {
            "2026-01-01T00:00:00Z"
        };
        let shows: jiff::Timestamp = shows.parse().expect("a time");
        assert_eq!(objects.lists.len(), 1, "{text}");
        assert_eq!(objects.lists[0].shows, Some(shows.into()), "{text}");
        assert_eq!(objects.lists[0].timed, timed, "{text}");
    }
}
