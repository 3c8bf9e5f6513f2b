//! `--flows`: flow logs beside captures or instead of them, by the command line.

use crate::binary::nanoseg;
use std::path::{Path, PathBuf};

fn sample(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("the flow log is written");
    path.display().to_string()
}

fn graph(arguments: &[&str]) -> crate::binary::Run {
    let cluster = sample("samples/shop/cluster.yaml").display().to_string();
    let mut all = vec!["graph", "--output", "csv", "--cluster", &cluster];
    all.extend(arguments);
    nanoseg(&all)
}

#[test]
fn a_file_whose_first_line_is_no_flow_is_refused_with_its_name_and_the_reason() {
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
    ] {
        let path = write(folder.path(), "flows", text);
        let run = graph(&["--flows", &path]);
        assert_eq!(run.code, 2, "{text}");
        assert!(
            run.stderr.contains(reason) && run.stderr.contains(&path),
            "{}",
            run.stderr
        );
    }
}
