//! Connections of somebody who has no right, and who has time.

use super::super::support::kubernetes::PATIENCE;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

/// How many connections an attack opens.
const MANY: usize = 10_000;

/// The preface of HTTP/2 and an empty SETTINGS frame (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// What is said on the agents' port, and not finished.
pub fn agents_port(with_tls: bool) -> Vec<Vec<u8>> {
    if with_tls {
        // Nothing, and the beginning of a record with a ClientHello (RFC 8446, 4.1.2).
        let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 7, 7, 7];
        return vec![Vec::new(), hello[..3].to_vec(), hello.to_vec()];
    }
    let half_header = [PREFACE, b"\0\0\xff\x01\0\0\0\0\x01\x83\x86"].concat();
    vec![
        Vec::new(),
        PREFACE[..10].to_vec(),
        PREFACE.to_vec(),
        half_header,
        slow_body(),
    ]
}

/// A whole header without a token, and the first byte of a message.
fn slow_body() -> Vec<u8> {
    let path = b"/nanoseg.flows.v1.FlowReceiver/Send";
    let length = u8::try_from(path.len()).expect("a short path");
    // :method POST, :scheme http, and the path and authority as literals (RFC 7541, appendix A).
    let header = [&[0x83, 0x86, 0x44, length], &path[..], &[0x41, 1, b'x']].concat();
    let size = u8::try_from(header.len()).expect("a short header");
    let headers = [&[0, 0, size, 1, 4, 0, 0, 0, 1], &header[..]].concat();
    let data = [0, 0, 1, 0, 0, 0, 0, 0, 1, 0];
    [PREFACE, &headers, &data].concat()
}

/// What is said on a port of HTTP/1, and not finished.
pub fn http_port(path: &str) -> Vec<Vec<u8>> {
    let texts = [
        String::new(),
        "G".to_owned(),
        format!("GET {path} HTTP/1.1\r\nHost: x\r\n"),
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf"),
    ];
    texts.map(String::into_bytes).to_vec()
}

/// Open connections.
pub struct Attack {
    thread: JoinHandle<Vec<TcpStream>>,
    begun: mpsc::Receiver<()>,
}

impl Attack {
    /// Opens connections in a thread of its own, and waits for the first thousand.
    pub fn start(address: SocketAddr, said: &[Vec<u8>]) -> Attack {
        nanoseg::listen::raise_descriptor_limit();
        let (begin, begun) = mpsc::channel();
        let said = said.to_vec();
        let thread = thread::spawn(move || {
            let open = |number: usize| {
                let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
                // It may be closed already.
                let _ = stream.write_all(&said[number % said.len()]);
                if number == MANY / 10 {
                    let _ = begin.send(());
                }
                Some(stream)
            };
            (0..MANY).filter_map(open).collect()
        });
        let attack = Attack { thread, begun };
        let _ = attack.begun.recv_timeout(PATIENCE);
        attack
    }

    /// Waits until all are open, and returns them.
    pub fn complete(self) -> Vec<TcpStream> {
        let streams = self.thread.join().expect("an attack");
        assert!(streams.len() > MANY * 9 / 10, "{}", streams.len());
        streams
    }
}

/// Says something, waits until the other side closes the connection, and returns what it answered.
pub fn until_closed(address: SocketAddr, said: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(said).expect("sent");
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("it is not closed: {error}"),
    }
    String::from_utf8_lossy(&answer).into_owned()
}
