//! Examples in `--help`, defaults of options and commands in documents name what deploy/ makes.

use super::rendered::{Objects, helm, helm_output, kustomize, program, text};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The whole help of a command and its subcommands, by command.
fn helps() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut left: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(words) = left.pop() {
        let output = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
            .args(&words)
            .arg("--help")
            .env("COLUMNS", "100")
            .output()
            .expect("nanoseg starts");
        let help = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success(), "{words:?}");
        let commands = help.split("\nCommands:\n").nth(1).unwrap_or_default();
        for line in commands.lines().take_while(|line| line.starts_with("  ")) {
            let name = line.trim_start().split(' ').next().unwrap_or_default();
            let is_name = line.starts_with("  ") && !line.starts_with("   ");
            if is_name && name != "help" {
                left.push([&words[..], &[name.to_owned()]].concat());
            }
        }
        all.insert(words.join(" "), help);
    }
    assert!(all.contains_key("agent") && all.contains_key("controller backup"));
    all
}

/// Command lines in a text: what is indented by four or in a code block, with continued lines joined.
fn commands(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ").replace("|\n", "| ");
    let lines = joined.lines().map(str::trim);
    let lines = lines.map(|line| line.strip_prefix("$ ").unwrap_or(line));
    let starts = ["nanoseg ", "kubectl ", "helm "];
    lines
        .filter(|line| starts.iter().any(|start| line.starts_with(start)))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

/// The words of a command up to what the shell takes itself: quotes are taken off.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut is_word) = (Vec::new(), String::new(), None, false);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => (quote, is_word) = (Some(c), true),
            (None, ' ') => {
                if is_word {
                    words.push(std::mem::take(&mut word));
                }
                is_word = false;
            }
            (None, '>' | '|' | '&' | ';' | '#' | '<') if !is_word => break,
            (None, ';') => break,
            (None, c) => {
                word.push(c);
                is_word = true;
            }
        }
    }
    if is_word {
        words.push(word);
    }
    words
}

/// All objects of all ways of installing, and every text in them.
struct Installed {
    objects: Vec<Objects>,
    texts: BTreeSet<String>,
}

impl Installed {
    fn all() -> Option<Installed> {
        let folders = [
            "",
            "overlays/cert-manager",
            "overlays/gitops",
            "overlays/hubble-relay",
            "overlays/nats",
            "overlays/example",
        ];
        let mut objects: Vec<Objects> =
            folders.into_iter().map(kustomize).collect::<Option<_>>()?;
        objects.push(helm("{serviceMonitor: {enabled: true}}")?);
        let mut texts = BTreeSet::new();
        for object in objects.iter().flat_map(Objects::values) {
            add_texts(object, &mut texts);
        }
        Some(Installed { objects, texts })
    }

    fn has(&self, kind: &str, name: &str) -> bool {
        let mut keys = self.objects.iter().flat_map(Objects::keys);
        keys.any(|(of, _, called)| (of.as_str(), called.as_str()) == (kind, name))
    }

    /// What in a line names something of an installation that no way of installing makes.
    fn strangers(&self, line: &str) -> Vec<String> {
        let is_end = |c: char| c.is_whitespace() || "`'\"()[]{}<>,;|*".contains(c);
        let words = line.split(is_end).filter(|word| !word.is_empty());
        let words = words.map(|word| word.trim_end_matches(['.', ':', '…']));
        let values = words.map(|word| word.split_once('=').map_or(word, |(_, value)| value));
        let values: Vec<&str> = values.collect();
        // Other programs have options of this name.
        let is_kubectl = line.contains("kubectl") && !line.contains("ssh-keygen");
        let namespaces = values.windows(2).filter(|pair| {
            is_kubectl && ["-n", "--namespace"].contains(&pair[0]) && pair[1].starts_with("nanoseg")
        });
        let unknown = namespaces.filter(|pair| !self.has("Namespace", pair[1]));
        let mut wrong: Vec<String> = unknown
            .map(|pair| format!("namespace {}", pair[1]))
            .collect();
        for value in values {
            let checks = [
                self.unknown_object(value),
                self.unknown_account(value),
                self.unknown_address(value),
                self.unknown_path(value),
            ];
            wrong.extend(checks.into_iter().flatten());
        }
        wrong
    }

    /// `deploy/NAME`, as kubectl takes it.
    fn unknown_object(&self, value: &str) -> Option<String> {
        let (short, name) = value.split_once('/')?;
        let kind = match short {
            "deploy" | "deployment" => "Deployment",
            "ds" | "daemonset" => "DaemonSet",
            "pvc" => "PersistentVolumeClaim",
            _ => return None,
        };
        let is_unknown = name.starts_with("nanoseg") && !self.has(kind, name);
        is_unknown.then(|| format!("{kind} {name}"))
    }

