//! Opens many short TCP connections, for the load tests of the agent. It is an example, so that cargo builds it
//! beside the binary for tests and benches.
//!
//! `generate_connections serve PORT` answers; `generate_connections call ADDRESS:PORT RATE SECONDS` opens RATE
//! connections per second, exchanges a byte in each direction and ends each with a reset, so that no port stays in
//! TIME_WAIT on either side. It prints `{"connections": …, "failed": …, "seconds": …}`. Each command uses one
//! thread, because both run beside the measured agent on few cores.

#![allow(
    unsafe_code,
    reason = "socket options and resource limits have no safe wrapper here"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", port] => serve(number(port) as u16),
        ["call", at, rate, seconds] => {
            let at = at.parse().unwrap_or_else(|_| exit("ADDRESS:PORT wanted"));
            call(at, number(rate), number(seconds))
        }
        _ => exit("usage: generate_connections serve PORT | call ADDRESS:PORT RATE SECONDS"),
    }
}

fn exit(why: &str) -> ! {
    eprintln!("generate_connections: {why}");
    std::process::exit(2)
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| exit("not a number"))
}

/// Answers one byte to each connection. A call is short and its byte arrives immediately, so serving one connection
/// after the other is fast enough.
fn serve(port: u16) -> ExitCode {
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap_or_else(|e| exit(&e.to_string()));
    lengthen_backlog(&listener);
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
        let mut byte = [0];
        if stream.read_exact(&mut byte).is_ok() {
            let _ = stream.write_all(&byte);
        }
        // The side that closes first keeps the port in TIME_WAIT. The caller closes first, with a reset.
        let _ = stream.read(&mut byte);
    }
    ExitCode::SUCCESS
}

/// Sets a larger backlog: std listens with 128, which a burst exceeds.
fn lengthen_backlog(listener: &TcpListener) {
    // SAFETY: listen(2) on a socket that is open for as long as `listener` lives.
    unsafe { libc::listen(listener.as_raw_fd(), 4096) };
}

fn call(at: SocketAddr, rate: u64, seconds: u64) -> ExitCode {
    let begun = Instant::now();
    let (mut done, mut failed) = (0u64, 0u64);
    while begun.elapsed() < Duration::from_secs(seconds) {
        let due = (begun.elapsed().as_secs_f64() * rate as f64) as u64;
        if done + failed >= due {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        match exchange(at) {
            Ok(()) => done += 1,
            Err(error) => {
                if failed == 0 {
                    eprintln!("generate_connections: {error}");
                }
                failed += 1;
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(r#"{{"connections": {done}, "failed": {failed}, "seconds": {seconds:.3}}}"#);
    ExitCode::SUCCESS
}

fn exchange(at: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    reset_on_close(&stream)?;
    stream.write_all(b"x")?;
    let mut byte = [0];
    match stream.read(&mut byte)? {
        1 => Ok(()),
        _ => Err(ErrorKind::UnexpectedEof.into()),
    }
}

fn reset_on_close(stream: &TcpStream) -> std::io::Result<()> {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the option's value is a `linger` of that size, read before the call returns.
    let status = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    if status == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}
