//! The page with a real controller: decisions on the page are carried out in the cluster and are in the record.

use super::browser::Browser;
use super::{Ui, run};
use crate::controller::agent::Agent;
use crate::controller::operator::{Person, apply_role};
use crate::controller::process::Controller;
use crate::controller::until_published;
use crate::controller::world::World;
use crate::support::kubernetes::Cluster;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use nanoseg::flow::Verdict;
use nanoseg::net::Timestamp;
use nanoseg::record::PUBLISHED;
use nanoseg::review::resources::{Phase, PolicyProposal, Verb};
use serde_json::json;
use tokio::task::block_in_place;

fn ui(person: &Person, controller_namespace: &str) -> Ui {
    let path = person.kubeconfig.display().to_string();
    let folder = person.kubeconfig.parent().expect("a folder");
    let arguments = [
        "--kubeconfig",
        &path,
        "--controller-namespace",
        controller_namespace,
    ];
    Ui::start(folder, &arguments)
}

/// Decides on the page of a proposal. Returns the message of the page.
async fn decide(browser: &Browser, ui: &Ui, proposal: &PolicyProposal, verb: &str) -> String {
    let namespace = proposal.namespace().expect("a namespace");
    let path = format!("proposal/{namespace}/{}", proposal.name_any());
    browser.open(&ui.at(&path)).await;
    let button = format!("button[value={verb}]");
    browser.find(&button).await;
    browser.picture(&format!("controller-{verb}")).await;
    browser.write("[name=reason]", "CHG-7: looked at").await;
    browser.submit(&button).await;
    browser.text("#decided").await
}

/// A user who decides in the namespace and reads the whole cluster.
fn operator(cluster: &'static Cluster, world: &World) -> Person {
    let olga = Person::new(cluster, world, "olga", Some("operator"));
    olga.reads_the_cluster(cluster);
    olga.is_everywhere(cluster, &apply_role(cluster, "viewer"));
    olga
}

#[test]
fn a_proposal_is_approved_and_rolled_back_on_the_page_and_the_record_has_both() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "page", &[]);
    let world = World::make(cluster);
    let mut agent = Agent::new(cluster, &controller);
    world.segment("Enforce");
    agent.learn(&world, &[("web", "api", 8080), ("api", "db", 5432)]);
    let [_, _, db] = ["web", "api", "db"].map(|workload| world.open(workload));
    let olga = operator(cluster, &world);
    // The page reports a record that is replaced by a shorter one; here another test's record may be replaced.
    until_published(cluster, &controller);
    let ui = ui(&olga, "default");
    let namespace = &world.namespace;
    run(async {
        let Some(browser) = Browser::start().await else {
            return;
        };
        // Two proposals at once.
        browser.open(&ui.at("proposals")).await;
        for workload in ["web", "api"] {
            let choose = format!("input[name=one][value^='{namespace}/{workload}-']");
            browser.click(&choose).await;
        }
        browser.picture("controller-queue").await;
        browser.write("[name=reason]", "CHG-7: both").await;
        browser.submit("button[value=approve]").await;
        browser.picture("controller-both").await;
        assert_eq!(browser.count("#decided li.done").await, 2);
        let said = browser.text("#decided").await;
        let done = format!("{namespace}/web-1 approved and applied");
        assert!(said.contains(&done), "{said}");
        let policy = |name: &str| block_in_place(|| world.policy(name));
        policy("nanoseg-web");
        policy("nanoseg-api");

        // One proposal on its own page, and its later state.
        let said = decide(&browser, &ui, &db, "approve").await;
        assert!(said.contains("approved and applied"), "{said}");
        let first = policy("nanoseg-db");
        block_in_place(|| agent.see(&world, ("web", "db", 5432), Verdict::Refused, 3));
        let [asked, other] = ["db", "web"].map(|one| block_in_place(|| world.open(one)));
        let said = decide(&browser, &ui, &asked, "approve").await;
        assert!(said.contains("approved and applied"), "{said}");
        let second = policy("nanoseg-db");
        assert_ne!(second.spec, first.spec);
        assert!(format!("{:?}", second.spec).contains("web"), "{second:?}");

        // Rolled back: the revision before is in force.
        let path = format!("proposal/{namespace}/{}", asked.name_any());
        browser.open(&ui.at(&path)).await;
        browser.find("button[value=rollback]").await;
        assert!(browser.text("main").await.contains("Applied"));
        let said = decide(&browser, &ui, &asked, "rollback").await;
        assert!(said.contains("rolled back"), "{said}");
        block_in_place(|| {
            world.until_policy("nanoseg-db", "it is as before", |policy| {
                policy.is_some_and(|policy| policy.spec == first.spec)
            });
            world.until_phase(&asked, Phase::RolledBack);
        });
        browser.open(&ui.at(&path)).await;
        browser.until_text("main", "Rolled back").await;
        assert_eq!(browser.count("button[value=rollback]").await, 0);

        the_record_has_it(&browser, &ui, &olga, namespace).await;
        // The complete record: no write of the controller happens meanwhile.
        block_in_place(|| until_published(cluster, &controller));
        the_record_is_live_and_shows_what_was_altered(&browser, &ui, cluster, &world, &other).await;
        browser.end().await;
    });
}

