//! Programs of tests/go that tests build by themselves: those that need seconds or a minute, unlike the components of a
//! cluster (tests/cluster/components).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex};

/// Returns the program of a folder under tests/go, which is built once in a run; Go's own cache makes this fast. Returns
/// `None` and prints a message if it cannot be built.
pub fn built(name: &'static str) -> Option<PathBuf> {
    static BUILT: LazyLock<Mutex<BTreeMap<&'static str, Result<PathBuf, String>>>> =
        LazyLock::new(Mutex::default);
    // One build at a time: the programs have most of their packages in common.
    let mut all = BUILT.lock().expect("no build has panicked");
    match all.entry(name).or_insert_with(|| build(name)) {
        Ok(program) => Some(program.clone()),
        Err(reason) => {
            let required = std::env::var("NANOSEG_REQUIRE_ALL").is_ok_and(|value| value == "1");
            assert!(!required, "tests/go/{name}: {reason}");
            eprintln!("skipped: needs go and the modules of tests/go/{name}: {reason}");
            None
        }
    }
}

fn build(name: &str) -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let build = Command::new(root.join("tests/go/build"))
        .arg(name)
        .output()
        .map_err(|error| error.to_string())?;
    if build.status.success() {
        Ok(root.join("target/go").join(name))
    } else {
        Err(String::from_utf8_lossy(&build.stderr).into_owned())
    }
}
