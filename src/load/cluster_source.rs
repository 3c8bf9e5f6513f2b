//! What `--cluster` names: files and folders, or the cluster as it is now.

#[cfg(feature = "cluster")]
use super::client::BlockingClient;
use super::error::LoadError;
#[cfg(feature = "cluster")]
use super::notice::Notice;
use super::notice::NoticeSink;
#[cfg(feature = "cluster")]
use crate::cluster::live::Snapshot;
use crate::cluster::{ConnectSettings, SkippedFile, read_cluster};
use crate::inventory::Objects;
use std::path::Path;
use std::slice;

/// The word for the cluster as it is now. A file of that name is `./live`.
const LIVE: &str = "live";

/// What one value of `--cluster` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterSource<'a> {
    /// A file, a folder, or `-`.
    Files(&'a Path),
    /// The cluster of the kubeconfig, or of this context of it: `live`, `live:prod`.
    Live(Option<&'a str>),
}

impl ClusterSource<'_> {
    pub fn of(value: &Path) -> ClusterSource<'_> {
        let text = value.as_os_str().to_str().unwrap_or_default();
        match text.split_once(':') {
            None if text == LIVE => ClusterSource::Live(None),
            Some((LIVE, context)) if !context.is_empty() => ClusterSource::Live(Some(context)),
            _ => ClusterSource::Files(value),
        }
    }

    pub fn is_live(value: &Path) -> bool {
        matches!(ClusterSource::of(value), ClusterSource::Live(_))
    }
}

/// The objects that one value of `--cluster` names, and the files of a folder that were left out.
///
/// # Errors
/// Files that cannot be read, or a cluster that does not answer.
pub fn read_source(
    value: &Path,
    connect: &ConnectSettings,
    notices: &dyn NoticeSink,
) -> Result<(Objects, Vec<SkippedFile>), LoadError> {
    let path = match ClusterSource::of(value) {
        ClusterSource::Files(path) => path.to_owned(),
        ClusterSource::Live(context) => {
            let connect = ConnectSettings {
                context: context.map(str::to_owned).or(connect.context.clone()),
                ..connect.clone()
            };
            return Ok((read_live(&connect, notices)?, Vec::new()));
        }
    };
    Ok(read_cluster(slice::from_ref(&path))?)
}

/// The objects of several values of `--cluster`.
///
/// # Errors
/// As [`read_source`].
pub fn read_sources<P: AsRef<Path>>(
    values: &[P],
    connect: &ConnectSettings,
    notices: &dyn NoticeSink,
) -> Result<(Objects, Vec<SkippedFile>), LoadError> {
    let (mut objects, mut skipped) = (Objects::default(), Vec::new());
    for value in values {
        let (more, left_out) = read_source(value.as_ref(), connect, notices)?;
        crate::cluster::append(&mut objects, more);
        skipped.extend(left_out);
    }
    Ok((objects, skipped))
}

/// What `nanoseg snapshot` would write now.
#[cfg(feature = "cluster")]
fn read_live(connect: &ConnectSettings, notices: &dyn NoticeSink) -> Result<Objects, LoadError> {
    let client = BlockingClient::new(connect)?;
    let snapshot = client.block_on(Snapshot::take(&client.client, &[]))?;
    for missing in &snapshot.missing {
        notices.report(Notice::Missing(missing.clone()));
    }
    Ok(snapshot.objects()?)
}

#[cfg(not(feature = "cluster"))]
fn read_live(_connect: &ConnectSettings, _notices: &dyn NoticeSink) -> Result<Objects, LoadError> {
    Err(LoadError::WithoutCluster(
        "--cluster live reads a cluster (a file of that name is ./live)".into(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_is_the_cluster_and_a_file_of_that_name_has_a_folder() {
        let of = |value| ClusterSource::of(Path::new(value));
        assert_eq!(of("live"), ClusterSource::Live(None));
        assert_eq!(of("live:prod"), ClusterSource::Live(Some("prod")));
        assert_eq!(
            of("live:arn:aws:eks:eu:1:cluster/a"),
            ClusterSource::Live(Some("arn:aws:eks:eu:1:cluster/a"))
        );
        for file in [
            "./live",
            "live.yaml",
            "live:",
            "-",
            "alive",
            "x/live",
            "LIVE",
        ] {
            assert_eq!(of(file), ClusterSource::Files(Path::new(file)));
        }
    }
}
