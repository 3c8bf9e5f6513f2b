//! `nanoseg probe-connect`: what the containers of `nanoseg probe` run. It makes the tries that its arguments name, and
//! writes their outcomes into the container's termination message.

mod attempt;
mod error_queue;

use crate::probe::{Expected, Outcome, Task, Told, message};
use anyhow::Context;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// How many tries one container makes: each has a thread.
const MOST_TASKS: usize = 64;

/// Make single connection attempts and write their outcomes; run by the containers of nanoseg probe
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub struct Args {
    /// The longest wait for an answer, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 3000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    timeout_ms: u32,
    /// From a try that was not as expected to the second one, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(0..=60_000))]
    again_after_ms: u32,
    /// The file that gets the outcomes.
    #[arg(long, value_name = "FILE", default_value = "/dev/termination-log")]
    message: PathBuf,
    /// What to try: EXPECTED/WAY/ADDRESS:PORT
    #[arg(value_name = "TRY", required = true)]
    tasks: Vec<Task>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        args.tasks.len() <= MOST_TASKS,
        "{} tries; give at most {MOST_TASKS}",
        args.tasks.len()
    );
    let (timeout, pause) = (
        Duration::from_millis(args.timeout_ms.into()),
        Duration::from_millis(args.again_after_ms.into()),
    );
    let all: Vec<Told> = thread::scope(|scope| {
        let tries: Vec<_> = args
            .tasks
            .iter()
            .map(|task| scope.spawn(move || told(*task, timeout, pause)))
            .collect();
        let ended = tries.into_iter().map(|one| {
            let failed = Told {
                first: Outcome::Failed { errno: 0 },
                second: None,
            };
            one.join().unwrap_or(failed)
        });
        ended.collect()
    });
    std::fs::write(&args.message, message(&all))
        .with_context(|| format!("failed to write {}", args.message.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// One try, and a second one some seconds later if the first was not as expected: a plugin needs a moment for what is new.
fn told(task: Task, timeout: Duration, pause: Duration) -> Told {
    let first = attempt::attempt(task, timeout);
    let again = match task.expected {
        // The silence of who takes datagrams in silence is no news.
        Expected::Allowed => !first.is_heard() && task.way.is_answered(),
        Expected::Denied => first.is_heard(),
        Expected::Open => false,
    };
    let second = again.then(|| {
        thread::sleep(pause);
        attempt::attempt(task, timeout)
    });
    Told { first, second }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    fn run_with(tasks: &[String]) -> Vec<Told> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let args = Args {
            timeout_ms: 500,
            again_after_ms: 0,
            message: file.path().to_owned(),
            tasks: tasks.iter().map(|task| task.parse().unwrap()).collect(),
        };
        run(&args).unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        crate::probe::parse_message(&text, tasks.len()).unwrap()
    }

    #[test]
    fn a_handshake_an_answer_a_refusal_and_silence_are_told_apart() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        tcp.set_nonblocking(true).unwrap();
        let closed = {
            let gone = TcpListener::bind("127.0.0.1:0").unwrap();
            gone.local_addr().unwrap()
        };
        let dns = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
        let closed_udp = {
            let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
            gone.local_addr().unwrap()
        };
        let at = dns.local_addr().unwrap();
        let server = thread::spawn(move || {
            let mut query = [0; 512];
            let (size, from) = dns.recv_from(&mut query).unwrap();
            dns.send_to(&query[..size], from).unwrap();
            query[..size].to_vec()
        });
        let told = run_with(&[
            format!("allowed/tcp/{}", tcp.local_addr().unwrap()),
            format!("denied/tcp/{closed}"),
            format!("allowed/dns/{at}"),
            format!("allowed/udp/{}", mute.local_addr().unwrap()),
            format!("denied/udp/{closed_udp}"),
        ]);
        let first: Vec<Outcome> = told.iter().map(|one| one.first).collect();
        let by = Some("127.0.0.1".parse().unwrap());
        assert_eq!(
            first,
            [
                Outcome::Connected,
                Outcome::Refused,
                Outcome::Answered,
                Outcome::Silent,
                Outcome::Rejected { by },
            ]
        );
        assert!(told.iter().all(|one| one.second.is_none()), "{told:?}");
        let seen = tcp.accept().unwrap_err();
        assert_eq!(
            seen.kind(),
            std::io::ErrorKind::WouldBlock,
            "the server's program sees nothing of it"
        );
        let query = server.join().unwrap();
        assert!(
            query
                .windows(9)
                .any(|part| part == b"\x02id\x06server"[..9].as_ref())
        );
        let mut one = [0; 16];
        mute.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let size = mute.recv(&mut one).unwrap();
        assert_eq!(&one[..size], b"\n", "one datagram with a line feed");
    }

    #[test]
    fn what_is_not_as_expected_is_tried_once_more() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = tcp.local_addr().unwrap();
        let told = run_with(&[format!("denied/tcp/{open}"), format!("open/tcp/{open}")]);
        assert_eq!(told[0].second, Some(Outcome::Connected));
        assert_eq!(told[1].second, None, "what is open is tried once");
    }
}
