//! An oracle as a running process: built once from tests/go, a case in on a line, an answer out on a line.

use super::case::Case;
use crate::support::go::built;
use serde::Deserialize;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Answers cases until it is dropped.
pub struct Oracle {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    name: &'static str,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    verdicts: String,
    #[serde(default)]
    error: String,
}

impl Oracle {
    /// Starts the program of a folder under tests/go. Returns `None` and prints a message if it cannot be built.
    pub fn start(name: &'static str) -> Option<Oracle> {
        let mut process = Command::new(built(name)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the oracle starts");
        Some(Oracle {
            input: process.stdin.take().expect("stdin"),
            output: BufReader::new(process.stdout.take().expect("stdout")),
            process,
            name,
        })
    }

    /// Returns one verdict for each probe of each pair: `0` denied, `1` allowed, `?` not judged by this project.
    pub fn ask(&mut self, case: &Case) -> Result<Vec<u8>, String> {
        let mut line = serde_json::to_vec(case).expect("JSON");
        line.push(b'\n');
        self.input.write_all(&line).expect("the oracle reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the oracle writes");
        let answer: Answer = serde_json::from_str(&line).unwrap_or_else(|error| {
            panic!("{} answered {line:?}: {error}", self.name);
        });
        if !answer.error.is_empty() {
            return Err(answer.error);
        }
        assert_eq!(
            answer.verdicts.len(),
            case.pairs.len() * case.probes.len(),
            "{} answers every probe",
            self.name
        );
        Ok(answer.verdicts.into_bytes())
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
