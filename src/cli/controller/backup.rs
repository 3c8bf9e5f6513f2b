//! `nanoseg controller backup`: a copy of the controller's state while it runs.

use crate::record::{Audit, Witness};
use crate::store::{ReviewStore, back_up};
use anyhow::{Context, bail};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Copy the controller's state to a file while the controller runs
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Copy the controller's state to a file, as it is at one moment; the controller may go on writing meanwhile. The copy is \
read and its record verified before it is given out. It has everything: flow records, edges, reviews, the record.",
    after_long_help = "\
Examples:
  From the running pod; its image has neither a shell nor tar, and none is needed:
    kubectl exec -n nanoseg deploy/nanoseg-controller -- /nanoseg controller backup \\
      --store /var/lib/nanoseg/nanoseg.sqlite --out - > nanoseg.sqlite

  Restoring it, and moving to another cluster: docs/operate.md"
)]
pub struct Args {
    /// The SQLite file of the controller's state
    #[arg(long, env = "NANOSEG_STORE", value_name = "FILE")]
    store: PathBuf,
    /// The file to write, which must not be there yet; - for standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let is_stdout = args.out.as_os_str() == "-";
    let place = if is_stdout { &args.store } else { &args.out };
    let folder = match place.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Beside its place and not in /tmp: there may be no room for gigabytes, and a container may have none at all.
    let copy = tempfile::Builder::new()
        .prefix(".nanoseg-backup-")
        .tempfile_in(folder)
        .with_context(|| format!("failed to write in {}", folder.display()))?;
    back_up(&args.store, copy.path())?;
    let said = check(copy.path())?;
    if is_stdout {
        let mut copied = File::open(copy.path()).context("failed to read the copy")?;
        io::copy(&mut copied, &mut io::stdout().lock()).context("failed to print the copy")?;
    } else {
        let name = args.out.display();
        copy.as_file()
            .sync_all()
            .context("failed to write the copy")?;
        if let Err(error) = copy.persist_noclobber(&args.out) {
            bail!(
                "failed to write {name}: {}; choose another --out",
                error.error
            );
        }
    }
    // Standard output may be the copy.
    eprintln!("backup: {said}");
    Ok(ExitCode::SUCCESS)
}

/// Verifies the record of the copy. Returns its end, in words.
fn check(copy: &Path) -> anyhow::Result<String> {
    let store = ReviewStore::open_read_only(copy)?;
    let (mut audit, mut entries) = (Audit::new(Witness::Absent), 0u64);
    store.record_lines(1, |number, text| {
        entries += 1;
        audit.take(number, text);
        true
    })?;
    let audited = audit.finish();
    let faults = audited.broken.and_then(|broken| broken.first_fault);
    match faults {
        None => Ok(format!("{entries} entries, head {}", audited.head)),
        Some(first) => Ok(format!(
            "{entries} entries, head {}; the record was altered, first: {first}",
            audited.head
        )),
    }
}
