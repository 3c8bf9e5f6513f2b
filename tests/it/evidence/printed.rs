//! The printed page: checks a browser's PDF of it.

use super::{CLUSTER, sample, state_with, tool, written};
use nanoseg::record::ActionKind;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// One page of a PDF: its size, and its words with the right and bottom end of each, in points.
struct Sheet {
    width: f64,
    height: f64,
    words: Vec<(String, f64, f64)>,
}

impl Sheet {
    fn text(&self) -> String {
        let words: Vec<&str> = self.words.iter().map(|(word, ..)| word.as_str()).collect();
        words.join(" ")
    }
}

/// Prints the report's page. Returns `None` if the tools are missing.
///
/// The PDF is kept in `target/report` under `name` for inspection.
fn print(folder: &Path, name: &str) -> Option<Vec<Sheet>> {
    tool(folder, "pdftotext -v")?;
    tool(folder, "chromium --version")?;
    let page = folder.join("report/index.html");
    let line = format!(
        "timeout 120 chromium --headless --no-sandbox --disable-gpu --no-pdf-header-footer --user-data-dir=profile \
         --print-to-pdf=page.pdf file://{}",
        page.display()
    );
    let printed = tool(folder, &line)?;
    assert!(folder.join("page.pdf").exists(), "{printed:?}");
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/report");
    fs::create_dir_all(&kept).expect("a folder");
    fs::copy(folder.join("page.pdf"), kept.join(name)).expect("a copy");
    let output = tool(folder, "pdftotext -bbox page.pdf page.xml")?;
    assert!(output.status.success(), "{output:?}");
    let text = fs::read_to_string(folder.join("page.xml")).expect("what it wrote");
    let value = |line: &str, name: &str| -> f64 {
        let rest = line.split_once(&format!("{name}=\"")).expect("it has it").1;
        rest.split('"')
            .next()
            .and_then(|number| number.parse().ok())
            .expect("a number")
    };
    let mut sheets: Vec<Sheet> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("<page ") {
            sheets.push(Sheet {
                width: value(line, "width"),
                height: value(line, "height"),
                words: Vec::new(),
            });
        }
        if line.starts_with("<word ") {
            let word = line
                .split_once('>')
                .expect("a tag")
                .1
                .trim_end_matches("</word>");
            let sheet = sheets.last_mut().expect("a page");
            sheet
                .words
                .push((word.into(), value(line, "xMax"), value(line, "yMax")));
        }
    }
    Some(sheets)
}

const TITLES: [&str; 12] = [
    "Summary",
    "Controls",
    "Coverage",
    "Who talked to whom",
    "Policies against traffic",
    "How much was not seen",
    "Approvals",
    "Violations, and how they were answered",
    "What was done",
    "Findings",
    "Sources",
    "How to check this report",
];

/// Checks that nothing is cut off at the edge of the paper and that every section exists.
fn assert_whole(sheets: &[Sheet]) {
    let all: Vec<String> = sheets.iter().map(Sheet::text).collect();
    for title in TITLES {
        let found = all.iter().any(|text| text.contains(title));
        assert!(found, "{title:?} is not on paper");
    }
    for (number, sheet) in sheets.iter().enumerate() {
        assert!(
            sheet.width > sheet.height,
            "a table of nine columns needs the long side"
        );
        // The margin is 12 mm, 34 points.
        for (word, right, bottom) in &sheet.words {
            assert!(
                *right <= sheet.width - 33.0 && *bottom <= sheet.height,
                "{word:?} leaves page {}",
                number + 1
            );
        }
        // Above the number of the page.
        let body = |(_, _, bottom): &&(String, f64, f64)| *bottom < sheet.height - 34.0;
        let last = sheet
            .words
            .iter()
            .filter(body)
            .fold(0.0, |max: f64, word| max.max(word.2));
        let words = sheet
            .words
            .iter()
            .filter(|word| (word.2 - last).abs() < 1.0);
        let words: Vec<&str> = words.map(|(word, ..)| word.as_str()).collect();
        let is_full = last > sheet.height * 0.4 || number + 1 == sheets.len();
        assert!(is_full, "page {} ends early, at {last}", number + 1);
        let ends_in_heading = TITLES.contains(&words.join(" ").as_str());
        assert!(
            !ends_in_heading,
            "page {} ends with a heading: {words:?}",
            number + 1
        );
    }
}

#[test]
fn the_sample_is_printed_completely() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let (policies, cluster) = (sample("policies-out"), sample("samples/shop/cluster.yaml"));
    let sources = ["--generated", &policies, "--cluster", &cluster];
    written(
        here,
        &[
            &sources,
            ["--framework", "pci-dss", "--out", "report"].as_slice(),
        ]
        .concat(),
    );
    let Some(sheets) = print(here, "report-sample.pdf") else {
        return;
    };
    assert!((5..=16).contains(&sheets.len()), "{} pages", sheets.len());
    assert_whole(&sheets);
    let text: Vec<String> = sheets.iter().map(Sheet::text).collect();
    let text = text.join(" ");
    for part in [
        "1.3.1",
        "14 of 15",
        "legacy",
        "api.payments.example",
        "Chao2",
        "PCI DSS v4.0.1",
    ] {
        assert!(text.contains(part), "{part}");
    }
    let words = || sheets.iter().flat_map(|sheet| &sheet.words);
    let whole = words().filter(|(word, ..)| word == "learned").count();
    assert!(whole >= 26, "words are broken: {whole}");
    let (first, last) = (&sheets[0], sheets.len());
    assert!(
        first.text().ends_with(&format!("1 / {last}")),
        "{}",
        first.text()
    );
}

#[test]
fn very_long_names_are_printed_completely() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let long = "w".repeat(253);
    let cluster = CLUSTER.replace("name: web, namespace", &format!("name: {long}, namespace"));
    fs::write(here.join("cluster.yaml"), cluster).expect("a file");
    let words = format!("shop/{long} → shop/db 81/TCP");
    let line = (
        ActionKind::Violation,
        "nanoseg",
        long.as_str(),
        words.as_str(),
        "2026-03-06T00:00:00Z",
    );
    state_with(&here.join("nanoseg.db"), &[line], Value::Array(Vec::new()));
    let sources = ["--state", "nanoseg.db", "--cluster", "cluster.yaml"];
    written(
        here,
        &[
            &sources,
            ["--framework", "soc2", "--out", "report"].as_slice(),
        ]
        .concat(),
    );
    let Some(sheets) = print(here, "report-long-names.pdf") else {
        return;
    };
    assert_whole(&sheets);
}
