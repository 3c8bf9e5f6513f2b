//! `tests/scenarios/`: one folder for each rule of observation and generation, run through the real
//! binary and compared byte by byte. `NANOSEG_UPDATE=1 cargo test scenarios` writes the expected output again;
//! `NANOSEG_SCENARIO=word` runs only the folders with that word in their name.

use crate::support::diff;
use crate::support::traffic::Script;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The arguments of a scenario for `nanoseg generate` that `nanoseg graph` has too.
const GRAPH_ARGS: [&str; 1] = ["--no-implied-dns"];

/// File name → content; the names are those of `expected/`.
type Outcome = BTreeMap<String, String>;

/// Separates a command's stdout from its stderr, if it wrote any.
const STDERR: &str = "--- stderr\n";

struct Scenario {
    name: String,
    folder: PathBuf,
    args: Vec<String>,
    /// The captures as they are given: of all nodes, unless the scenario is about that.
    captures: Vec<String>,
}

impl Scenario {
    fn read(name: String, folder: PathBuf) -> Scenario {
        let words = |file: &str| -> Vec<String> {
            let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
            text.split_whitespace().map(str::to_owned).collect()
        };
        let mut captures = words("captures");
        if captures.is_empty() {
            captures.push("captures@*".to_owned());
        }
        Scenario {
            name,
            args: words("args"),
            captures,
            folder,
        }
    }

    /// The captures, and each once more under another name.
    fn twice(&self) -> Vec<String> {
        let copy = |given: &String| match given.strip_prefix("captures/") {
            Some(file) => format!("copies/copy-of-{file}"),
            None => given.replacen("captures", "copies", 1),
        };
        let copies = self.captures.iter().map(copy);
        self.captures.iter().cloned().chain(copies).collect()
    }
}

