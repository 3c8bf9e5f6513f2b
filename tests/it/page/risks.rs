//! Risk context on the page: what runs, how near the internet is, who sends most.

use super::browser::Browser;
use super::{Ui, run};
use std::path::Path;

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
            "From the internet: reached over others now",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        browser.picture("workload-risks").await;
        browser.end().await;
    });
}