#[test]
fn a_connection_whose_tick_is_taken_away_is_left_out_and_an_opening_has_its_end_on_the_page() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "ticks", &[]);
    let mut world = World::make(cluster);
    let mut agent = Agent::new(cluster, &controller);
    world.segment("Enforce");
    agent.learn(&world, &[("web", "db", 5432), ("api", "db", 5432)]);
    let db = world.until_open("db", |one| one.spec.review.evidence_total == 2);
    let olga = operator(cluster, &world);
    until_published(cluster, &controller);
    let ui = ui(&olga, "default");
    let namespace = world.namespace.clone();
    run(async {
        let Some(browser) = Browser::start().await else {
            return;
        };
        let path = format!("proposal/{namespace}/{}", db.name_any());
        browser.open(&ui.at(&path)).await;
        let text = browser.text("main").await;
        assert!(text.contains("Closes everything else"), "{text}");
        browser.click("details.except summary").await;
        browser.picture("controller-ticks").await;
        let tick = format!("input[name=allow][value*='/{namespace}/web → ']");
        browser.click(&tick).await;
        browser.write("[name=reason]", "CHG-9: not web").await;
        browser.submit("button[value=approve]").await;
        let said = browser.text("#decided").await;
        assert!(said.contains("approved and applied"), "{said}");
        let policy = format!("{:?}", block_in_place(|| world.policy("nanoseg-db")).spec);
        assert!(
            policy.contains("\"api\"") && !policy.contains("\"web\""),
            "{policy}"
        );
        browser.open(&ui.at(&path)).await;
        browser.until_text("main", "Approved without").await;

        block_in_place(|| {
            world.add_pod("job", 20, "n1");
            agent.see(&world, ("job", "db", 5432), Verdict::Refused, 3);
        });
        let asked = block_in_place(|| world.open("db"));
        let path = format!("proposal/{namespace}/{}", asked.name_any());
        browser.open(&ui.at(&path)).await;
        // The page may show the state of a moment ago.
        browser.until_text("main", "Refused before").await;
        let text = browser.text("main").await;
        assert!(
            text.contains("Refused before") && text.contains("left out"),
            "{text}"
        );
        browser.click("select[name=for] option[value='2']").await;
        browser.write("[name=reason]", "CHG-10: migration").await;
        browser.submit("button[value=approve]").await;
        let said = browser.text("#decided").await;
        assert!(said.contains("approved and applied"), "{said}");
        browser.open(&ui.at(&path)).await;
        browser.until_text("main", "is closed again at").await;
        browser.picture("controller-opening").await;
        browser.end().await;
    });
}

async fn the_record_has_it(browser: &Browser, ui: &Ui, olga: &Person, namespace: &str) {
    let path = format!("record?namespace={namespace}");
    browser.open(&ui.at(&path)).await;
    browser.until_text("tbody", "rolled-back").await;
    let text = browser.text("main").await;
    for wanted in [
        "chain verified",
        "ConfigMap default/nanoseg-record",
        "It has the whole record.",
        "CHG-7: both",
        &olga.name,
    ] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    assert!(!text.contains("altered"), "{text}");
    browser.picture("controller-record").await;
    let all = browser.count("tbody tr").await;
    let path = format!("record?namespace={namespace}&action=applied&text=nanoseg-db");
    browser.open(&ui.at(&path)).await;
    let few = browser.count("tbody tr").await;
    assert!((2..all).contains(&few), "{few} of {all}");
    let rest = browser.text("tbody").await;
    assert!(!rest.contains("nanoseg-web"), "{rest}");
}

