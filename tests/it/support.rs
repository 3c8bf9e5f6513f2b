//! Helpers of several tests: frames and captures from text, clusters, namespaces and tokens.

pub mod capture;
pub mod diff;
pub mod frames;
pub mod go;
pub mod kubernetes;
pub mod namespaces;
#[path = "../support/tokens.rs"]
pub mod tokens;
pub mod traffic;

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Returns a free port outside of the kernel's ephemeral range, so that it is still free when a killed server is
/// restarted on it.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(14_000);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