    fn unknown_account(&self, value: &str) -> Option<String> {
        let account = value.strip_prefix("system:serviceaccount:")?;
        let (namespace, name) = account.split_once(':')?;
        let key = (
            "ServiceAccount".to_owned(),
            namespace.to_owned(),
            name.to_owned(),
        );
        let is_there = self
            .objects
            .iter()
            .any(|objects| objects.contains_key(&key));
        (namespace.starts_with("nanoseg") && !is_there).then(|| format!("account {account}"))
    }

    fn unknown_address(&self, value: &str) -> Option<String> {
        let host = value.split("://").last().unwrap_or_default();
        let is_there = self.texts.iter().any(|known| known.ends_with(host));
        (host.contains(".svc:") && !is_there).then(|| format!("address {value}"))
    }

    /// Files that are kept beside the store have its name.
    fn unknown_path(&self, value: &str) -> Option<String> {
        let places = [
            "/var/lib/nanoseg",
            "/etc/nanoseg",
            "/var/run/secrets/nanoseg",
        ];
        let is_ours = places.iter().any(|place| value.starts_with(place));
        let is_there =
            self.texts.contains(value) || value.starts_with("/var/lib/nanoseg/nanoseg.sqlite");
        (is_ours && !is_there).then(|| format!("path {value}"))
    }
}

/// Adds every text in a value, and what follows the `=` of an option.
fn add_texts(value: &Value, to: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            to.insert(text.clone());
            to.extend(text.split_once('=').map(|(_, value)| value.to_owned()));
        }
        Value::Array(items) => items.iter().for_each(|item| add_texts(item, to)),
        Value::Object(fields) => fields.values().for_each(|value| add_texts(value, to)),
        _ => {}
    }
}

#[test]
fn no_help_and_no_document_names_what_no_way_of_installing_makes() {
    let Some(installed) = Installed::all() else {
        return;
    };
    let documents = [
        "README.md",
        "docs/install.md",
        "docs/operate.md",
        "docs/observe.md",
        "docs/security.md",
        "docs/evidence.md",
        "deploy/README.md",
        "deploy/nats/README.md",
        "deploy/monitoring/alerts.yaml",
    ];
    let helps = helps().into_iter();
    let helps = helps.map(|(command, help)| (format!("nanoseg {command} --help"), help));
    let documents = documents.map(|name| (name.to_owned(), text(name)));
    let mut wrong = Vec::new();
    for (place, text) in helps.chain(documents) {
        let strange = text.lines().flat_map(|line| installed.strangers(line));
        wrong.extend(strange.map(|what| format!("{place}: {what}")));
    }
    assert!(wrong.is_empty(), "deploy/ has no such thing: {wrong:#?}");
    // And it does find something.
    let strange = "kubectl -n nanoseg-x exec deploy/nanoseg-y --ca /etc/nanoseg/no https://nanoseg-y.nanoseg.svc:1 \
                   system:serviceaccount:nanoseg:nanoseg-y";
    assert_eq!(installed.strangers(strange).len(), 5);
}

