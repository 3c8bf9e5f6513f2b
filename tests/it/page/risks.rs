//! Risk context on the page: images, distance from the internet, and traffic volume.

use super::browser::Browser;
use super::{Ui, run};
use crate::operator::shop::Shop;
use crate::support::kubernetes::{Cluster, PATIENCE, until};
use std::path::Path;
use tokio::task::block_in_place;

fn ui() -> Ui {
    Ui::start(
        Path::new(env!("CARGO_MANIFEST_DIR")),
        &[
            "policies-out",
            "--vulnerabilities",
            "tests/data/scans/redis.json",
            "--approved-registry",
            "registry.example",
        ],
    )
}

#[test]
fn a_critical_vulnerability_that_the_internet_reaches_comes_first_everywhere() {
    let ui = ui();
    run(async {
        let Some(browser) = Browser::start().await else {
            return;
        };
        let headline = "critical CVE, reachable from the internet through 2 hops";
        browser.open(&ui.url).await;
        let first = browser.text(".first").await;
        assert!(
            first.contains("shop/redis") && first.contains(headline),
            "{first}"
        );
        assert_eq!(browser.count("svg .node.weak").await, 1);
        browser.picture("map-risks").await;

        browser.open(&ui.at("proposals")).await;
        let row = browser.text("tbody tr").await;
        assert!(
            row.contains("nanoseg-redis") && row.contains(headline),
            "{row}"
        );
        browser.open(&ui.at("proposal/shop/nanoseg-redis")).await;
        let text = browser.text("main").await;
        assert!(text.contains(headline), "{text}");

        browser.open(&ui.at("risks")).await;
        let text = browser.text("main").await;
        for part in [
            "Known vulnerabilities",
            headline,
            "1 critical, 1 low",
            "Reached from outside",
            "shop/web Service shop/web-public, called from public addresses",
            "unapproved-registry",
            "host-network-workload",
            "Busiest talkers",
            "Not known: volume by the hour",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        browser.picture("risks").await;

        browser.open(&ui.at("workload/shop/Deployment/redis")).await;
        let text = browser.text("main").await;
        for part in [
            "debian.example redis 7.0.15",
            "CVE-2099-0001 redis-server 7.0.16",
            "runs debian.example/redis:7.0.15: debian.example is not approved",
            "From the internet: through 2 hops now, through 3 hops as proposed.",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        browser.picture("workload-risks").await;
        browser.end().await;
    });
}

/// The definition of trivy-operator's resource, with the fields that are read.
const DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: vulnerabilityreports.aquasecurity.github.io}
spec:
  group: aquasecurity.github.io
  scope: Namespaced
  names: {kind: VulnerabilityReport, listKind: VulnerabilityReportList, plural: vulnerabilityreports, singular: vulnerabilityreport}
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

#[test]
fn scans_of_trivy_operator_are_read_with_the_rights_of_the_user() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let shop = Shop::make(cluster);
    let binding = cluster.name("risks");
    for role in ["nanoseg-reader", "nanoseg-viewer"] {
        let name = format!("{binding}-{role}");
        let bind = [
            "create",
            "clusterrolebinding",
            &name,
            "--user",
            "rosa",
            "--clusterrole",
            role,
        ];
        let bound = cluster.kubectl(&bind);
        assert!(bound.status.success(), "{bound:?}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let apply = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        let path = path.display().to_string();
        cluster.run(until(PATIENCE, name, async || {
            let applied = cluster.kubectl(&["apply", "-f", &path]);
            let done = applied.status.success().then_some(());
            done.ok_or_else(|| format!("{applied:?}"))
        }));
    };
    apply("definition.yaml", DEFINITION);
    let namespace = &shop.namespace;
    let deployment = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: {namespace}}}\n\
         spec:\n  selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    \
         spec: {{containers: [{{name: web, image: 'example.org/web:1'}}]}}\n"
    );
    apply("deployment.yaml", &deployment);
    let report = format!(
        "apiVersion: aquasecurity.github.io/v1alpha1\nkind: VulnerabilityReport\n\
         metadata: {{name: replicaset-web-web, namespace: {namespace}}}\n\
         report:\n  artifact: {{repository: web, tag: '1'}}\n  registry: {{server: example.org}}\n  vulnerabilities:\n  \
         - {{vulnerabilityID: CVE-2099-0004, resource: zlib, severity: CRITICAL, installedVersion: '1', fixedVersion: '2'}}\n"
    );
    apply("report.yaml", &report);
    let kubeconfig = shop.rosa.display().to_string();
    let ui = Ui::start(folder.path(), &["--kubeconfig", &kubeconfig]);
    run(async {
        let Some(browser) = Browser::start().await else {
            return;
        };
        let page = format!("workload/{namespace}/Deployment/web");
        browser.open(&ui.at(&page)).await;
        let text = browser.text("main").await;
        for part in [
            "example.org web 1",
            "critical CVE, not reachable from the internet",
            "CVE-2099-0004 zlib 2",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        // Another scan, approved images and a pod appear without a reload.
        let apply = |name: &str, text: &str| block_in_place(|| apply(name, text));
        apply("rescan.yaml", &report.replace("0004", "0005"));
        browser.until_text("main", "CVE-2099-0005").await;
        let approves = format!(
            "apiVersion: nanoseg.dev/v1alpha1\nkind: Segmentation\nmetadata: {{name: default, namespace: {namespace}}}\n\
             spec: {{mode: Observe, changedBy: 'admin', images: {{approvedRegistries: [registry.example]}}}}\n"
        );
        apply("segmentation.yaml", &approves);
        browser
            .until_text("main", "example.org is not approved")
            .await;
        browser.open(&ui.at("workloads")).await;
        let pod = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: newcomer, namespace: {namespace}}}\n\
             spec: {{containers: [{{name: main, image: 'example.org/new:1'}}]}}\n"
        );
        apply("pod.yaml", &pod);
        browser.until_text("main", "newcomer").await;
        browser.end().await;
    });
}
