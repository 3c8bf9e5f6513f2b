//! The values of the Helm chart: each has an effect, and a wrong one is refused with a message that names it.

use super::rendered::{Objects, helm, helm_output, text};
use serde_json::{Value, json};

fn object<'o>(objects: &'o Objects, kind: &str, namespace: &str, name: &str) -> &'o Value {
    let key = (kind.to_owned(), namespace.to_owned(), name.to_owned());
    objects
        .get(&key)
        .unwrap_or_else(|| panic!("{key:?} in {:?}", objects.keys()))
}

/// What Helm says to one `--set`.
fn refusal(set: &str) -> Option<String> {
    let output = helm_output(&["--set", set])?;
    assert!(!output.status.success(), "{set} is accepted");
    Some(String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_wrong_value_is_refused_with_its_name_and_what_is_right() {
    let wrong: [(&str, &[&str]); 26] = [
        ("log.format=xml", &["/log/format", "'json', 'text'"]),
        ("log.fromat=json", &["/log", "fromat"]),
        ("unknown=1", &["unknown"]),
        ("tls.mode=none", &["/tls/mode", "'generated'"]),
        ("image.pullPolicy=never", &["/image/pullPolicy", "'Never'"]),
        ("image.digest=sha256:0", &["image.digest", "64 hexadecimal"]),
        (
            "controller.replicas=two",
            &["/controller/replicas", "integer"],
        ),
        (
            "controller.retention=1 day",
            &["controller.retention", "24h"],
        ),
        (
            "controller.resources.limit.cpu=1",
            &["/controller/resources", "limit"],
        ),
        (
            "controller.extraEnv[0].nam=x",
            &["/controller/extraEnv/0", "nam"],
        ),
        (
            "controller.extraEnv[0].name=NANOSEG_IDENTITY",
            &["controller.extraEnv", "NANOSEG_IDENTITY"],
        ),
        (
            "controller.extraArgs={--log=text}",
            &["controller.extraArgs", "--log"],
        ),
        (
            "agent.extraArgs={--window=1m}",
            &["agent.extraArgs", "--window"],
        ),
        (
            "agent.tolerations[0].operater=Exists",
            &["/agent/tolerations/0", "operater"],
        ),
        (
            "agent.affinity.nodeAfinity.x=y",
            &["/agent/affinity", "nodeAfinity"],
        ),
        (
            "agent.spool.maxSize=5 megabytes",
            &["agent.spool.maxSize", "256MiB"],
        ),
        (
            "agent.spool.hostPath=spool",
            &["agent.spool.hostPath", "absolute"],
        ),
        ("agentNamespace=nanoseg", &["agentNamespace", "apart"]),
        ("agentNamespace=A_b", &["agentNamespace", "a-z"]),
        ("fullnameOverride=-x", &["fullnameOverride", "a-z"]),
        ("nats.url=http://nats", &["nats.url", "tls://HOST:4222"]),
        (
            "hubbleRelay.address=https://relay",
            &["hubbleRelay.address", "HOST:PORT"],
        ),
        ("podMonitor.interval=often", &["podMonitor.interval", "30s"]),
        (
            "controller.podLabels.app\\.kubernetes\\.io/name=x",
            &["controller.podLabels", "nameOverride"],
        ),
        (
            "agent.extraVolumes[0].name=spool",
            &["agent.extraVolumes", "spool"],
        ),
        (
            "storage.accessModes={ReadWriteOncePod}",
            &["storage.accessModes", "controller.replicas"],
        ),
    ];
    for (set, says) in wrong {
        let Some(said) = refusal(set) else { return };
        for word in says {
            assert!(said.contains(word), "{set}: {word} is not in: {said}");
        }
    }
}

/// A key of values.yaml without a schema would be accepted with any value.
#[test]
fn every_value_has_a_schema_and_every_schema_a_default() {
    let values: Value = serde_yaml::from_str(&text("deploy/helm/nanoseg/values.yaml")).unwrap();
    let schema: Value =
        serde_json::from_str(&text("deploy/helm/nanoseg/values.schema.json")).unwrap();
    let mut wrong = Vec::new();
    compare_keys("", &values, &schema, &schema, &mut wrong);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn compare_keys(
    place: &str,
    values: &Value,
    schema: &Value,
    whole: &Value,
    wrong: &mut Vec<String>,
) {
    let schema = match schema["$ref"].as_str() {
        Some(of) => &whole["definitions"][of.trim_start_matches("#/definitions/")],
        None => schema,
    };
    let Some(known) = schema["properties"].as_object() else {
        return;
    };
    if schema["additionalProperties"] != json!(false) {
        wrong.push(format!("{place}: any key is accepted"));
    }
    // Free maps and the fields of Kubernetes' own types have no defaults.
    let Some(given) = values.as_object().filter(|given| !given.is_empty()) else {
        return;
    };
    for key in given.keys().filter(|key| !known.contains_key(*key)) {
        wrong.push(format!("{place}/{key} has no schema"));
    }
    for (key, schema) in known.iter().filter(|(key, _)| *key != "global") {
        let place = format!("{place}/{key}");
        match given.get(key) {
            Some(values) => compare_keys(&place, values, schema, whole, wrong),
            None => wrong.push(format!("{place} has no default")),
        }
    }
}

#[test]
fn the_old_names_hold_for_any_release_and_overrides_change_all_of_them() {
    let Some(objects) = helm(
        "{fullnameOverride: seg, nameOverride: sg, agentNamespace: watchers, commonLabels: {team: a}, \
          tls: {mode: generated}, nats: {enabled: false}}",
    ) else {
        return;
    };
    let fixed = ["nanoseg-record", "nanoseg-graph"];
    for ((kind, namespace, name), object) in &objects {
        assert!(
            !name.contains("nanoseg")
                || name.ends_with(".nanoseg.dev")
                || fixed.contains(&name.as_str()),
            "{kind} {name}"
        );
        assert!(
            ["", "nanoseg", "watchers"].contains(&namespace.as_str()),
            "{kind} {namespace}"
        );
        if kind != "CustomResourceDefinition" {
            assert_eq!(object["metadata"]["labels"]["team"], "a", "{kind} {name}");
        }
    }
    let deployment = object(&objects, "Deployment", "nanoseg", "seg-controller");
    let pod = &deployment["spec"]["template"];
    let finds = &deployment["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"];
    assert_eq!(finds, "sg-controller");
    assert_eq!(&pod["metadata"]["labels"]["app.kubernetes.io/name"], finds);
    let arguments = pod["spec"]["containers"][0]["args"].to_string();
    for argument in [
        "--agent-service-account=watchers/seg-agent",
        "--lease-name=seg-controller",
    ] {
        assert!(arguments.contains(argument), "{arguments}");
    }
    let lease = object(&objects, "Role", "nanoseg", "seg-controller")["rules"].to_string();
    assert!(lease.contains("seg-controller"), "{lease}");
    let agent = object(&objects, "DaemonSet", "watchers", "seg-agent").to_string();
    assert!(
        agent.contains("--receiver=https://seg-controller.nanoseg.svc:7443"),
        "{agent}"
    );
    // The admission policies know the controller by its account.
    for policy in ["controller", "enforced", "proposals", "record", "status"] {
        let name = format!("seg-{policy}");
        let policy = object(&objects, "ValidatingAdmissionPolicy", "", &name).to_string();
        assert!(
            policy.contains("system:serviceaccount:nanoseg:seg-controller"),
            "{name}"
        );
        assert!(!policy.contains(":nanoseg-controller"), "{name}");
    }
}

#[test]
fn monitors_rules_and_dashboards_have_the_labels_that_their_finders_look_for() {
    let Some(objects) = helm(
        "{serviceMonitor: {enabled: true, interval: 15s, labels: {release: prom}, relabelings: [{action: labeldrop, regex: x}]}, \
          podMonitor: {enabled: true, interval: 1m, labels: {release: prom}}, \
          prometheusRule: {enabled: true, labels: {release: prom}}, \
          dashboards: {enabled: true, namespace: grafana, labels: {find: me}, annotations: {grafana_folder: Network}}}",
    ) else {
        return;
    };
    for (kind, endpoints) in [
        ("PodMonitor", "podMetricsEndpoints"),
        ("ServiceMonitor", "endpoints"),
    ] {
        for (namespace, part) in [("nanoseg", "controller"), ("nanoseg-agents", "agent")] {
            let monitor = object(&objects, kind, namespace, &format!("nanoseg-{part}"));
            assert_eq!(monitor["metadata"]["labels"]["release"], "prom");
            let endpoint = &monitor["spec"][endpoints][0];
            assert_eq!(endpoint["port"], "metrics");
            let node = endpoint["relabelings"].to_string().contains("\"node\"");
            assert_eq!(
                node,
                part == "agent",
                "the controller's metrics have a label node themselves"
            );
            // What it selects is there.
            let found = objects.iter().filter(|((of, place, _), object)| {
                let labels = match kind {
                    "ServiceMonitor" if of == "Service" => &object["metadata"]["labels"],
                    "PodMonitor" if ["Deployment", "DaemonSet"].contains(&of.as_str()) => {
                        &object["spec"]["template"]["metadata"]["labels"]
                    }
                    _ => return false,
                };
                let wanted = monitor["spec"]["selector"]["matchLabels"]
                    .as_object()
                    .unwrap();
                place == namespace && wanted.iter().all(|(key, value)| &labels[key] == value)
            });
            assert_eq!(found.count(), 1, "{kind} {part}");
        }
    }
    let rule = object(&objects, "PrometheusRule", "nanoseg", "nanoseg");
    assert_eq!(rule["metadata"]["labels"]["release"], "prom");
    assert!(
        rule["spec"]["groups"]
            .as_array()
            .is_some_and(|groups| groups.len() == 3)
    );
    let dashboard = object(&objects, "ConfigMap", "grafana", "nanoseg-dashboard");
    assert_eq!(dashboard["metadata"]["labels"]["find"], "me");
    assert_eq!(
        dashboard["metadata"]["annotations"]["grafana_folder"],
        "Network"
    );
    let json = dashboard["data"]["nanoseg.json"].as_str().expect("text");
    serde_json::from_str::<Value>(json).expect("JSON");
}

#[test]
fn affinity_of_a_user_joins_that_of_the_chart_and_labels_that_find_pods_stay() {
    let values = "{controller: {affinity: {nodeAffinity: {x: v}}, podLabels: {a: b}, podAnnotations: {prometheus.io/scrape: 'false'}}}";
    let Some(objects) = helm(values) else { return };
    let template =
        &object(&objects, "Deployment", "nanoseg", "nanoseg-controller")["spec"]["template"];
    let affinity = template["spec"]["affinity"].as_object().unwrap();
    assert_eq!(
        affinity.keys().collect::<Vec<_>>(),
        ["nodeAffinity", "podAffinity"]
    );
    let labels = &template["metadata"]["labels"];
    assert_eq!(
        (&labels["a"], &labels["app.kubernetes.io/name"]),
        (&json!("b"), &json!("nanoseg-controller"))
    );
    assert_eq!(
        template["metadata"]["annotations"]["prometheus.io/scrape"],
        "false"
    );
    let Some(objects) = helm("{controller: {affinity: {podAffinity: {x: v}}}}") else {
        return;
    };
    let pod = &object(&objects, "Deployment", "nanoseg", "nanoseg-controller")["spec"]["template"]
        ["spec"];
    assert_eq!(pod["affinity"]["podAffinity"]["x"], "v");
}

/// A tool that commits the folder of GitOps needs the controller's volume.
#[test]
fn a_sidecar_mounts_the_volume_of_the_controller() {
    let values = "{controller: {extraContainers: [{name: git, image: git, volumeMounts: [{name: store, mountPath: /p, subPath: policies}]}], \
                   extraVolumes: [{name: key, secret: {secretName: k}}], extraVolumeMounts: [{name: key, mountPath: /k}]}, \
                   agent: {extraVolumes: [{name: more, emptyDir: {}}], extraVolumeMounts: [{name: more, mountPath: /m, readOnly: true}]}}";
    let Some(objects) = helm(values) else { return };
    let pod = &object(&objects, "Deployment", "nanoseg", "nanoseg-controller")["spec"]["template"]
        ["spec"];
    let names = |list: &Value| -> Vec<String> {
        let items = list.as_array().expect("a list").iter();
        items
            .map(|item| item["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    assert_eq!(names(&pod["containers"]), ["controller", "git"]);
    assert_eq!(names(&pod["volumes"]), ["store", "tls", "tmp", "key"]);
    assert_eq!(
        names(&pod["containers"][0]["volumeMounts"]),
        ["store", "tls", "tmp", "key"]
    );
    let pod = &object(&objects, "DaemonSet", "nanoseg-agents", "nanoseg-agent")["spec"]["template"]
        ["spec"];
    assert_eq!(names(&pod["volumes"]), ["spool", "ca", "token", "more"]);
}

/// Where agents do not run, nothing is observed: so the default is every node, and no class that a cluster may refuse.
#[test]
fn by_default_agents_run_on_every_node_and_ask_for_no_priority() {
    let Some(objects) = helm("{}") else { return };
    let pod = &object(&objects, "DaemonSet", "nanoseg-agents", "nanoseg-agent")["spec"]["template"]
        ["spec"];
    assert_eq!(pod["tolerations"], json!([{"operator": "Exists"}]));
    // A Windows node cannot run it, and would be tolerated too.
    assert_eq!(pod["nodeSelector"], json!({"kubernetes.io/os": "linux"}));
    for field in ["priorityClassName", "affinity"] {
        assert_eq!(pod[field], Value::Null, "{field}");
    }
    let namespace = object(&objects, "Namespace", "", "nanoseg-agents");
    assert_eq!(
        namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"],
        "privileged"
    );
    let Some(objects) = helm("{createAgentNamespace: false}") else {
        return;
    };
    assert!(objects.keys().all(|(kind, _, _)| kind != "Namespace"));
}

#[test]
fn the_network_policy_follows_the_cluster() {
    let values = "{networkPolicy: {apiServerPorts: [16443], metricsFrom: [{podSelector: {}}], extraEgress: [{ports: [{port: 5353, protocol: UDP}]}]}, \
                   nats: {enabled: true, url: 'tls://a:4223,tls://b'}}";
    let Some(objects) = helm(values) else { return };
    let policy = object(&objects, "NetworkPolicy", "nanoseg", "nanoseg-controller").to_string();
    assert!(
        policy.contains("16443") && policy.contains("5353") && !policy.contains(":6443"),
        "{policy}"
    );
    let nats = object(
        &objects,
        "NetworkPolicy",
        "nanoseg",
        "nanoseg-controller-nats",
    );
    let ports = &nats["spec"]["egress"][0]["ports"];
    assert_eq!(
        ports,
        &json!([{"port": 4223, "protocol": "TCP"}, {"port": 4222, "protocol": "TCP"}])
    );
    let Some(objects) = helm("{networkPolicy: {enabled: false}}") else {
        return;
    };
    assert!(objects.keys().all(|(kind, _, _)| kind != "NetworkPolicy"));
}
