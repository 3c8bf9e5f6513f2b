//! Forwards a port of this machine into a network namespace, so that tests and programs outside of it reach the API
//! server without changes to the machine's own network.

use crate::support::namespaces::Namespace;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// Forwards connections at a free port of 127.0.0.1 to `target` in the namespace, as long as this process lives.
/// Returns the port.
pub fn forward(namespace: Arc<Namespace>, target: SocketAddr) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        // One thread that stays in the namespace opens the connections; otherwise every thread would have to enter it.
        namespace.inside(move || {
            for client in listener.incoming().flatten() {
                thread::spawn(move || {
                    if let Ok(server) = TcpStream::connect(target) {
                        join(client, server);
                    }
                });
            }
        });
    });
    port
}

/// Copies both directions until both have ended.
fn join(client: TcpStream, server: TcpStream) {
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let back = match (server.try_clone(), client.try_clone()) {
        (Ok(from), Ok(to)) => thread::spawn(move || copy(from, to)),
        _ => return,
    };
    copy(client, server);
    let _ = back.join();
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
