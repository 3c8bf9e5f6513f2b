//! The fast way returns the same result as `parse`, or nothing.

use super::outline::without_noise;
use super::{both, read};
use proptest::prelude::*;
use serde_json::{Value, json};

const POD: &str = "\
- apiVersion: v1
  kind: Pod
  metadata:
    annotations:
      a: |
        spec:
          volumes: x
      kubectl.kubernetes.io/last-applied-configuration: |
        {\"a\": [
      z: \"it: \\\"is\\\" # no comment\"
    labels:
      app: 'it''s'
      \"quoted\": \"1\"
    managedFields:
    - apiVersion: v1
      fieldsV1:
        f:metadata: {}
    name: web
    namespace: shop
  spec:
    containers:
    - args:
      - --volumes=1
      - |
        multi
        line
      command: [] 
      env:
      - name: volumes
        value: \"true\"
      image: web:1
      name: web
      ports:
      - containerPort: 80
      volumeMounts:
      - mountPath: /x
        name: x
    - image: side:1
      livenessProbe:
        httpGet:
          port: 80
      name: side
      securityContext:
        capabilities:
          add:
          - NET_ADMIN
    nodeName: n1
    tolerations:
    - effect: NoExecute
    volumes:
    - name: x
  status:
    conditions:
    - type: Ready
      status: \"True\"
    containerStatuses:
    - image: web:1
      imageID: web@sha256:1
      lastState:
        terminated:
          exitCode: 1
      name: web
      ready: true
      restartCount: 0
      state: {}
    podIP: 10.0.0.1
";

const DEPLOYMENT: &str = "\
- apiVersion: apps/v1
  kind: Deployment
  metadata:
    name: web
  spec:
    selector:
      matchLabels:
        app: web
    template:
      metadata:
        labels:
          app: web
      spec:
        containers:
        - command:
          - web
        hostNetwork: true
        volumes: []
- apiVersion: v1
  data:
    spec: >-
      folded

      text
    volumes: kept
  kind: ConfigMap
  metadata:
    name: c
";

fn list(items: &str) -> String {
    format!("apiVersion: v1\nitems:\n{items}kind: List\nmetadata:\n  resourceVersion: \"\"\n")
}

#[test]
fn a_list_as_kubectl_prints_it_is_read_the_fast_way_with_the_same_result() {
    let items = [POD, DEPLOYMENT].concat();
    let read = both(&list(&items)).expect("it is usual");
    for kept in ["web:1", "side:1", "NET_ADMIN", "web@sha256:1", "n1", "it's"] {
        assert!(read.contains(kept), "{kept} in {read}");
    }
    let indented: String = items.lines().map(|line| format!("  {line}\n")).collect();
    assert_eq!(both(&list(&indented)), Some(read));
}

#[test]
fn unused_fields_are_removed_before_parsing() {
    let kept = without_noise(POD, 0).expect("it is usual");
    for noise in [
        "managedFields",
        "tolerations",
        "value:",
        "mountPath",
        "multi",
        "exitCode",
    ] {
        assert!(!kept.contains(noise), "{noise} in {kept}");
    }
    assert!(kept.contains("- args:\n      image: web:1\n"), "{kept}");
}

#[test]
fn many_pieces_are_read_in_order() {
    let items: String = (0..3000)
        .map(|number| {
            POD.replace(
                "name: web\n    namespace",
                &format!("name: p{number}\n    namespace"),
            )
        })
        .collect();
    let text = list(&items);
    assert!(text.len() > 8 * super::LONG);
    both(&text).expect("it is usual");
}

#[test]
fn json_lists_are_read_the_same() {
    let pod = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x","labels":{"a":"\u00e9\""}},"spec":{"containers":[{"name":"c","env":[{"name":"a"}]}]}}"#;
    let old = r#"{"kind":"CronJob","apiVersion":"batch/v1beta1","metadata":{"name":"c"}}"#;
    let other = r#"{"kind":"ConfigMap","apiVersion":"v1"}"#;
    let nested = format!(r#"{{"kind":"List","items":[{pod}]}}"#);
    for items in [pod, &[pod, old, other, &nested].join(" ,\n")] {
        let text = format!(r#"{{"apiVersion":"v1","items": [ {items} ], "kind":"List"}}"#);
        both(&text).expect("it is usual");
    }
    let typed =
        r#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[{"metadata":{"name":"x"}}]}"#;
    both(typed).expect("it is usual");
}

#[test]
fn an_unusual_or_wrong_text_is_left_to_parse() {
    let list = |items: &str| list(items);
    for text in [
        list("- {kind: Pod, metadata: {name: x}}\n"),
        list("- kind: Pod\n  metadata: &a\n    name: x\n"),
        list("- kind: Pod\n  metadata:\n    name: \"x\n  spec:\"\n"),
        list("- kind: Pod\n  metadata:\n    name: x\n  spec:\n    containers: 3\n"),
        list("- kind: Pod\n  spec: |2\n     volumes: x\n"),
        list("- metadata:\n    name: x\n"),
        list("- 3\n"),
        list("- kind: Pod\n--- \n- kind: Pod\n"),
        list("- kind: Pod\n") + "items: []\n",
        list("- kind: Pod\n") + "---\nkind: Pod\n",
        list("- kind: Pod\r\n"),
        list("- kind: Pod\n  metadata: *a\n"),
        "x: \"\nitems:\n- kind: Pod\nkind: List\n\"\n".into(),
        "items:\n- kind: Pod\nkind: PodList\n".into(),
        "items:\n- kind: Pod\n".into(),
        r#"{"apiVersion":"v1","kind":"List","items":[{"kind":"Pod"},]}"#.into(),
        r#"{"apiVersion":"v1","kind":"List","items":[{"kind":"Pod"}]} {}"#.into(),
        r#"{"apiVersion":"v1","kind":"List","items":[{"kind":"Pod"},{}]}"#.into(),
        r#"{"apiVersion":"v1","kind":"List","items":[{"kind":"Pod","spec":3}]}"#.into(),
        r#"{"apiVersion":"v1","kind":"List","metadata":{"items":[{"kind":"Pod"}]},"items":[{}]}"#
            .into(),
        r#"{"apiVersion":"v1","kind":"List","items":[{"kind":"Pod"} 3]}"#.into(),
        r#"{"apiVersion":"v1","kind":"Stock","items":[{"kind":"Pod"}]}"#.into(),
    ] {
        assert!(read(&text).is_none(), "{text}");
    }
}

/// Texts in all styles of YAML: quoted, in blocks, plain.
fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,8}",
        "[ -~]{0,24}",
        "[a-z:#'\" \\\\|>-]{0,12}",
        "([ -~]{0,12}\n){1,3}[ -~]{0,8}",
        Just("volumes:".to_owned()),
        Just("- name: env".to_owned()),
    ]
}

