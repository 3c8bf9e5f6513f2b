//! How the browser is opened with the page.

use super::browser::Browser;
use super::run;
use crate::support::kubernetes::{PATIENCE, until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Replaces the desktop's opener: stores its argument, and a copy of the file that it names.
const OPEN: &str = "#!/bin/sh
cp -p \"$1\" way.html
echo \"$1\" > argument.new
mv argument.new argument
";

#[test]
fn the_browser_is_opened_with_a_file_so_that_no_other_user_sees_the_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("xdg-open"), OPEN).expect("a file");
    let runs = fs::Permissions::from_mode(0o755);
    fs::set_permissions(at("xdg-open"), runs).expect("it may run");
    let paths = std::env::var("PATH").unwrap_or_default();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies-out");
    let cluster = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/shop/cluster.yaml");
    let mut process = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
        .arg("ui")
        .arg(sample)
        .arg("--cluster")
        .arg(cluster)
        .current_dir(folder.path())
        .env("PATH", format!("{}:{paths}", folder.path().display()))
        .env("XDG_RUNTIME_DIR", folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nanoseg runs");
    let argument = run(until(PATIENCE, "the browser is opened", async || {
        fs::read_to_string(at("argument")).map_err(|error| error.to_string())
    }));
    let way = fs::read_to_string(at("way.html")).expect("the file");
    let (_, url) = way.split_once("url=").expect("a URL");
    let (url, _) = url.split_once('"').expect("its end");
    let token = url
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .expect("a token");
    assert!(token.len() >= 32, "{url}");
    assert!(!argument.contains(token), "{argument}");
    let mode = fs::metadata(at("way.html"))
        .expect("the file")
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    run(async {
        if let Some(browser) = Browser::start().await {
            browser
                .open(&format!("file://{}", at("way.html").display()))
                .await;
            browser.until_text("h1", "Map").await;
            browser.end().await;
        }
    });
    process.kill().expect("it is killed");
    process.wait().expect("an end");
}
