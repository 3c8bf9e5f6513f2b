//! `--flows`: flow logs in addition to captures or instead of them, on the command line.

use crate::binary::{Run, nanoseg};
use nanoseg::flow::{AddressEpochs, FlowConfig, FlowTable, NoListeners, Observations, Source};
use nanoseg::observe::{CaptureSet, flow_log};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

fn sample(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("the flow log is written");
    path
}

fn generate(inputs: &[(&str, &Path)]) -> Run {
    let cluster = sample("samples/shop/cluster.yaml");
    let mut all: Vec<OsString> = ["generate", "--output", "json", "--cluster"]
        .map(Into::into)
        .into();
    all.push(cluster.into());
    for (option, path) in inputs {
        all.extend([OsString::from(option), path.as_os_str().to_owned()]);
    }
    nanoseg(all)
}

/// Returns the edges with their lessons.
fn edges(run: &Run) -> BTreeSet<String> {
    let edges = run.json["graph"]["edges"].as_array().expect("edges");
    let field = |edge: &serde_json::Value, name: &str| edge[name].to_string();
    let names = ["client", "server", "protocol", "port", "lesson"];
    let text = |edge| names.map(|name| field(edge, name)).join(" ");
    edges.iter().map(text).collect()
}

/// Returns the bundled sample's capture as a flow log of our own format, as a node without an inventory writes it.
fn converted() -> String {
    let captures = CaptureSet::open(&[sample("samples/shop")]).expect("captures");
    let limits = FlowConfig::default();
    let mut table = FlowTable::new(NoListeners, AddressEpochs::default(), limits);
    captures
        .feed(&mut table, |_| {})
        .expect("the captures are read");
    let mut seen = table.finish();
    let slice = Observations {
        records: seen
            .records
            .drain(..)
            .map(|r| (Source::Capture, r))
            .collect(),
        scans: seen.scans.into_iter().map(|(_, scan)| scan).collect(),
        names: seen.names.drain(),
        other: seen.other,
        ..Observations::default()
    };
    flow_log::write_slice(&"".into(), &slice)
}

/// A log of so many clients on the internet of one web server, each with one connection.
fn clients_of_a_web_server(number: u32) -> String {
    let mut text = String::from("client,server,port,protocol,time\n");
    for client in 0..number {
        // Spread over the public addresses from 8.0.0.0 on.
        let address = std::net::Ipv4Addr::from(0x0800_0000 + client * 13);
        let (minute, second) = (client / 60 % 60, client % 60);
        text.push_str(&format!(
            "{address},10.244.1.80,8443,TCP,2026-03-02T10:{minute:02}:{second:02}Z\n"
        ));
    }
    text
}

#[test]
fn millions_of_clients_are_counted_exactly_and_never_widen_a_policy() {
    const CLIENTS: u32 = 40_000;
    let folder = tempfile::tempdir().expect("a folder");
    let log = write(
        folder.path(),
        "flows.csv",
        &clients_of_a_web_server(CLIENTS),
    );
    let run = |option: &str| {
        let cluster = sample("tests/scenarios/public-entry-is-a-decision--seen/cluster.yaml");
        let all = ["generate", "--output", "json", option, "--cluster"];
        let mut all: Vec<OsString> = all.map(Into::into).into();
        all.extend([cluster.into(), "--flows".into()]);
        all.push(format!("{}@*", log.display()).into());
        nanoseg(all)
    };
    let seen = run("--public-entry=seen");
    let edges = seen.json["graph"]["edges"].as_array().expect("edges");
    let connections = |edge: &serde_json::Value| edge["connections"].as_u64().unwrap_or(0);
    assert_eq!(
        edges.iter().map(connections).sum::<u64>(),
        u64::from(CLIENTS)
    );
    assert!(edges.len() < 1_000, "{} edges", edges.len());
    let findings = seen.json["findings"].to_string();
    assert!(findings.contains("public-entry"), "{findings}");
    // What is counted by block is no rule: the direction stays open, or lets in everybody where that was decided.
    let text = seen.json["policies"].to_string();
    assert!(!text.contains("/24") && !text.contains("/16") && !text.contains("0.0.0.0/0"));
    let again = run("--public-entry=seen");
    for part in ["graph", "policies", "findings"] {
        assert!(
            again.json[part] == seen.json[part],
            "{part} differs from the first run"
        );
    }
}

