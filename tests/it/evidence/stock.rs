//! Runs the commands of the documentation that verify a report without nanoseg, exactly as they are documented.

use super::{KEY, files, nanoseg, sample, tool, verify, written};
use std::fs;
use std::path::Path;

/// Returns the lines after `cd march` up to and including `echo intact` in docs/evidence.md.
fn documented() -> Vec<String> {
    let text = fs::read_to_string(sample("docs/evidence.md")).expect("the document");
    let lines = text.lines().skip_while(|line| *line != "cd march").skip(1);
    let mut all: Vec<String> = Vec::new();
    for line in lines {
        all.push(line.to_owned());
        if line == "echo intact" {
            break;
        }
    }
    assert!(all.len() > 3, "{all:?}");
    all
}

/// Returns whether the documented commands succeed, and their output.
fn content(report: &Path, commands: &[String]) -> (bool, String) {
    let line = format!("true && {}", commands.join("\n"));
    let output = tool(report, &line).expect("sh");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_intact = said.lines().last() == Some("intact");
    assert_eq!(output.status.success(), is_intact, "{output:?}");
    (is_intact, said)
}

fn report(here: &Path) -> bool {
    fs::write(here.join("key"), KEY).expect("a file");
    let Some(public) = tool(here, "chmod 600 key && ssh-keygen -y -f key") else {
        return false;
    };
    let public = String::from_utf8(public.stdout).expect("a key");
    let allowed = format!("ops@example.org {public}");
    fs::write(here.join("allowed_signers"), allowed).expect("a file");
    let (policies, cluster) = (sample("policies-out"), sample("samples/shop/cluster.yaml"));
    let sources = ["--generated", &policies, "--cluster", &cluster];
    let rest = ["--sign-key", "key", "--out", "march"];
    written(here, &[&sources, rest.as_slice()].concat());
    true
}

#[test]
fn the_documented_commands_find_whatever_was_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    if !["sha256sum --version", "ssh-keygen -?", "find --version"]
        .iter()
        .all(|line| tool(here, line).is_some())
        || !report(here)
    {
        return;
    }
    let (march, commands) = (here.join("march"), documented());
    let fails = |what: &str| {
        let (is_intact, said) = content(&march, &commands);
        assert!(!is_intact, "{what}: {said}");
        said
    };
    let (is_intact, said) = content(&march, &commands);
    assert!(is_intact, "{said}");

    let sums = fs::read_to_string(march.join("SHA256SUMS")).expect("sums");
    for (path, bytes) in &files(&march) {
        let name = path.strip_prefix(&march).expect("inside").display();
        let mut changed = bytes.clone();
        changed[bytes.len() / 2] ^= 1;
        fs::write(path, &changed).expect("a file");
        fails(&format!("{name} is changed"));
        if !matches!(
            name.to_string().as_str(),
            "SHA256SUMS" | "manifest.json" | "manifest.json.sig"
        ) {
            // The list of digests has the new digest of the changed file.
            let line = format!(
                "sed -i \"s|.*  {name}$|$(sha256sum {name})|\" SHA256SUMS && sha256sum -c SHA256SUMS"
            );
            let fitting = tool(&march, &format!("true && {line}")).expect("sh");
            assert!(fitting.status.success(), "{fitting:?}");
            fails(&format!("{name} and SHA256SUMS are changed"));
            fs::write(march.join("SHA256SUMS"), &sums).expect("a file");
        }
        fs::remove_file(path).expect("it is there");
        fails(&format!("{name} is missing"));
        fs::write(path, bytes).expect("a file");
    }
    for name in [
        "more.txt",
        "policies/more.yaml",
        "index.html\n..report.md",
        "manifest.json.sig.txt",
    ] {
        fs::write(march.join(name), "").expect("a file");
        let said = fails(name);
        assert!(said.contains(&name.replace('\n', "?")), "{said}");
        fs::remove_file(march.join(name)).expect("it is there");
    }
    fs::create_dir(march.join("policies/empty")).expect("a folder");
    fails("an empty folder");
    fs::remove_dir(march.join("policies/empty")).expect("it is there");
    // A link to the same bytes may point to other bytes later.
    fs::rename(march.join("report.md"), here.join("report.md")).expect("it is there");
    std::os::unix::fs::symlink("../report.md", march.join("report.md")).expect("a link");
    fails("a link");
    fs::rename(here.join("report.md"), march.join("report.md")).expect("it is there");
    // Digests of another report of the same key, or no digests.
    fs::copy(march.join("report.md"), march.join("SHA256SUMS")).expect("a copy");
    fails("SHA256SUMS is another file of the report");
    fs::write(march.join("SHA256SUMS"), &sums).expect("a file");
    assert!(content(&march, &commands).0);
}

#[test]
fn a_policy_with_an_unusual_name_does_not_break_the_lists_of_digests() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    if !report(here) {
        return;
    }
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nspec: {podSelector: {}}\nmetadata: {namespace: shop, uid: u, name: \"a\\\\b\\n0  index.html\"}\n";
    fs::write(here.join("odd.yaml"), policy).expect("a file");
    let (policies, cluster) = (sample("policies-out"), sample("samples/shop/cluster.yaml"));
    let sources = ["--generated", &policies, "--cluster", &cluster];
    let rest = [
        "--policies",
        "odd.yaml",
        "--sign-key",
        "key",
        "--out",
        "march",
    ];
    written(here, &[&sources, rest.as_slice()].concat());
    assert!(
        here.join("march/policies/shop/a_b_0  index.html.yaml")
            .exists()
    );
    let (is_intact, said) = content(&here.join("march"), &documented());
    assert!(is_intact, "{said}");
}

#[test]
fn the_page_and_the_help_have_the_documented_commands() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    if !report(here) {
        return;
    }
    let help = nanoseg(here, &["--help"]);
    let help = String::from_utf8(help.stdout).expect("text");
    let page = fs::read_to_string(here.join("march/index.html")).expect("a page");
    let plain = fs::read_to_string(here.join("march/report.md")).expect("a page");
    for line in documented() {
        assert!(help.contains(&line), "{line}: {help}");
        let escaped = line
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;");
        assert!(
            page.contains(&escaped) || page.contains(&escaped.replace('\'', "&#39;")),
            "{line}"
        );
        assert!(plain.contains(&line), "{line}");
    }
    fs::rename(here.join("march"), here.join("report")).expect("it is there");
    assert_eq!(verify(here, &[]).0, Some(0));
}