async fn the_record_is_live_and_shows_what_was_altered(
    browser: &Browser,
    ui: &Ui,
    cluster: &'static Cluster,
    world: &World,
    open: &PolicyProposal,
) {
    browser.open(&ui.at("record")).await;
    browser.ask("window.isSame = true").await;
    // An administrator could do this without the admission policy of deploy/.
    let forge = async {
        let api: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
        let object = api.get(PUBLISHED).await.expect("it is there");
        let data = object.data.expect("data");
        let lines = data["record.jsonl"].replace("CHG-7: both", "CHG-8: none");
        let forged = json!({"data": {"record.jsonl": lines}});
        let params = PatchParams::default();
        let patched = api.patch(PUBLISHED, &params, &Patch::Merge(&forged)).await;
        patched.expect("it is changed");
    };
    block_in_place(|| cluster.run(forge));
    browser.until_text("main", "altered").await;
    let text = browser.text("main").await;
    assert!(text.contains("was changed, and 1 more"), "{text}");
    browser.picture("controller-record-altered").await;
    // The next line of the record restores all of them.
    block_in_place(|| world.post_decision(open, Verb::Reject));
    browser.until_text("tbody", "rejected").await;
    let text = browser.text("main").await;
    assert!(text.contains("chain verified"), "{text}");
    assert_eq!(browser.ask("return window.isSame").await, true, "no reload");
}

#[test]
fn a_user_without_access_to_the_record_sees_decisions_and_a_note() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "decisions", &[]);
    let world = World::make(cluster);
    let mut agent = Agent::new(cluster, &controller);
    world.segment("Enforce");
    agent.learn(&world, &[("web", "api", 8080), ("api", "db", 5432)]);
    world.decide_open("web", Verb::Approve);
    let olga = operator(cluster, &world);
    let paula = Person::new(cluster, &world, "paula", None);
    let role = cluster.name("looks");
    let resources = "--resource=pods,namespaces,networkpolicies";
    let made = cluster.kubectl(&[
        "create",
        "clusterrole",
        &role,
        "--verb=get,list,watch",
        resources,
    ]);
    assert!(made.status.success(), "{made:?}");
    paula.is_everywhere(cluster, &role);
    paula.is_everywhere(cluster, &apply_role(cluster, "operator"));
    let (paulas, elsewhere) = (ui(&paula, "default"), ui(&olga, "kube-public"));
    run(async {
        let Some(browser) = Browser::start().await else {
            return;
        };
        for (ui, reason) in [
            (&paulas, "you may not read it"),
            (
                &elsewhere,
                "There is no ConfigMap kube-public/nanoseg-record",
            ),
        ] {
            browser.open(&ui.at("record")).await;
            let text = browser.text("main").await;
            for wanted in ["not the record", reason, "--state", "as the test has it"] {
                assert!(text.contains(wanted), "{wanted} in {text}");
            }
            assert!(!text.contains("verified "), "{text}");
            browser.picture("controller-decisions").await;
        }
        browser.end().await;
    });
}

#[test]
fn a_sudden_rise_of_volume_is_shown_on_the_page_of_a_cluster() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let mut controller = Controller::start(cluster, "volume", &[]);
    let world = World::make(cluster);
    let mut agent = Agent::new(cluster, &controller);
    world.segment("Propose");
    let (edge, mib) = (("api", "db", 5432), 1 << 20);
    let now: Timestamp = jiff::Timestamp::now().into();
    for ago in 1..9 {
        let at = Timestamp::from_hour(now.hour() - ago).plus_secs(60);
        agent.carry(&world, edge, at, 2 * mib);
    }
    agent.carry(&world, edge, now, 300 * mib);
    world.open("db");
    // A leader computes volume when it starts, and every ten minutes.
    assert_eq!(controller.stop(), 0, "{}", controller.log());
    controller.restart();
    let olga = operator(cluster, &world);
    until_published(cluster, &controller);
    let ui = ui(&olga, "default");
    run(async {
        let Some(browser) = Browser::start().await else {
            return;
        };
        browser.open(&ui.at("risks")).await;
        let namespace = &world.namespace;
        browser.until_text("main", "volume-change").await;
        let text = browser.text("main").await;
        let change = format!("{namespace}/api → {namespace}/db 5432/TCP");
        for part in [
            "Busiest talkers",
            "316 MiB",
            &change,
            "had 300 MiB in its last hour, and usually has 2 MiB",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        // The page of a live cluster needs no snapshot.
        assert!(!text.contains("kubectl get"), "{text}");
        browser.picture("controller-volume").await;
        browser.end().await;
    });
}
