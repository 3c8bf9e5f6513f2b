//! The input of a user on a page is kept while updates arrive.

use super::browser::Browser;
use super::{Ui, run};
use fantoccini::Locator;
use serde_json::Value;
use std::time::Duration;

/// The timeout for opening a tab.
const PATIENCE: Duration = Duration::from_secs(30);
/// Simulates that the tab is hidden and shown again.
const HIDE: &str = "Object.defineProperty(document, 'visibilityState', {value: 'hidden', configurable: true});\
                    document.dispatchEvent(new Event('visibilitychange'))";
const SHOW: &str = "Object.defineProperty(document, 'visibilityState', {value: 'visible', configurable: true});\
                    document.dispatchEvent(new Event('visibilitychange'))";
/// Marks the shown version as old, so that the update arrives when the page listens again.
const OLD: &str = "document.getElementById('live').textContent = ''; document.body.dataset.version = -1; document.querySelector('main').isOld = true";
const IS_OLD: &str = "return !!document.querySelector('main').isOld";

async fn something_comes_in(browser: &Browser) {
    for script in [HIDE, OLD, SHOW] {
        browser.ask(script).await;
    }
}

/// A field with text, and the element that shows that there is an update.
async fn stays(browser: &Browser, field: &str, written: &str) {
    browser.until_text("#live", "There is something new").await;
    let value = format!("return document.querySelector('{field}').value");
    assert_eq!(browser.ask(&value).await, written);
    assert_eq!(browser.ask(IS_OLD).await, true);
}

#[test]
fn many_tabs_do_not_use_all_connections_and_a_tab_that_is_shown_again_updates_itself() {
    let ui = Ui::sample();
    run(async {
        let Some(browser) = Browser::start().await else {
            return;
        };
        for _ in 0..8 {
            let tab = browser.client.new_window(true).await.expect("a tab");
            let switched = browser.client.switch_to_window(tab.handle).await;
            switched.expect("another tab");
            // Without a free connection it would wait for one.
            let opened = tokio::time::timeout(PATIENCE, browser.open(&ui.url));
            opened.await.expect("the tab has a connection");
            browser.ask(HIDE).await;
        }
        assert_eq!(browser.ask(IS_OLD).await, false);
        browser.ask(OLD).await;
        browser.ask(SHOW).await;
        browser.until_text("#live", "Updated.").await;
        assert_eq!(browser.ask(IS_OLD).await, false);
        browser.end().await;
    });
}

#[test]
fn typed_text_is_kept_until_it_is_removed_and_the_update_is_shown_then() {
    let ui = Ui::sample();
    run(async {
        let Some(browser) = Browser::start().await else {
            return;
        };
        browser.open(&ui.at("what-if")).await;
        browser.write("#yaml", "kind: x").await;
        // No element has the focus any more.
        browser.ask("document.activeElement.blur()").await;
        something_comes_in(&browser).await;
        stays(&browser, "#yaml", "kind: x").await;
        let yaml = browser.client.find(Locator::Css("#yaml")).await;
        yaml.expect("it is there").clear().await.expect("empty");
        browser.ask("document.activeElement.blur()").await;
        browser.until_text("#live", "Updated.").await;
        assert_eq!(browser.ask(IS_OLD).await, false);

        // A select list too.
        browser
            .ask("document.querySelector('[name=against]').selectedIndex = 0")
            .await;
        something_comes_in(&browser).await;
        browser.until_text("#live", "There is something new").await;
        browser.end().await;
    });
}

#[test]
fn the_map_keeps_search_focus_and_position_when_it_is_updated() {
    let ui = Ui::sample();
    run(async {
        let Some(browser) = Browser::start().await else {
            return;
        };
        browser.open(&ui.url).await;
        browser.write("#search", "postgres").await;
        something_comes_in(&browser).await;
        browser.until_text("#live", "Updated.").await;
        assert_eq!(browser.count(".node.hit").await, 1);
        assert_eq!(
            browser.ask("return document.activeElement.id").await,
            "search"
        );
        assert_eq!(
            browser.ask("return document.activeElement.value").await,
            "postgres"
        );
        // Lines to the found node are not dimmed; others are.
        assert!(browser.count(".edge.near").await > 0);
        assert!(browser.count(".pin:not(.near)").await > 0);
        let opacity = "return getComputedStyle(document.querySelector('.pin:not(.near)')).opacity";
        assert_eq!(browser.ask(opacity).await, "0.25");

        browser
            .ask("document.querySelector('.node.hit').focus()")
            .await;
        something_comes_in(&browser).await;
        browser.until_text("#live", "Updated.").await;
        assert_eq!(browser.ask(IS_OLD).await, false);
        let focus = "return document.activeElement.getAttribute('href')";
        let href = browser.ask(focus).await;
        let is_it = |href: &str| href.ends_with("/workload/shop/StatefulSet/postgres");
        assert!(href.as_str().is_some_and(is_it), "{href}");
        browser.end().await;
    });
}

#[test]
fn search_and_keyboard_scroll_nodes_into_the_view() {
    let ui = Ui::sample();
    run(async {
        let Some(browser) = Browser::start().await else {
            return;
        };
        browser.open(&ui.url).await;
        let is_seen = "const at = document.querySelector(arguments[0]).getBoundingClientRect(), \
                       box = document.getElementById('map').getBoundingClientRect(); \
                       return at.left >= box.left && at.right <= box.right && at.top >= box.top && at.bottom <= box.bottom";
        let seen = async |selector: &str| {
            let arguments = vec![Value::from(selector)];
            let found = browser.client.execute(is_seen, arguments).await;
            found.expect("an answer") == true
        };
        let far = async || {
            browser.click("#zoom [data-key='0']").await;
            for _ in 0..5 {
                browser.click("#zoom [data-key='+']").await;
            }
            browser.write("#map", &"\u{e012}".repeat(40)).await;
        };
        let postgres = ".node[href$='/postgres']";
        assert!(seen(postgres).await);
        far().await;
        assert!(!seen(postgres).await, "panned away");
        browser.write("#search", "postgres").await;
        assert!(seen(postgres).await, "found");
        far().await;
        // The first focusable element of the map is its first box: boxes come before lines.
        browser.write("#map", "\u{e004}").await;
        let first = "return document.activeElement === document.querySelector('#map a.node')";
        assert_eq!(browser.ask(first).await, true);
        assert!(seen("#map a:focus").await, "in view");
        browser.click("#zoom [data-key='0']").await;
        assert!(seen(postgres).await, "all of it");
        browser.end().await;
    });
}
