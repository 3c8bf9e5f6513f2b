//! `nanoseg observe`: live sources of this machine, in the foreground.

mod edges;
mod hubble;
mod names;
mod render;
mod screen;

use super::access::AccessArgs;
use super::agent::parse_window;
use super::notices::Stderr;
use super::sources::{InterfaceArg, LiveKind, open};
use super::terminal;
use super::units::parse_duration;
use crate::agent::chain;
use crate::flow::{Observations, Source};
use crate::inventory::{Inventory, OwnerRule};
use crate::load::read_sources;
use crate::net::Timestamp;
use crate::observe::{
    AddressChanges, Clock, LiveError, LiveSource, Pace, Stop, flow_log, run as run_source,
};
use anyhow::Context;
use clap::ValueEnum;
use edges::{EdgeTable, Order};
use hubble::HubbleArgs;
use names::Names;
use screen::{Command, Screen};
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// Watch live traffic on this machine: a table of clients and servers.
///
/// On a terminal the table is live: n, r and a sort by name, rate and age, q quits. Otherwise each new edge
/// is one line, and the table is printed at the end. The file of --out can be read by generate --flows.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// The sources of this machine to watch (default: those of conntrack and capture that can start; none if
    /// Hubble is given).
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SOURCE")]
    source: Vec<LiveKind>,
    #[command(flatten)]
    interface: InterfaceArg,
    #[command(flatten)]
    hubble: HubbleArgs,
    /// End after this time, for example 10m.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    time: Option<Duration>,
    /// Snapshots of the cluster, or the word live, to show names instead of addresses.
    #[arg(long, value_name = "FILE|DIR|live", num_args = 1..)]
    cluster: Vec<PathBuf>,
    #[command(flatten)]
    access: AccessArgs,
    /// Append flow records to this file (JSON lines) after every window.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The order of the table.
    #[arg(long, value_enum, default_value_t = Order::Rate)]
    sort: Order,
    /// How often flow records are collected from the sources; new edges are shown after a second.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_window)]
    window: Duration,
    /// The name of this node in flow records (default: the host's name).
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    node: Option<String>,
    /// What to print to stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// The live table, or a line per new edge.
    Text,
    /// One document at the end (schema nanoseg.dev/observe/v1).
    Json,
}

const EXAMPLES: &str = "\
Examples:
  All traffic of this machine, live (q quits):
    sudo nanoseg observe

  Ten minutes of pod traffic for a later generate:
    sudo nanoseg observe --for 10m --interface 'veth*' --out flows.jsonl
    nanoseg generate --flows flows.jsonl --cluster cluster.yaml

  With names, most active first:
    sudo nanoseg observe --cluster cluster.yaml --sort rate

  A Cilium cluster through Hubble Relay, or through the hubble tool:
    kubectl -n kube-system port-forward service/hubble-relay 4245:80 &
    nanoseg observe --hubble-relay localhost:4245 --out flows.jsonl
    hubble observe --follow -o jsonpb | nanoseg observe --hubble -

  Without sudo:
    sudo setcap cap_net_admin,cap_net_raw+ep $(command -v nanoseg)

Exit codes: 0 ended by q, Ctrl-C, SIGTERM or --for; 2 an error.";

