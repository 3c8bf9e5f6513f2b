//! The live part of room `cluster` with a real API server: what it reads, and what it writes.

use crate::operator::shop::{Shop, ours, proposal};
use crate::support::kubernetes::{Cluster, PATIENCE, until};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, CustomResourceExt, ResourceExt};
use nanoseg::cluster::live::{Refused, WatchSettings, Watches, WriteError, Writer};
use nanoseg::inventory::kubernetes::Pod as Known;
use nanoseg::net::Timestamp;
use nanoseg::review::resources::{PolicyProposal, ProposalDecision, Segmentation};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Half of what a usual round takes in these tests: enough for a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// Creates the custom resource definitions, and waits until they are established.
async fn install(cluster: &Cluster) {
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client());
    let params = PatchParams::apply("test").force();
    for definition in [
        Segmentation::crd(),
        PolicyProposal::crd(),
        ProposalDecision::crd(),
    ] {
        let name = definition.name_any();
        let applied = definitions
            .patch(&name, &params, &Patch::Apply(&definition))
            .await;
        applied.unwrap_or_else(|e| panic!("{name} is accepted: {e}"));
        until(PATIENCE, "the definition is established", async || {
            let definition = definitions.get(&name).await.map_err(|e| e.to_string())?;
            let conditions = definition.status.and_then(|s| s.conditions);
            let mut conditions = conditions.unwrap_or_default().into_iter();
            let is_so = conditions.any(|c| c.type_ == "Established" && c.status == "True");
            is_so.then_some(()).ok_or_else(|| "not yet".to_owned())
        })
        .await;
    }
}

fn policy(namespace: &str, name: &str, port: u16) -> NetworkPolicy {
    serde_json::from_value(json!({
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "podSelector": {"matchLabels": {"app": "api"}},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"port": port, "protocol": "TCP"}]}]
        }
    }))
    .expect("a policy")
}

#[test]
fn watches_have_all_objects_and_keep_deleted_pods_for_some_time() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let namespace = cluster.namespace("watch");
    cluster.run(async {
        install(cluster).await;
        let watches = Watches::start(cluster.client(), WatchSettings::default());
        until(PATIENCE, "everything is listed", async || {
            watches.check().map_err(|stale| stale.to_string())
        }).await;
        let pods: Api<Pod> = Api::namespaced(cluster.client(), &namespace);
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web", "labels": {"app": "web"}},
            "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "example.org/web:1"}]}
        }))
        .expect("a pod");
        pods.create(&PostParams::default(), &pod).await.expect("the pod is made");
        let status = json!({"status": {"podIP": "10.9.9.9", "podIPs": [{"ip": "10.9.9.9"}], "phase": "Running"}});
        let patched = pods.patch_status("web", &PatchParams::default(), &Patch::Merge(&status)).await;
        patched.expect("it has an address");
        let has = |pod: &Known| {
            let ours = pod.metadata.namespace.as_deref() == Some(namespace.as_str());
            let ip = pod.status.as_ref().and_then(|s| s.pod_ip.as_deref());
            ours && ip == Some("10.9.9.9")
        };
        until(PATIENCE, "the pod is seen", async || {
            watches.objects().pods.iter().any(has).then_some(()).ok_or_else(|| "not yet".to_owned())
        })
        .await;
        let before = watches.inventory_generation();
        let now = DeleteParams::default().grace_period(0);
        pods.delete("web", &now).await.expect("it is deleted");
        until(PATIENCE, "it is gone, and kept", async || {
            watches.departed().iter().any(has).then_some(()).ok_or_else(|| "not yet".to_owned())
        })
        .await;
        assert!(watches.objects().pods.iter().any(has));
        assert!(watches.inventory_generation() > before);
        assert_eq!(watches.check(), Ok(()));
    });
}

#[test]
fn watches_that_are_asked_catch_up_within_seconds_and_others_in_their_time() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    cluster.run(async {
        install(cluster).await;
        // A usual round takes 40 s.
        let settings = WatchSettings {
            limit: Duration::from_secs(100),
            ..WatchSettings::default()
        };
        let watches = Watches::start(cluster.client(), settings);
        until(PATIENCE, "everything is listed", async || {
            watches.check().map_err(|stale| stale.to_string())
        })
        .await;
        for _ in 0..3 {
            let wanted = Timestamp::from(jiff::Timestamp::now());
            assert!(watches.caught_up().expect("all is listed") < wanted);
            watches.catch_up(wanted);
            until(SOON, "the watches have caught up", async || {
                let caught_up = watches.caught_up().expect("all is listed");
                let is_it = caught_up >= wanted;
                is_it
                    .then_some(())
                    .ok_or_else(|| format!("{caught_up}, not {wanted}"))
            })
            .await;
        }
        assert_eq!(watches.check(), Ok(()));
    });
}

