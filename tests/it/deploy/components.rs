//! Each way of installing gives the same objects with kustomize as with Helm.

use super::rendered::{assert_same, comparable, helm, kustomize, program, root, text};
use std::collections::BTreeSet;
use std::process::Command;

/// What `deploy/components/settings` sets.
const SETTINGS: &str = r#"
imagePullSecrets: [{name: registry}]
image: {pullPolicy: Always}
log: {format: text, level: debug}
controller:
  priorityClassName: system-cluster-critical
  nodeSelector: {node.example/pool: system}
  tolerations: [{key: dedicated, operator: Equal, value: infrastructure, effect: NoSchedule}]
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/arch, operator: In, values: [amd64]}]}]
  topologySpreadConstraints:
    - topologyKey: topology.kubernetes.io/zone
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector: {matchLabels: {app.kubernetes.io/name: nanoseg-controller}}
  podLabels: {team: platform}
  podAnnotations: {example.com/owner: platform}
  serviceAccount: {annotations: {example.com/role: nanoseg-controller}}
  extraEnv: [{name: NANOSEG_RETENTION, value: 48h}]
  resources: {requests: {cpu: 200m, memory: 512Mi}, limits: {memory: 2Gi}}
agent:
  priorityClassName: system-node-critical
  nodeSelector: {node.example/observed: "true"}
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms: [{matchExpressions: [{key: eks.amazonaws.com/compute-type, operator: NotIn, values: [fargate]}]}]
  podLabels: {team: platform}
  podAnnotations: {example.com/owner: platform}
  serviceAccount: {annotations: {example.com/role: nanoseg-agent}}
  extraEnv: [{name: RUST_BACKTRACE, value: "1"}]
  resources: {requests: {cpu: 50m, memory: 96Mi}, limits: {memory: 256Mi}}
"#;

/// Components, and the values of the chart that are the same.
fn components() -> Vec<(&'static str, String)> {
    let priorities = "{controller: {priorityClassName: system-cluster-critical}, agent: {priorityClassName: system-node-critical}}";
    let spread = "{controller: {spread: true}, storage: {accessModes: [ReadWriteMany]}}";
    let own = [
        ("cert-manager", "tls: {mode: cert-manager}"),
        ("dashboards", "dashboards: {enabled: true}"),
        ("gitops", "gitops: {enabled: true}"),
        ("hubble-relay", "hubbleRelay: {enabled: true}"),
        ("nats", "nats: {enabled: true}"),
        ("other-policies", "otherPolicies: {enabled: true}"),
        ("pod-monitors", "podMonitor: {enabled: true}"),
        ("priority-classes", priorities),
        ("prometheus-rule", "prometheusRule: {enabled: true}"),
        ("service-monitors", "serviceMonitor: {enabled: true}"),
        ("settings", SETTINGS),
        ("spread", spread),
    ];
    own.map(|(name, values)| (name, values.to_owned())).into()
}

#[test]
fn the_chart_and_kustomize_give_the_same_objects() {
    let (Some(mut chart), Some(mut kustomized)) = (helm("{}"), kustomize("")) else {
        return;
    };
    comparable(&mut chart, &mut kustomized);
    assert_same("deploy", &chart, &kustomized);
}

/// A kustomization with components, in a folder of the test, which kubectl reads like an overlay of deploy/.
fn with_components(names: &[&str]) -> Option<super::rendered::Objects> {
    let folder = tempfile::tempdir_in(root("target")).expect("a folder");
    let up = "../../deploy";
    let mut all = format!("resources: [{up}/base]\ncomponents:\n");
    names.iter().for_each(|name| {
        all.push_str(&format!("  - {up}/components/{name}\n"));
    });
    all.push_str("images: [{name: nanoseg, newName: registry.example/nanoseg, newTag: 0.1.0}]\n");
    std::fs::write(folder.path().join("kustomization.yaml"), all).expect("a file");
    kustomize(folder.path().to_str().expect("a path"))
}

#[test]
fn each_component_is_what_a_value_of_the_chart_is() {
    for (name, values) in components() {
        let (Some(mut chart), Some(mut kustomized)) = (helm(&values), with_components(&[name]))
        else {
            return;
        };
        comparable(&mut chart, &mut kustomized);
        assert_same(name, &chart, &kustomized);
    }
}

#[test]
fn every_component_is_compared_and_every_overlay_can_be_built() {
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(root(folder)).expect(folder);
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    };
    let compared = components();
    let compared: BTreeSet<String> = compared.iter().map(|(name, _)| (*name).into()).collect();
    assert_eq!(names("deploy/components"), compared);
    for overlay in names("deploy/overlays") {
        if kustomize(&format!("overlays/{overlay}")).is_none() {
            return;
        }
    }
}

