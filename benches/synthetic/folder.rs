//! A folder with a capture, its cluster's snapshot, and what must come out of the two.

use super::cluster::{Cluster, ClusterSize};
use super::snapshot::snapshot;
use super::traffic::{TrafficSize, Written, write_capture};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Counts up when the same recipe gives other bytes than before, so that old folders are made anew.
const EDITION: u32 = 1;

/// Everything that decides the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    pub cluster: ClusterSize,
    pub traffic: TrafficSize,
    pub seed: u64,
}

/// Where the parts of a folder are.
#[derive(Debug, Clone)]
pub struct Folder {
    pub capture: PathBuf,
    pub cluster: PathBuf,
    /// [`Written`], and the recipe that it was made by.
    pub expected: PathBuf,
}

impl Folder {
    pub fn at(path: &Path) -> Folder {
        Folder {
            capture: path.join("capture.pcap"),
            cluster: path.join("cluster.json"),
            expected: path.join("expected.json"),
        }
    }
}

impl Recipe {
    /// Why this cannot be made, if it cannot.
    pub fn problem(&self) -> Option<String> {
        let ClusterSize {
            pods,
            workloads,
            namespaces,
            calls,
        } = self.cluster;
        if namespaces == 0 || workloads <= calls || pods < workloads || pods > 1_000_000 {
            return Some("wants namespaces ≥ 1 and 1 000 000 ≥ pods ≥ workloads > calls".into());
        }
        let fewest = self.traffic.fewest_packets();
        if self.traffic.connections == 0 || self.traffic.packets < fewest {
            return Some(format!(
                "wants a connection at least, and {fewest} packets for these"
            ));
        }
        None
    }

    fn random(&self) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed)
    }

    pub fn plan(&self) -> Cluster {
        Cluster::plan(self.cluster, &mut self.random())
    }

    /// Makes the folder unless it is there already, made by the same recipe.
    pub fn make(&self, path: &Path) -> io::Result<Folder> {
        let folder = Folder::at(path);
        if self.is_made(&folder) {
            return Ok(folder);
        }
        fs::create_dir_all(path)?;
        let mut random = self.random();
        let cluster = Cluster::plan(self.cluster, &mut random);
        fs::write(&folder.cluster, snapshot(&cluster))?;
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&folder.capture)?);
        let written = write_capture(&mut out, &cluster, self.traffic, &mut random)?;
        out.flush()?;
        // Last: a folder without it is not finished.
        fs::write(&folder.expected, format!("{:#}\n", self.expected(&written)))?;
        Ok(folder)
    }

    fn is_made(&self, folder: &Folder) -> bool {
        let known = fs::read(&folder.expected).ok();
        let known: Option<Value> = known.and_then(|text| serde_json::from_slice(&text).ok());
        let length = fs::metadata(&folder.capture).map_or(0, |capture| capture.len());
        known.is_some_and(|known| known["recipe"] == self.text() && known["bytes"] == length)
    }

    fn text(&self) -> String {
        format!("edition {EDITION}, {self:?}")
    }

    fn expected(&self, written: &Written) -> Value {
        json!({
            "packets": written.packets, "bytes": written.bytes, "edges": written.edges,
            "connections": written.connections, "most_open": written.most_open,
            "recipe": self.text(),
        })
    }
}