#[test]
fn every_scenario_gives_the_expected_output() {
    let scenarios = scenarios();
    let update = std::env::var_os("NANOSEG_UPDATE").is_some();
    let kubectl = Command::new("kubectl")
        .arg("version")
        .arg("--client")
        .output();
    let kubectl = kubectl.is_ok_and(|output| output.status.success());
    if !kubectl {
        eprintln!("kubectl is not there: the results are not given to kustomize");
    }
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(BTreeMap::new());
    let work = || {
        while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = check(scenario, update, kubectl);
            if !found.is_empty() {
                let mut failures = failures.lock().expect("no thread panics while it holds it");
                failures.insert(scenario.name.clone(), found);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
    let failures = failures.into_inner().expect("no thread panicked");
    let text: Vec<String> = failures
        .iter()
        .map(|(name, found)| format!("tests/scenarios/{name}\n{}", found.join("\n")))
        .collect();
    assert!(
        text.is_empty(),
        "\n{}\n{} of {} scenarios failed; if what came is right: NANOSEG_UPDATE=1 cargo test scenarios",
        text.join("\n\n"),
        failures.len(),
        scenarios.len()
    );
}

#[test]
fn every_scenario_says_which_rule_it_proves() {
    let scenarios = scenarios();
    for scenario in &scenarios {
        let readme = fs::read_to_string(scenario.folder.join("README.md")).unwrap_or_default();
        let lines = readme.lines().filter(|line| !line.is_empty()).count();
        let rule = scenario.name.split("--").next().unwrap_or_default();
        let link = format!("[{rule}](../../../docs/design.md#{rule})");
        let told = readme.contains(&link) && (1..=8).contains(&lines);
        assert!(
            told,
            "{}: README.md must name its rule in a few lines, as {link}",
            scenario.name
        );
    }
    if std::env::var_os("NANOSEG_SCENARIO").is_none() {
        assert!(scenarios.len() >= 35, "only {} scenarios", scenarios.len());
    }
}

fn scenarios() -> Vec<Scenario> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let word = std::env::var("NANOSEG_SCENARIO").unwrap_or_default();
    let mut scenarios: Vec<Scenario> = fs::read_dir(folder)
        .expect("tests/scenarios can be listed")
        .map(|entry| entry.expect("tests/scenarios can be listed"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            Scenario::read(name, entry.path())
        })
        .filter(|scenario| scenario.name.contains(&word))
        .collect();
    scenarios.sort_by(|a, b| a.name.cmp(&b.name));
    scenarios
}

/// Runs one scenario in all variants. Returns the differences as text.
fn check(scenario: &Scenario, update: bool, kubectl: bool) -> Vec<String> {
    let place = tempfile::tempdir().expect("a temporary folder");
    let place = place.path();
    if let Err(error) = prepare(scenario, place) {
        return vec![format!("  cannot be made: {error}")];
    }
    let cluster = if place.join("cluster").is_dir() {
        "cluster"
    } else {
        "cluster.yaml"
    };
    let actual = run(scenario, place, &scenario.captures, cluster, "policies-out");
    let expected_at = scenario.folder.join("expected");
    if update {
        write_expected(&expected_at, &actual);
    }
    let expected = read_expected(&expected_at);
    let mut wrong = compare("", &expected, &actual);
    let again = run(scenario, place, &scenario.captures, cluster, "again");
    wrong.extend(compare("the same again: ", &actual, &again));
    let twice = run(scenario, place, &scenario.twice(), cluster, "twice");
    let in_files = |outcome: &Outcome| -> Outcome {
        let mut outcome = outcome.clone();
        // The numbers of read and skipped packets differ, and so do the names of captures in stderr.
        outcome.retain(|name, _| name != "summary.txt");
        for text in outcome.values_mut() {
            if let Some(end) = text.find(STDERR) {
                text.truncate(end);
            }
        }
        outcome
    };
    wrong.extend(compare(
        "every packet twice: ",
        &in_files(&actual),
        &in_files(&twice),
    ));
    let reversed = run(
        scenario,
        place,
        &scenario.captures,
        "reversed",
        "reversed-out",
    );
    wrong.extend(compare(
        "snapshot in reverse order: ",
        &in_files(&actual),
        &in_files(&reversed),
    ));
    if kubectl && actual.contains_key("policies/kustomization.yaml") && exit_code(&actual) < Some(2)
    {
        wrong.extend(kustomize(place, &actual));
    }
    wrong
}

/// Writes captures (and copies of them under other names) and snapshots into `place`.
fn prepare(scenario: &Scenario, place: &Path) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    let read = |name: &str| fs::read_to_string(scenario.folder.join(name));
    let script = Script::parse(&read("traffic.txt").map_err(|e| format!("traffic.txt: {e}"))?)?;
    let (captures, copies) = (place.join("captures"), place.join("copies"));
    for folder in [&captures, &copies, &place.join("reversed")] {
        fs::create_dir(folder).map_err(told)?;
    }
    for (name, bytes) in script.files() {
        fs::write(captures.join(&name), &bytes).map_err(told)?;
        fs::write(copies.join(format!("copy-of-{name}")), &bytes).map_err(told)?;
    }
    let mut snapshots = Vec::new();
    match fs::read_dir(scenario.folder.join("cluster")) {
        Ok(entries) => {
            fs::create_dir(place.join("cluster")).map_err(told)?;
            snapshots.extend(
                entries.filter_map(|e| Some(format!("cluster/{}", e.ok()?.file_name().to_str()?))),
            );
        }
        Err(_) => snapshots.push("cluster.yaml".to_owned()),
    }
    for name in snapshots {
        let text = read(&name).map_err(|e| format!("{name}: {e}"))?;
        fs::write(place.join(&name), &text).map_err(told)?;
        let reversed = reverse(&text).map_err(|e| format!("{name}: {e}"))?;
        fs::write(
            place
                .join("reversed")
                .join(name.trim_start_matches("cluster/")),
            reversed,
        )
        .map_err(told)?;
    }
    Ok(())
}

/// The same List with its items in reverse order.
fn reverse(list: &str) -> Result<String, serde_yaml::Error> {
    let mut list: serde_yaml::Value = serde_yaml::from_str(list)?;
    if let Some(items) = list
        .get_mut("items")
        .and_then(|items| items.as_sequence_mut())
    {
        items.reverse();
    }
    serde_yaml::to_string(&list)
}