fn container() -> impl Strategy<Value = Value> {
    let env = proptest::collection::vec((words(), words()), 0..3);
    let args = proptest::collection::vec(words(), 0..3);
    (words(), env, args).prop_map(|(image, env, args)| {
        let env: Vec<Value> = env
            .iter()
            .map(|(n, v)| json!({"name": n, "value": v}))
            .collect();
        json!({
            "args": args,
            "env": env,
            "image": image,
            "name": "main",
            "ports": [{"containerPort": 80}],
            "resources": {"limits": {"cpu": "1"}},
            "volumeMounts": [{"mountPath": "/x", "name": "volumes"}],
        })
    })
}

fn pod() -> impl Strategy<Value = Value> {
    let notes = proptest::collection::btree_map(words(), words(), 0..3);
    let labels = proptest::collection::btree_map("[a-z./\"]{1,8}", words(), 0..3);
    let containers = proptest::collection::vec(container(), 1..3);
    (notes, labels, containers).prop_map(|(annotations, labels, containers)| {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"annotations": annotations, "labels": labels, "managedFields": [{"manager": "x"}], "name": "a"},
            "spec": {"containers": containers, "nodeName": "n1", "tolerations": [], "volumes": [{"name": "x"}]},
            "status": {"podIP": "10.0.0.1"},
        })
    })
}

#[test]
fn a_mapping_of_only_unused_fields_is_empty_and_not_absent() {
    for (noise, rest) in [
        (
            "  spec:\n    volumes:\n    - name: x\n",
            "  status:\n    podIP: 10.0.0.1\n",
        ),
        (
            "  spec:\n    tolerations:\n    - effect: NoExecute\n    volumes:\n    - name: x\n",
            "",
        ),
        (
            "  metadata:\n    managedFields:\n    - a: b\n",
            "  spec:\n    nodeName: n1\n",
        ),
        (
            "  spec:\n    containers:\n    - args:\n      - a\n      env:\n      - name: b\n      name: web\n",
            "",
        ),
    ] {
        let text = format!(
            "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n{noise}{rest}kind: List\nmetadata: {{}}\n"
        );
        assert!(both(&text).is_some(), "{text}");
    }
}

proptest! {
    #[test]
    fn the_fast_way_returns_the_same_as_parse_or_nothing_for_every_text(
        pods in proptest::collection::vec(pod(), 1..4),
    ) {
        let document = json!({"apiVersion": "v1", "items": pods, "kind": "List", "metadata": {}});
        both(&serde_yaml::to_string(&document).expect("YAML"));
        both(&document.to_string());
    }
}