#[test]
fn a_capture_as_a_flow_log_gives_the_same_edges_alone_and_together_with_the_capture() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = write(folder.path(), "flows", &converted());
    let shop = sample("samples/shop");
    let by_capture = generate(&[("--capture", &shop)]);
    assert!(!edges(&by_capture).is_empty(), "{}", by_capture.stderr);
    for inputs in [
        vec![("--flows", log.as_path())],
        vec![("--capture", shop.as_path()), ("--flows", log.as_path())],
    ] {
        let run = generate(&inputs);
        // One pod went between the two snapshots. In the capture its own packets show until when it had its address; a
        // log shows no interfaces, so some of its traffic has no certain owner there. Nothing is learned in its place.
        let uncertain = |edge: &String| edge.starts_with("\"owner-uncertain:");
        let certain: BTreeSet<String> = edges(&run)
            .into_iter()
            .filter(|edge| !uncertain(edge))
            .collect();
        let lost: Vec<String> = edges(&by_capture).difference(&certain).cloned().collect();
        let of_the_pod = |edge: &String| edge.starts_with("\"shop/feed[Deployment]\"");
        assert!(
            lost.iter().all(of_the_pod),
            "{inputs:?} {lost:#?} {}",
            run.stderr
        );
        assert_eq!(lost.is_empty(), !edges(&run).iter().any(uncertain));
        let more: Vec<String> = certain.difference(&edges(&by_capture)).cloned().collect();
        assert!(more.is_empty(), "{inputs:?} {more:#?}");
        assert_eq!(
            run.json["proof"]["blocked"].as_array().map(Vec::len),
            Some(0)
        );
        assert_eq!(run.json["inputs"]["flows"][0]["format"], "jsonl");
    }
}

#[test]
fn a_file_whose_first_line_is_no_flow_is_refused_with_its_name_and_a_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    for (text, reason) in [
        ("hello\n", "neither JSON nor a CSV header"),
        (
            "{\"client\":\"10.0.0.1\",\"server\":\"10.0.0.2\"}\n",
            "line 1: there is no protocol",
        ),
        ("client,server,prt\n", "no column \"prt\""),
        (
            "{\"a\":1}\n",
            "no flow of nanoseg, Hubble, Calico or Goldmane",
        ),
        ("SQLite format 3\0", "a database"),
    ] {
        let path = write(folder.path(), "flows", text);
        let run = generate(&[("--flows", &path)]);
        assert_eq!(run.code, Some(2), "{text}");
        assert!(run.stderr.contains(reason), "{}", run.stderr);
        assert!(run.stderr.contains("flows"), "{}", run.stderr);
    }
}

#[test]
fn invalid_lines_after_a_valid_one_are_counted_and_shown_and_the_rest_is_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let good =
        r#"{"client":"10.0.0.1","server":"10.0.0.2","port":80,"protocol":"TCP","time":1767225600}"#;
    let cut = &good[..30];
    let text = format!(
        "{good}\n{{\"client\":1}}\n{}\n{cut}",
        good.replace("10.0.0.1", "10.0.0.3")
    );
    let path = write(folder.path(), "flows", &text);
    let run = generate(&[("--flows", &path)]);
    let input = &run.json["inputs"]["flows"][0];
    assert_eq!(
        (&input["flows"], &input["malformed"]),
        (&2.into(), &2.into()),
        "{}",
        run.stderr
    );
    let findings = run.json["findings"].as_array().expect("findings");
    let loss = findings
        .iter()
        .find(|f| f["code"] == "observation-loss")
        .expect("a finding");
    assert_eq!(loss["subject"], "line-malformed");
    let samples = loss["samples"].to_string();
    assert!(
        samples.contains("flows:2: ") && samples.contains("flows:4: "),
        "{samples}"
    );
}