/// The longest time between two checks for signals and keys.
const TURN: Duration = Duration::from_millis(100);
/// How often the table is redrawn.
const REDRAW: Duration = Duration::from_secs(1);

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let names = Names(read_inventory(&args.cluster, &args.access)?);
    let out = args.out.as_ref().map(open_out).transpose()?;
    let stop = Stop::default();
    end_on_signals(&stop)?;
    let (slices, taken) = sync_channel(4);
    let sources = start(&args, &stop, &slices)?;
    drop(slices);
    let live = args.output == Output::Text && std::io::stdout().is_terminal();
    let mut watch = Watch {
        node: node(&args).into(),
        out,
        edges: EdgeTable::default(),
        names,
        order: args.sort,
        lines: args.output == Output::Text && !live,
        clock: Clock::start(),
    };
    let until = args.time.and_then(|time| Instant::now().checked_add(time));
    let screen = live.then(Screen::start).transpose();
    let mut screen = screen.context("failed to use the terminal; try | cat")?;
    let watched = watch.run(&taken, &stop, until, screen.as_mut());
    // Sources end, and the records that they still hold are taken.
    stop.stop();
    let rest = watched.and_then(|()| taken.iter().try_for_each(|slice| watch.take(&slice)));
    if let Some(screen) = screen {
        screen.finish();
    }
    drop(taken);
    let failures: Vec<String> = sources.into_iter().filter_map(ended).collect();
    rest?;
    watch.finish(args.output)?;
    for failure in &failures {
        eprintln!("warning: {failure}");
    }
    Ok(ExitCode::SUCCESS)
}

struct Watch {
    node: Arc<str>,
    out: Option<(PathBuf, File)>,
    edges: EdgeTable,
    names: Names,
    order: Order,
    /// True if each new edge is a line on stdout.
    lines: bool,
    clock: Clock,
}