#[test]
fn every_example_of_help_is_a_command_line_that_nanoseg_accepts() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (command, help) in helps() {
        for line in commands(help.split("Examples:").nth(1).unwrap_or_default()) {
            let Some(arguments) = line.strip_prefix("nanoseg ") else {
                continue;
            };
            // The shell puts a name there, and an ellipsis is what was left out.
            let arguments = words(&arguments.replace("$NODE_NAME", "node-1"));
            count += 1;
            if line.contains('…') {
                continue;
            }
            if let Err(why) = nanoseg::cli::check(arguments.iter().map(String::as_str)) {
                wrong.push(format!("nanoseg {command} --help: {line}: {why}"));
            }
        }
    }
    assert!(count > 30, "{count}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Help is wrapped at 100 columns: a longer example could not be pasted into a shell.
#[test]
fn no_example_of_help_is_broken_where_no_shell_goes_on() {
    let programs = [
        "nanoseg",
        "kubectl",
        "helm",
        "hubble",
        "trivy",
        "cd",
        "kill",
        "tcpdump",
        "for",
        "wait",
        "!",
        "ssh-keygen",
        "grep",
        "sha256sum",
        "sudo",
        "ssh",
        "jq",
        "less",
        "git",
        "done",
    ];
    let mut wrong = Vec::new();
    for (command, help) in helps() {
        let examples = help.split("Examples:\n").nth(1).unwrap_or_default();
        let examples = examples
            .lines()
            .take_while(|line| line.is_empty() || line.starts_with(' '));
        let mut goes_on = false;
        for line in examples {
            let is_command = line.starts_with("    ") && !line.starts_with("     ");
            let program = line.trim().split(' ').next().unwrap_or_default();
            if is_command && !goes_on && !programs.contains(&program) {
                wrong.push(format!("nanoseg {command} --help: {line}"));
            }
            goes_on = ["\\", "|", "&&"].iter().any(|end| line.ends_with(end));
        }
    }
    assert!(
        wrong.is_empty(),
        "lines of more than 100 columns? {wrong:#?}"
    );
}

/// Options with their values, in `--name value` and `--name=value`.
fn options(arguments: &[String]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut words = arguments.iter().peekable();
    while let Some(word) = words.next() {
        let Some(option) = word.strip_prefix("--") else {
            continue;
        };
        match option.split_once('=') {
            Some((name, value)) => all.insert(name.to_owned(), value.to_owned()),
            None => {
                let value = words.next_if(|next| !next.starts_with("--"));
                all.insert(option.to_owned(), value.cloned().unwrap_or_default())
            }
        };
    }
    all
}

fn arguments(objects: &Objects, kind: &str) -> Vec<String> {
    let (_, object) = objects.iter().find(|((of, ..), _)| of == kind).expect(kind);
    let arguments = &object["spec"]["template"]["spec"]["containers"][0]["args"];
    serde_json::from_value(arguments.clone()).expect("arguments")
}

#[test]
fn examples_that_say_that_they_are_as_deployed_are() {
    let (Some(base), Some(nats)) = (kustomize(""), kustomize("overlays/nats")) else {
        return;
    };
    let helps = helps();
    let cases = [
        (
            "agent",
            "As the DaemonSet runs it:",
            arguments(&base, "DaemonSet"),
        ),
        (
            "agent",
            "as deploy/overlays/nats runs it:",
            arguments(&nats, "DaemonSet"),
        ),
        (
            "controller",
            "as deploy/ runs it:",
            arguments(&base, "Deployment"),
        ),
    ];
    for (command, title, deployed) in cases {
        let (_, after) = helps[command].split_once(title).expect(title);
        let line = commands(after).first().cloned().expect("an example");
        let example = options(&words(&line));
        let deployed = options(&deployed);
        for (name, value) in &example {
            // The environment has it.
            if name == "node" {
                continue;
            }
            assert_eq!(Some(value), deployed.get(name), "{title} --{name}");
        }
        assert!(example.len() > 3, "{line}");
    }
}

/// The image has one file and no shell: a command in a pod names it by its path.
#[test]
fn commands_in_a_pod_name_the_file_of_the_image() {
    let image = text("deploy/Containerfile");
    let entry = image
        .lines()
        .find_map(|line| line.strip_prefix("ENTRYPOINT [\""));
    let entry = entry
        .and_then(|entry| entry.split('"').next())
        .expect("an entry point");
    let mut count = 0;
    let mut all: Vec<String> = helps().into_values().collect();
    all.extend(
        [
            "docs/operate.md",
            "docs/install.md",
            "docs/evidence.md",
            "README.md",
        ]
        .map(text),
    );
    for line in all.iter().flat_map(|text| commands(text)) {
        if let Some((before, inside)) = line
            .split_once(" -- ")
            .filter(|(before, _)| before.contains(" exec "))
        {
            assert_eq!(
                inside.split(' ').next(),
                Some(entry),
                "{before} -- {inside}"
            );
            count += 1;
        }
    }
    assert!(count >= 3, "{count}");
}

/// Values that documents and notes give to Helm exist.
#[test]
fn values_that_documents_set_are_accepted() {
    let mut count = 0;
    for document in [
        "docs/install.md",
        "README.md",
        "deploy/README.md",
        "deploy/nats/README.md",
    ] {
        for line in commands(&text(document)) {
            if !line.starts_with("helm ") || !line.contains("--set") {
                continue;
            }
            let words = words(&line);
            let sets = words
                .iter()
                .zip(&words[1..])
                .filter(|(option, _)| option.starts_with("--set"));
            let sets: Vec<&str> = sets
                .flat_map(|(option, value)| [option.as_str(), value])
                .collect();
            let Some(output) = helm_output(&sets) else {
                return;
            };
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{document}: {line}: {said}");
            count += 1;
        }
    }
    assert!(count > 0 || program("helm").is_none());
}