#[test]
fn csv_and_compressed_logs_are_recognised_by_their_content() {
    use std::io::Write;
    let folder = tempfile::tempdir().expect("a folder");
    let csv = "client,server,port,protocol,time,verdict\n10.0.0.1,10.0.0.2,80,tcp,1767225600,\n10.0.0.1,10.0.0.2,81,tcp,1767225600,refused\n";
    let file = std::fs::File::create(folder.path().join("flows.txt")).expect("a file");
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    gzip.write_all(csv.as_bytes()).expect("written");
    gzip.finish().expect("written");
    let run = generate(&[("--flows", folder.path())]);
    let input = &run.json["inputs"]["flows"][0];
    assert_eq!(
        (&input["format"], &input["flows"]),
        (&"csv".into(), &2.into()),
        "{}",
        run.stderr
    );
}

/// The flow logs below `tests/data/flows`, with the cluster that they are of.
fn of_other_program(log: &str) -> Run {
    let data = sample("tests/data/flows");
    let mut all: Vec<OsString> = ["generate", "--output", "json", "--cluster"]
        .map(Into::into)
        .into();
    all.push(data.join("cluster.yaml").into());
    all.push("--flows".into());
    all.push(data.join(log).into());
    nanoseg(all)
}

/// The learned edges between pods, as `CLIENT → SERVER PORT`.
fn learned(run: &Run) -> BTreeSet<String> {
    let edges = run.json["graph"]["edges"].as_array().expect("edges");
    let learned = edges
        .iter()
        .filter(|edge| edge["lesson"]["kind"] == "learned");
    let text =
        |edge: &serde_json::Value, name: &str| edge[name].as_str().unwrap_or_default().to_owned();
    learned
        .map(|edge| {
            format!(
                "{} → {} {}",
                text(edge, "client"),
                text(edge, "server"),
                edge["port"]
            )
        })
        .filter(|edge| !edge.contains("outside:"))
        .collect()
}

fn subjects<'r>(run: &'r Run, code: &str) -> Vec<&'r str> {
    let findings = run.json["findings"].as_array().expect("findings");
    let found = findings.iter().filter(|finding| finding["code"] == code);
    found
        .filter_map(|finding| finding["subject"].as_str())
        .collect()
}

#[test]
fn logs_of_other_programs_give_the_edges_and_nothing_else() {
    for (log, format) in [
        ("zeek/conn.log", "zeek"),
        ("zeek/conn.json", "zeek"),
        ("vpc/default.log", "vpc"),
        ("vpc/version5.log", "vpc"),
        ("netobserv/flows.json", "netobserv"),
        ("netobserv/loki.json", "netobserv"),
        ("nfdump/flows.csv", "nfdump"),
        ("nfdump/flows-1.7.csv", "nfdump"),
        ("nfdump/flows.json", "nfdump"),
        ("calico/whisker.sse", "calico"),
    ] {
        let run = of_other_program(log);
        assert_eq!(
            run.json["inputs"]["flows"][0]["format"], format,
            "{}",
            run.stderr
        );
        let mut expected: BTreeSet<String> = [String::from(
            "shop/web[Deployment] → shop/api[Deployment] 9000",
        )]
        .into();
        if format == "zeek" {
            expected.insert("shop/web[Deployment] → shop/api[Deployment] 9001".into());
        }
        assert_eq!(learned(&run), expected, "{log}");
        assert_eq!(subjects(&run, "nothing-attributed"), [""; 0], "{log}");
        assert_eq!(subjects(&run, "interface-addresses"), [""; 0], "{log}");
    }
}

#[test]
fn a_vpc_flow_log_with_addresses_of_nodes_says_what_it_lacks() {
    let run = of_other_program("vpc/interface-addresses.log");
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert_eq!(learned(&run), BTreeSet::new());
    for code in ["nothing-attributed", "interface-addresses"] {
        let found = subjects(&run, code);
        assert!(
            found.len() == 1 && found[0].ends_with("interface-addresses.log"),
            "{code}: {found:?}"
        );
    }
}