fn run(
    scenario: &Scenario,
    place: &Path,
    captures: &[String],
    cluster: &str,
    out: &str,
) -> Outcome {
    let nanoseg = |command: &str, more: &[String]| -> Output {
        let mut process = Command::new(env!("CARGO_BIN_EXE_nanoseg"));
        process
            .current_dir(place)
            .env("NO_COLOR", "1")
            .env_remove("NANOSEG_LOG")
            .arg(command);
        for capture in captures {
            process.args(["--capture", capture]);
        }
        process
            .args(["--cluster", cluster])
            .args(more)
            .output()
            .expect("nanoseg can be run")
    };
    let mut args = scenario.args.clone();
    args.extend(["--out".to_owned(), out.to_owned()]);
    let generated = nanoseg("generate", &args);
    let graph_args: Vec<String> = scenario
        .args
        .iter()
        .filter(|arg| GRAPH_ARGS.contains(&arg.as_str()))
        .cloned()
        .collect();
    let graph = nanoseg("graph", &graph_args);
    let mut outcome = Outcome::new();
    outcome.insert("graph.txt".into(), text(&graph).replace(" \n", "\n"));
    outcome.insert(
        "summary.txt".into(),
        text(&generated).replace(out, "policies-out"),
    );
    let code = generated
        .status
        .code()
        .map_or("none".to_owned(), |code| code.to_string());
    outcome.insert("exit-code".into(), format!("{code}\n"));
    for file in files(&place.join(out)) {
        let name = file
            .strip_prefix(place.join(out))
            .expect("it lies there")
            .display()
            .to_string();
        if name.ends_with(".yaml") {
            outcome.insert(
                format!("policies/{name}"),
                fs::read_to_string(&file).unwrap_or_default(),
            );
        }
    }
    outcome
}

fn text(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.stderr.is_empty() {
        text.push_str(STDERR);
        text.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    text
}

fn exit_code(outcome: &Outcome) -> Option<i32> {
    outcome.get("exit-code")?.trim().parse().ok()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read_expected(folder: &Path) -> Outcome {
    let name = |path: &Path| {
        path.strip_prefix(folder)
            .expect("it lies there")
            .display()
            .to_string()
    };
    files(folder)
        .iter()
        .map(|path| (name(path), fs::read_to_string(path).unwrap_or_default()))
        .collect()
}

fn write_expected(folder: &Path, outcome: &Outcome) {
    if folder.exists() {
        fs::remove_dir_all(folder).expect("expected/ can be removed");
    }
    for (name, content) in outcome {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("expected/ can be made");
        fs::write(path, content).expect("expected/ can be written");
    }
}

fn compare(when: &str, expected: &Outcome, actual: &Outcome) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, content) in expected {
        match actual.get(name) {
            None => wrong.push(format!("  {when}{name} did not come")),
            Some(came) if came != content => {
                wrong.push(format!(
                    "  {when}{name} differs (- expected, + came)\n{}",
                    diff::lines(content, came)
                ));
            }
            Some(_) => {}
        }
    }
    for (name, content) in actual
        .iter()
        .filter(|(name, _)| !expected.contains_key(*name))
    {
        wrong.push(format!(
            "  {when}{name} came and was not expected\n{}",
            diff::lines("", content)
        ));
    }
    wrong
}

/// Checks that `kubectl apply -k` would send all written policies.
fn kustomize(place: &Path, outcome: &Outcome) -> Option<String> {
    let output = Command::new("kubectl")
        .current_dir(place)
        .args(["kustomize", "policies-out"])
        .output()
        .ok()?;
    if !output.status.success() {
        return Some(format!(
            "  kubectl kustomize: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    let built = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| line.starts_with("kind: ") && line.ends_with("NetworkPolicy"))
        .count();
    let written = outcome
        .keys()
        .filter(|n| n.starts_with("policies/") && !n.ends_with("kustomization.yaml"))
        .count();
    (built != written).then(|| format!("  kubectl kustomize gives {built} policies of {written}"))
}

#[test]
fn tcpdump_reads_every_frame_and_finds_no_wrong_checksum() {
    if Command::new("tcpdump").arg("--version").output().is_err() {
        eprintln!("skipped: tcpdump is not there");
        return;
    }
    for scenario in scenarios().iter().filter(|s| !s.name.contains("skipped")) {
        let place = tempfile::tempdir().expect("a temporary folder");
        prepare(scenario, place.path()).expect("the scenario can be made");
        for file in files(&place.path().join("captures")) {
            let read = Command::new("tcpdump")
                .args(["-nnvv", "-r"])
                .arg(&file)
                .output()
                .expect("tcpdump runs");
            let text = text(&read);
            // Errors about the usual protocols of the ports do not count.
            let bad = [
                "(incorrect",
                "bad udp",
                "bad cksum",
                "bad sctp",
                "wrong",
                "bad header",
            ];
            let found = text
                .lines()
                .find(|line| bad.iter().any(|word| line.contains(word)));
            // libpcap refuses a file whose interfaces have different link types.
            let refused = text.contains("different from the type of the first interface");
            assert!(
                (read.status.success() || refused) && found.is_none(),
                "{}: {found:?}\n{text}",
                scenario.name
            );
        }
    }
}
