//! The page on a narrow screen.

use super::browser::Browser;
use super::{Ui, run};

#[test]
fn on_a_narrow_screen_only_tables_scroll_sideways_and_in_their_own_box() {
    let ui = Ui::sample();
    run(async {
        let Some(browser) = Browser::narrow().await else {
            return;
        };
        for (name, path) in [
            ("map", ""),
            ("proposals", "proposals"),
            ("proposal", "proposal/shop/nanoseg-app"),
            ("workloads", "workloads"),
            ("workload", "workload/shop/Deployment/app"),
            ("risks", "risks"),
            ("what-if", "what-if"),
            ("record", "record"),
            ("edge", "edge?from=any&to=workload/shop/Deployment/app"),
        ] {
            browser.open(&ui.at(path)).await;
            let widths = "const root = document.documentElement; return [root.scrollWidth, root.clientWidth]";
            let widths = browser.ask(widths).await;
            assert!(widths[1].as_u64() <= Some(390), "{name}: {widths}");
            assert_eq!(widths[0], widths[1], "{name}");
            browser.picture(&format!("narrow-{name}")).await;
        }
        browser.end().await;
    });
}