impl Watch {
    /// Takes observations until the end: a signal, a key, the end of the time, or no source runs any more.
    fn run(
        &mut self,
        slices: &Receiver<Observations>,
        stop: &Stop,
        until: Option<Instant>,
        mut screen: Option<&mut Screen>,
    ) -> anyhow::Result<()> {
        let mut drawn: Option<Instant> = None;
        while !stop.is_stopped() && until.is_none_or(|until| Instant::now() < until) {
            match slices.recv_timeout(TURN) {
                Ok(slice) => self.take(&slice)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            let Some(screen) = screen.as_deref_mut() else {
                continue;
            };
            match screen.command(Duration::ZERO)? {
                Some(Command::Quit) => return Ok(()),
                Some(Command::Sort(order)) => (self.order, drawn) = (order, None),
                Some(Command::Redraw) => drawn = None,
                None => {}
            }
            if drawn.is_none_or(|at| at.elapsed() >= REDRAW) {
                drawn = Some(Instant::now());
                let footer = format!(
                    "{}   sort: [n]ame [r]ate [a]ge   [q]uit",
                    render::total(&self.edges)
                );
                screen.draw(&self.table(), &footer)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, slice: &Observations) -> anyhow::Result<()> {
        if let Some((path, file)) = &mut self.out {
            // One unbuffered write for each, so that a line is written whole or not at all.
            file.write_all(flow_log::write_slice(&self.node, slice).as_bytes())
                .with_context(|| format!("failed to write {}", path.display()))?;
        }
        let new = self.edges.add(slice, Instant::now());
        if !self.lines || new.is_empty() {
            return Ok(());
        }
        let lines: String = new
            .iter()
            .filter_map(|key| Some((key, self.edges.get(key)?)))
            .map(|(key, edge)| render::line(key, edge, &self.names))
            .collect();
        terminal::print(&lines)?;
        Ok(())
    }

    fn now(&mut self) -> Timestamp {
        self.clock.check_step();
        self.clock.to_wall(self.clock.now())
    }

    fn table(&mut self) -> String {
        let at = self.now();
        render::table(&self.edges, &self.names, self.order, Instant::now(), at)
    }

    fn finish(&mut self, output: Output) -> anyhow::Result<()> {
        if let Some((path, file)) = &self.out {
            file.sync_all()
                .with_context(|| format!("failed to write {}", path.display()))?;
        }
        let text = match output {
            Output::Json => {
                let document =
                    render::document(&self.edges, &self.names, self.order, Instant::now());
                format!("{document:#}\n")
            }
            Output::Text => {
                let gap = if self.lines { "\n" } else { "" };
                format!("{gap}{}{}\n", self.table(), render::total(&self.edges))
            }
        };
        terminal::print(&text)?;
        Ok(())
    }
}

/// A source on its thread.
struct Running {
    source: Source,
    thread: JoinHandle<Result<(), LiveError>>,
}

/// Starts the sources: all that were named, or by default those that can start.
fn start(args: &Args, stop: &Stop, out: &SyncSender<Observations>) -> anyhow::Result<Vec<Running>> {
    let by_default = args.source.is_empty() && !args.hubble.is_wanted();
    let mut kinds = if by_default {
        vec![LiveKind::Conntrack, LiveKind::Capture]
    } else {
        args.source.clone()
    };
    kinds.sort();
    kinds.dedup();
    let pace = Pace {
        window: args.window,
        ..Pace::default()
    };
    let address_changes = AddressChanges::default();
    let mut opened = Vec::from_iter(args.hubble.open()?);
    let mut failed = Vec::new();
    for kind in kinds {
        match (open(kind, args.interface.interfaces(), address_changes.clone()).open)() {
            Ok(source) => opened.push(source),
            Err(error) if by_default => failed.push((kind, error)),
            Err(error) => return Err(error).context(format!("failed to watch {kind}")),
        }
    }
    if opened.is_empty() {
        let reasons: Vec<_> = failed
            .iter()
            .map(|(kind, error)| format!("{kind}: {}", chain(error)))
            .collect();
        anyhow::bail!("failed to watch anything: {}", reasons.join("; "));
    }
    for (kind, error) in &failed {
        eprintln!("warning: without {kind}: {}", chain(error));
    }
    opened
        .into_iter()
        .map(|source| spawn(source, pace, stop.clone(), out.clone()))
        .collect()
}

fn spawn(
    mut source: Box<dyn LiveSource>,
    pace: Pace,
    stop: Stop,
    out: SyncSender<Observations>,
) -> anyhow::Result<Running> {
    let name = source.source();
    let builder = thread::Builder::new().name(name.to_string());
    let thread = builder
        .spawn(move || run_source(&mut *source, pace, &stop, &out))
        .context("failed to start a thread")?;
    Ok(Running {
        source: name,
        thread,
    })
}

/// Waits for a source; returns why it ended, if it failed.
fn ended(running: Running) -> Option<String> {
    let source = running.source;
    match running.thread.join() {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("{source} ended: {}", chain(&error))),
        Err(_) => Some(format!(
            "{source} panicked; please report this as a bug of nanoseg"
        )),
    }
}

fn read_inventory(paths: &[PathBuf], access: &AccessArgs) -> anyhow::Result<Option<Inventory>> {
    if paths.is_empty() {
        return Ok(None);
    }
    let (objects, _) = read_sources(paths, &access.settings(), &Stderr::new())?;
    Ok(Some(Inventory::build(&objects, OwnerRule::Infer).0))
}

fn open_out(path: &PathBuf) -> anyhow::Result<(PathBuf, File)> {
    let file = File::options().create(true).append(true).open(path);
    let file =
        file.with_context(|| format!("failed to open {} to append to it", path.display()))?;
    Ok((path.clone(), file))
}

fn node(args: &Args) -> String {
    args.node.clone().unwrap_or_else(|| {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        name.trim().to_owned()
    })
}

/// Ctrl-C and SIGTERM stop the sources, which ends the command in order.
fn end_on_signals(stop: &Stop) -> anyhow::Result<()> {
    let stop = stop.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to wait for signals")?;
    let entered = runtime.enter();
    let interrupt = signal(SignalKind::interrupt());
    let mut interrupt = interrupt.context("failed to wait for SIGINT")?;
    let terminate = signal(SignalKind::terminate());
    let mut terminate = terminate.context("failed to wait for SIGTERM")?;
    drop(entered);
    let wait = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        stop.stop();
    };
    let builder = thread::Builder::new().name("signals".into());
    builder.spawn(wait).context("failed to start a thread")?;
    Ok(())
}