#[test]
fn a_policy_is_written_once_and_never_replaces_a_policy_of_somebody_else() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let namespace = cluster.namespace("write");
    let segmentation: Segmentation = serde_json::from_value(json!({
        "metadata": {"name": "default"},
        "spec": {"mode": "Enforce", "changedBy": "admin"},
    }))
    .expect("a Segmentation");
    cluster.run(async {
        install(cluster).await;
        // The admission policies let policies be written where a Segmentation enforces them.
        let segmentations: Api<Segmentation> = Api::namespaced(cluster.client(), &namespace);
        let params = PostParams::default();
        let made = segmentations.create(&params, &segmentation).await;
        made.expect("a Segmentation");
        let writer = Writer::new(cluster.client(), Arc::new(|| Ok(())));
        let first = writer
            .apply_policy(&policy(&namespace, "nanoseg-api", 80))
            .await
            .expect("it is written");
        assert!(first.created && first.changed);
        let second = writer
            .apply_policy(&policy(&namespace, "nanoseg-api", 80))
            .await
            .expect("it is there");
        assert!(!second.changed);
        assert_eq!(
            second.object.resource_version(),
            first.object.resource_version()
        );
        let third = writer
            .apply_policy(&policy(&namespace, "nanoseg-api", 81))
            .await
            .expect("it is changed");
        assert!(third.changed && !third.created);

        let theirs: Api<NetworkPolicy> = Api::namespaced(cluster.client(), &namespace);
        let by_hand = policy(&namespace, "by-hand", 22);
        theirs
            .create(&PostParams::default(), &by_hand)
            .await
            .expect("somebody else's");
        let refused = writer
            .apply_policy(&policy(&namespace, "by-hand", 80))
            .await;
        assert!(
            matches!(refused, Err(WriteError::Foreign { .. })),
            "{refused:?}"
        );
        let refused = writer.delete_policy(&namespace, "by-hand", None).await;
        assert!(
            matches!(refused, Err(WriteError::Foreign { .. })),
            "{refused:?}"
        );

        let uid = third.object.uid();
        assert!(
            !writer
                .delete_policy(&namespace, "nanoseg-api", Some("another"))
                .await
                .expect("no error")
        );
        assert!(
            writer
                .delete_policy(&namespace, "nanoseg-api", uid.as_deref())
                .await
                .expect("no error")
        );
        let left: Vec<String> = theirs
            .list(&Default::default())
            .await
            .expect("a list")
            .iter()
            .map(ResourceExt::name_any)
            .collect();
        assert_eq!(left, ["by-hand"]);
    });
}

#[test]
fn an_edit_of_a_proposal_is_not_overwritten_unread() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let shop = Shop::make(cluster);
    let namespace = shop.namespace.clone();
    // Nobody else may create proposals.
    let controller = cluster.service_account_kubeconfig("nanoseg", "nanoseg-controller");
    cluster.run(async {
        let writer = Writer::new(cluster.client_of(&controller), Arc::new(|| Ok(())));
        let of = |digit: &str| {
            let spec = serde_json::from_value(proposal("low", digit)).expect("a proposal");
            let mut proposal = PolicyProposal::new("web-9", spec);
            proposal.metadata.namespace = Some(namespace.clone());
            proposal.metadata.labels = Some(ours());
            proposal
        };
        let made = writer.apply_proposal(&of("1"), None).await.expect("made");
        assert!(made.created);
        let proposals: Api<PolicyProposal> = Api::namespaced(cluster.client(), &namespace);
        let edit = json!({"spec": {"policy": {"ingress": []}}});
        let edited = proposals
            .patch("web-9", &PatchParams::default(), &Patch::Merge(&edit))
            .await
            .expect("edited");
        // Neither a writer that creates it nor one that has its first version overwrites it.
        for seen in [None, Some(&made.object)] {
            let refused = writer.apply_proposal(&of("2"), seen).await;
            let is_conflict = matches!(refused, Err(WriteError::Conflict { .. }));
            assert!(is_conflict, "{refused:?}");
            assert_eq!(
                proposals.get("web-9").await.expect("there").spec,
                edited.spec
            );
        }
        let written = writer.apply_proposal(&of("2"), Some(&edited)).await;
        assert_eq!(written.expect("written").object.spec, of("2").spec);
    });
}

#[test]
fn behind_a_closed_fence_nothing_is_written() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let namespace = cluster.namespace("fence");
    cluster.run(async {
        let writer = Writer::new(cluster.client(), Arc::new(|| Err(Refused::NoLease)));
        let refused = writer
            .apply_policy(&policy(&namespace, "nanoseg-api", 80))
            .await;
        assert!(
            matches!(refused, Err(WriteError::Refused { .. })),
            "{refused:?}"
        );
        let policies: Api<NetworkPolicy> = Api::namespaced(cluster.client(), &namespace);
        let there = policies.list(&Default::default()).await.expect("a list");
        assert!(there.items.is_empty());
    });
}

#[test]
fn an_invalid_segmentation_is_refused_by_the_schema() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let namespace = cluster.namespace("schema");
    cluster.run(async {
        install(cluster).await;
        let segmentations: Api<Segmentation> = Api::namespaced(cluster.client(), &namespace);
        let of = |name: &str, spec: serde_json::Value| -> serde_json::Value {
            json!({"apiVersion": "nanoseg.dev/v1alpha1", "kind": "Segmentation",
                   "metadata": {"name": name, "namespace": namespace}, "spec": spec})
        };
        let params = PatchParams::apply("test");
        let good = of("default", json!({"mode": "Propose", "changedBy": "admin"}));
        let made = segmentations
            .patch("default", &params, &Patch::Apply(&good))
            .await
            .expect("a good one");
        assert_eq!(
            made.spec.learning.minimum_coverage, 95,
            "defaults are the schema's"
        );
        for (name, spec, word) in [
            ("other", json!({}), "name it default"),
            ("default", json!({"mode": "Enforced"}), "mode"),
            (
                "default",
                json!({"learning": {"minimumCoverage": 101}}),
                "minimumCoverage",
            ),
            (
                "default",
                json!({"learning": {"minimumDuration": "soon"}}),
                "minimumDuration",
            ),
        ] {
            let bad = of(name, spec);
            let refused = segmentations
                .patch(name, &params.clone().force(), &Patch::Apply(&bad))
                .await;
            let said = refused.expect_err("it is refused").to_string();
            assert!(said.contains(word), "{said}");
        }
    });
}