#[test]
fn components_go_together() {
    let sets: [&[&str]; 4] = [
        &["cert-manager", "nats", "gitops", "spread", "settings"],
        &["hubble-relay", "nats", "settings"],
        &["pod-monitors", "prometheus-rule", "dashboards", "spread"],
        &["settings", "service-monitors", "gitops", "cert-manager"],
    ];
    for set in sets {
        let Some(all) = with_components(set) else {
            return;
        };
        assert!(all.len() > 40, "{set:?}");
    }
}

/// Helm reads only files of the chart, and kustomize only those below its folder: so there are copies.
#[test]
fn copies_of_alerts_and_dashboard_are_the_same() {
    let alerts = text("deploy/monitoring/alerts.yaml");
    let dashboard = text("deploy/monitoring/dashboard.json");
    let mut rule = String::from(
        "# Made from deploy/monitoring/alerts.yaml by NANOSEG_UPDATE=1 cargo test --test it deploy.\n\
         apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: nanoseg\n  \
         namespace: nanoseg\n  labels:\n    app.kubernetes.io/part-of: nanoseg\nspec:\n",
    );
    for line in alerts.lines() {
        rule.push_str(&format!("  {line}\n"));
    }
    let copies = [
        ("deploy/helm/nanoseg/files/alerts.yaml", alerts),
        (
            "deploy/helm/nanoseg/files/dashboard.json",
            dashboard.clone(),
        ),
        ("deploy/components/dashboards/dashboard.json", dashboard),
        (
            "deploy/components/prometheus-rule/prometheus-rule.yaml",
            rule,
        ),
    ];
    for (file, wanted) in copies {
        if std::env::var_os("NANOSEG_UPDATE").is_some() {
            std::fs::write(root(file), &wanted).expect(file);
        }
        assert_eq!(
            text(file),
            wanted,
            "{file}: NANOSEG_UPDATE=1 cargo test --test it deploy"
        );
    }
}

#[test]
fn both_builders_leave_the_same_out_of_an_image() {
    assert_eq!(text(".dockerignore"), text(".containerignore"));
}

/// `kubectl delete -k deploy` takes the volume with its namespace: what is to stay has a label to leave it by.
#[test]
fn what_removing_leaves_has_a_label_and_all_else_has_not() {
    let Some(all) = kustomize("") else { return };
    let kept: Vec<(&str, &str)> = all
        .iter()
        .filter(|(_, object)| object["metadata"]["labels"]["nanoseg.dev/on-uninstall"] == "keep")
        .map(|((kind, _, name), _)| (kind.as_str(), name.as_str()))
        .collect();
    let wanted = [
        ("CustomResourceDefinition", "policyproposals.nanoseg.dev"),
        ("CustomResourceDefinition", "proposaldecisions.nanoseg.dev"),
        ("CustomResourceDefinition", "segmentations.nanoseg.dev"),
        ("Namespace", "nanoseg"),
        ("PersistentVolumeClaim", "nanoseg-store"),
    ];
    assert_eq!(kept, wanted);
    // Documents and notes say so, with the command.
    let command = "kubectl delete -k deploy -l 'nanoseg.dev/on-uninstall!=keep'";
    let install = text("docs/install.md");
    let notes = text("deploy/helm/nanoseg/templates/NOTES.txt");
    assert!(install.contains(command), "docs/install.md says: {command}");
    for stays in [
        "spool.hostPath",
        "-store",
        "custom resources",
        "approved policies",
    ] {
        assert!(notes.contains(stays), "NOTES.txt says that {stays} stays");
    }
    assert!(install.contains("/var/lib/nanoseg"), "on each node");
}

#[test]
fn the_chart_is_in_order() {
    let Some(helm) = program("helm") else { return };
    let chart = root("deploy/helm/nanoseg");
    let output = Command::new(helm)
        .args(["lint", "--strict"])
        .arg(chart)
        .output();
    let output = output.expect("helm starts");
    assert!(output.status.success(), "{output:?}");
}

/// The version is in Cargo.toml, in the chart and in the tag of the image.
#[test]
fn chart_and_image_have_the_version_of_the_program() {
    let version = env!("CARGO_PKG_VERSION");
    let chart = text("deploy/helm/nanoseg/Chart.yaml");
    for line in ["version", "appVersion"] {
        let line = format!("\n{line}: {version}\n");
        assert!(chart.contains(&line), "{line}");
    }
    let tag = format!("    newTag: {version}\n");
    assert!(text("deploy/kustomization.yaml").ends_with(&tag));
    for overlay in std::fs::read_dir(root("deploy/overlays")).expect("a folder") {
        let path = overlay.expect("an entry").path().join("kustomization.yaml");
        let overlay = std::fs::read_to_string(&path).expect("a file");
        assert!(overlay.ends_with(&tag), "{}", path.display());
    }
}
