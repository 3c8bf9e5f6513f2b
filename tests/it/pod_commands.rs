//! What documents and `--help` run in the controller's pod works there: the image is one binary without a shell or a
//! PATH, and the paths are those of `deploy/` (rule: evidence-without-a-shell).

use crate::design::texts;
use std::path::Path;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The commands after `kubectl exec … --`, each in one line.
fn commands() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (path, text) in texts() {
        let is_shown =
            path.ends_with(".md") || path.starts_with("src/") || path.starts_with("deploy/");
        let joined = text.replace("\\\\\n", " ").replace("\\\n", " ");
        for line in joined.lines().filter(|_| is_shown) {
            let shown = line
                .split_once("kubectl exec ")
                .filter(|(_, rest)| rest.starts_with("-n "));
            let Some((_, rest)) = shown else {
                continue;
            };
            all.push((
                path.clone(),
                rest.split_whitespace().collect::<Vec<_>>().join(" "),
            ));
        }
    }
    all
}

#[test]
fn what_is_run_in_a_pod_is_there_by_its_path_and_without_a_shell() {
    let containerfile = read("deploy/Containerfile");
    let entry = containerfile.lines().find_map(|line| {
        let path = line.strip_prefix("ENTRYPOINT [\"")?;
        path.strip_suffix("\"]")
    });
    let entry = entry.expect("an entry point of one word");
    let deployment = read("deploy/base/controller/deployment.yaml");
    let store = deployment
        .lines()
        .find_map(|line| line.trim().strip_prefix("- --store="));
    let store = store.expect("--store of the deployment");
    assert!(deployment.contains("name: nanoseg-controller"));
    let commands = commands();
    assert!(commands.len() >= 5, "{commands:?}");
    for (path, command) in commands {
        let (place, run) = command
            .split_once(" -- ")
            .unwrap_or_else(|| panic!("{path}: {command}"));
        assert_eq!(place, "-n nanoseg deploy/nanoseg-controller", "{path}");
        let words: Vec<&str> = run.split(' ').collect();
        assert_eq!(words[0], entry, "{path}: {command}");
        assert!(words.contains(&store), "{path}: {command}");
        let arguments = words[1..].split(|word| *word == ">").next().unwrap();
        let parsed = nanoseg::cli::check(arguments.iter().copied());
        assert!(parsed.is_ok(), "{path}: {command}: {parsed:?}");
    }
    // tar in the image is what kubectl cp needs.
    for (path, text) in texts() {
        let is_shown = path.ends_with(".md") && !path.starts_with("tests/");
        assert!(!(is_shown && text.contains("kubectl cp ")), "{path}");
    }
}
