//! A real browser: Debian's chromium, driven through chromedriver (W3C WebDriver).

use crate::support::kubernetes::PATIENCE;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A separate browser.
pub struct Browser {
    driver: Child,
    pub client: Client,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Browser {
    /// Starts a browser. Returns `None` if chromedriver is not installed, or fails if nothing may be missing.
    pub async fn start() -> Option<Browser> {
        Browser::with(json!({})).await
    }

    /// Does the same with a screen as narrow as a telephone's.
    pub async fn narrow() -> Option<Browser> {
        let screen = json!({"width": 390, "height": 844, "pixelRatio": 1.0, "mobile": false});
        Browser::with(json!({"mobileEmulation": {"deviceMetrics": screen}})).await
    }

    async fn with(mut options: Value) -> Option<Browser> {
        let started = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut driver = match started {
            Ok(driver) => driver,
            Err(error) => {
                let required = std::env::var_os("NANOSEG_REQUIRE_ALL").is_some();
                assert!(!required, "chromedriver: {error}");
                eprintln!("skipped: chromedriver is not installed");
                return None;
            }
        };
        let lines = BufReader::new(driver.stdout.take().expect("its output")).lines();
        let port = lines.map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let port = port.expect("chromedriver tells its port");
        let mut wanted = serde_json::map::Map::new();
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1400,1000",
        ];
        options["args"] = json!(arguments);
        wanted.insert("goog:chromeOptions".into(), options);
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(wanted);
        let client = builder.connect(&format!("http://127.0.0.1:{port}")).await;
        Some(Browser {
            client: client.expect("a session"),
            driver,
        })
    }

    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.expect("a page");
    }

    /// Waits for the first element that a CSS selector matches and returns its text. Reads it again if the page was
    /// updated meanwhile.
    pub async fn text(&self, selector: &str) -> String {
        for _ in 0..5 {
            match self.find(selector).await.text().await {
                Ok(text) => return text,
                Err(error) if is_gone(&error.to_string()) => {}
                Err(error) => panic!("{selector}: {error}"),
            }
        }
        panic!("{selector}: the page does not come to rest");
    }

    /// Waits until no element matches.
    pub async fn until_no(&self, selector: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.count(selector).await > 0 {
            assert!(Instant::now() < deadline, "{selector} is there still");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until an element's text contains a word, because the page updates itself.
    pub async fn until_text(&self, selector: &str, word: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.text(selector).await;
            if text.contains(word) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "no {word:?} in {selector}: {text}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Clicks a submit button, and waits until another page is loaded.
    pub async fn submit(&self, selector: &str) {
        self.ask("window.isBefore = true").await;
        self.click(selector).await;
        let deadline = Instant::now() + PATIENCE;
        let is_new = "return !window.isBefore && document.readyState === 'complete'";
        // During navigation there may be no document in which a script can run.
        while !matches!(
            self.client.execute(is_new, Vec::new()).await,
            Ok(Value::Bool(true))
        ) {
            assert!(Instant::now() < deadline, "{selector}: no other page comes");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn find(&self, selector: &str) -> fantoccini::elements::Element {
        let wait = self.client.wait().at_most(PATIENCE);
        let found = wait.for_element(Locator::Css(selector)).await;
        found.unwrap_or_else(|error| panic!("{selector}: {error}"))
    }

    /// Clicks an element; retries if the page was updated meanwhile.
    pub async fn click(&self, selector: &str) {
        for _ in 0..5 {
            match self.find(selector).await.click().await {
                Ok(()) => return,
                Err(error) if is_gone(&error.to_string()) => {}
                Err(error) => panic!("{selector}: {error}"),
            }
        }
        panic!("{selector}: the page does not come to rest");
    }

    /// Types text; retries if the page was updated meanwhile.
    pub async fn write(&self, selector: &str, text: &str) {
        for _ in 0..5 {
            match self.find(selector).await.send_keys(text).await {
                Ok(()) => return,
                Err(error) if is_gone(&error.to_string()) => {}
                Err(error) => panic!("{selector}: {error}"),
            }
        }
        panic!("{selector}: the page does not come to rest");
    }

    /// Runs a script and returns its result.
    pub async fn ask(&self, script: &str) -> Value {
        self.client
            .execute(script, Vec::new())
            .await
            .unwrap_or_else(|e| panic!("{script}: {e}"))
    }

    /// Returns the time from the start of the navigation to the first paint, in milliseconds.
    pub async fn first_paint(&self) -> f64 {
        let asked = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime";
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(painted) = self.ask(asked).await.as_f64() {
                return painted;
            }
            assert!(Instant::now() < deadline, "nothing is painted");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns the number of elements that a CSS selector matches now.
    pub async fn count(&self, selector: &str) -> usize {
        let found = self.client.find_all(Locator::Css(selector)).await;
        found.expect("a selector").len()
    }

    /// Saves a screenshot under `target/page`.
    pub async fn picture(&self, name: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/page");
        std::fs::create_dir_all(&folder).expect("a folder");
        let png = self.client.screenshot().await.expect("a picture");
        std::fs::write(folder.join(format!("{name}.png")), png).expect("a file");
    }

    pub async fn end(mut self) {
        let client = self.client.clone();
        let _ = client.close().await;
        let _ = self.driver.kill();
    }
}

/// Returns true if an element was replaced between finding and using it.
fn is_gone(error: &str) -> bool {
    error.contains("stale element") || error.contains("element not interactable")
}
