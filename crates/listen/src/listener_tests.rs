//! Connections without a right, of every kind, against small limits and a real socket.

use super::certificate::ServerTls;
use super::connections::ConnectionHandle;
use super::limits::{Port, PortLimits};
use super::listener::Listener;
use super::metrics::ConnectionMetrics;
use axum::Router;
use axum::extract::Extension;
use axum::routing::{get, post};
use prometheus_client::registry::Registry;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// The timeout of every wait.
const PATIENCE: Duration = Duration::from_secs(30);
/// The preface of HTTP/2 and an empty SETTINGS frame (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The beginning of a TLS record with a ClientHello (RFC 8446, 4.1.2).
const HALF_HELLO: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 7, 7, 7];
/// The beginning of a HEADERS frame of 255 bytes on stream 1 (RFC 9113, 6.2).
const HALF_HEADERS: &[u8] = b"\0\0\xff\x01\0\0\0\0\x01\x82";

fn limits() -> PortLimits {
    PortLimits {
        unauthenticated: 16,
        per_address: 8,
        authenticated: 4,
        per_owner: 2,
        handshake: Duration::from_millis(200),
        unauthenticated_for: Duration::from_millis(400),
    }
}

/// A listener that serves: `/right` makes its connection authenticated, `/slow` reads a body.
struct Served {
    address: SocketAddr,
    metrics: ConnectionMetrics,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Served {
    fn start(port: Port, tls: Option<ServerTls>) -> Served {
        let metrics = ConnectionMetrics::default();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut listener = Listener::with_limits(address, port, limits(), metrics.clone()).unwrap();
        if let Some(tls) = tls {
            listener = listener.with_tls(tls, b"h2").unwrap();
        }
        let right = |Extension(connection): Extension<ConnectionHandle>| async move {
            let stays = connection.stay(Some("owner"));
            stays.map_or("no room", |()| "welcome")
        };
        let slow = |body: String| async move { body };
        let router = Router::new()
            .route("/right", get(right))
            .route("/slow", post(slow));
        let (stop, stopped) = watch::channel(false);
        Served {
            address: listener.local_addr(),
            metrics,
            stop,
            task: tokio::spawn(listener.serve(router, stopped)),
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn send(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        stream
    }

    /// The value of a metric, with its labels.
    fn metric(&self, line: &str) -> u64 {
        let mut registry = Registry::default();
        self.metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let value = text.lines().find_map(|l| l.strip_prefix(line));
        let value = value.unwrap_or_else(|| panic!("no {line} in {text}"));
        value.trim().parse().unwrap()
    }

    async fn until(&self, line: &str, is: impl Fn(u64) -> bool) {
        let wait = async {
            while !is(self.metric(line)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        waited.unwrap_or_else(|_| panic!("{line}: {}", self.metric(line)));
    }
}

/// Reads until the other side closes.
async fn until_closed(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset is an end too.
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await;
    let _ = read.expect("the connection is closed in time");
    all
}

fn certificate() -> (tempfile::TempDir, ServerTls, TlsConnector) {
    let folder = tempfile::tempdir().unwrap();
    let (files, connector) = renew(&folder);
    (folder, files, connector)
}

/// Writes a new certificate, and returns what trusts it alone.
fn renew(folder: &tempfile::TempDir) -> (ServerTls, TlsConnector) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = ServerTls {
        certificate: folder.path().join("tls.crt"),
        key: folder.path().join("tls.key"),
    };
    std::fs::write(&files.certificate, cert.pem()).unwrap();
    std::fs::write(&files.key, signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (files, TlsConnector::from(Arc::new(config)))
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

#[tokio::test]
async fn whoever_says_nothing_or_half_of_something_is_closed_in_time_on_every_port() {
    let half_request: &[u8] = b"GET /right HTTP/1.1\r\nHost: x\r\n";
    let slow_body: &[u8] = b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf";
    for port in [Port::Agents, Port::Monitoring, Port::Page] {
        let served = Served::start(port, None);
        let half_headers = [PREFACE, HALF_HEADERS].concat();
        for said in [
            b"",
            &PREFACE[..10],
            PREFACE,
            &half_headers,
            half_request,
            slow_body,
            HALF_HELLO,
        ] {
            let mut stream = served.send(said).await;
            until_closed(&mut stream).await;
        }
        assert!(served.metric(&closed(port, "no-right")) > 0, "{port:?}");
    }
}

fn closed(port: Port, reason: &str) -> String {
    let port = port.name();
    format!("connections_closed_total{{port=\"{port}\",reason=\"{reason}\"}}")
}

fn open(port: Port, state: &str) -> String {
    let port = port.name();
    format!("connections{{port=\"{port}\",state=\"{state}\"}}")
}

#[tokio::test]
async fn a_handshake_that_is_slow_or_fails_or_leads_to_nothing_is_closed_in_time() {
    let (_folder, files, connector) = certificate();
    let served = Served::start(Port::Agents, Some(files));
    for said in [b"".as_slice(), HALF_HELLO] {
        let mut stream = served.send(said).await;
        until_closed(&mut stream).await;
    }
    assert_eq!(served.metric(&closed(Port::Agents, "slow-handshake")), 2);
    let mut stream = served.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    until_closed(&mut stream).await;
    assert_eq!(served.metric(&closed(Port::Agents, "handshake-failed")), 1);
    let half_headers = [PREFACE, HALF_HEADERS].concat();
    for said in [b"".as_slice(), &half_headers] {
        let stream = served.connect().await;
        let mut stream = connector.connect(name(), stream).await.unwrap();
        stream.write_all(said).await.unwrap();
        stream.flush().await.unwrap();
        until_closed(&mut stream).await;
    }
    assert_eq!(served.metric(&closed(Port::Agents, "no-right")), 2);
}

#[tokio::test]
async fn a_thousand_connections_leave_a_way_in_and_one_that_has_a_right_stays() {
    let served = Served::start(Port::Page, None);
    let ask = b"GET /right HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut right = served.send(ask).await;
    let mut answer = [0; 12];
    right.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");

    let mut idle = Vec::new();
    for _ in 0..1000 {
        idle.push(served.connect().await);
    }
    // One more is answered at once, though all places were taken.
    let mut newest = served.send(ask).await;
    newest.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert!(served.metric(&open(Port::Page, "unauthenticated")) <= 8);
    assert!(served.metric(&closed(Port::Page, "address-full")) >= 900);
    // The first one was idle for longer than the others, and is still served.
    served
        .until(&open(Port::Page, "unauthenticated"), |open| open == 0)
        .await;
    let mut rest = [0; 1024];
    let _ = right.read(&mut rest).await.unwrap();
    right.write_all(ask).await.unwrap();
    right.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn an_owner_has_a_few_connections_and_the_oldest_yields() {
    let served = Served::start(Port::Page, None);
    let ask = b"GET /right HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut answer = [0; 12];
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = served.send(ask).await;
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        streams.push(stream);
    }
    until_closed(&mut streams[0]).await;
    assert_eq!(served.metric(&closed(Port::Page, "owner-full")), 1);
    assert_eq!(served.metric(&open(Port::Page, "authenticated")), 2);
}

#[tokio::test]
async fn two_host_headers_are_refused_on_every_http1_port() {
    for port in [Port::Monitoring, Port::Page] {
        let served = Served::start(port, None);
        let request = b"GET /right HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n";
        let mut stream = served.send(request).await;
        let answer = until_closed(&mut stream).await;
        assert!(answer.starts_with(b"HTTP/1.1 400"), "{port:?}");
    }
}

#[tokio::test]
async fn a_stop_waits_for_no_connection_without_a_right() {
    let served = Served::start(Port::Agents, None);
    let _idle = served.send(PREFACE).await;
    served
        .until(&open(Port::Agents, "unauthenticated"), |open| open == 1)
        .await;
    served.stop.send(true).unwrap();
    let ended = tokio::time::timeout(PATIENCE, served.task).await;
    ended.expect("it ends").unwrap();
}

/// (rule: certificates-are-read-again)
#[tokio::test]
async fn a_changed_certificate_is_used_and_a_broken_one_is_not() {
    let (folder, files, first) = certificate();
    let served = Served::start(Port::Agents, Some(files.clone()));
    let accepts = async |connector: &TlsConnector| {
        let stream = served.connect().await;
        connector.connect(name(), stream).await.is_ok()
    };
    assert!(accepts(&first).await);
    let (_, second) = renew(&folder);
    served.until("certificate_reloads_total", |n| n == 1).await;
    assert!(accepts(&second).await && !accepts(&first).await);
    std::fs::write(&files.certificate, "broken").unwrap();
    served.until("certificate_unusable", |n| n == 1).await;
    assert!(accepts(&second).await);
    let (_, third) = renew(&folder);
    served.until("certificate_unusable", |n| n == 0).await;
    assert!(accepts(&third).await);
}

/// (rule: every-address-is-of-both-families)
#[tokio::test]
async fn an_unspecified_address_is_every_address_of_both_families() {
    for any in ["0.0.0.0:0", "[::]:0"] {
        let metrics = ConnectionMetrics::default();
        let any: SocketAddr = any.parse().unwrap();
        let listener = Listener::bind(any, Port::Monitoring, metrics).unwrap();
        let port = listener.local_addr().port();
        let reached = TcpStream::connect(("127.0.0.1", port)).await;
        assert!(reached.is_ok(), "{any} from IPv4: {reached:?}");
        // Where this machine has IPv6.
        if std::net::TcpListener::bind("[::1]:0").is_ok() {
            let reached = TcpStream::connect(("::1", port)).await;
            assert!(reached.is_ok(), "{any} from IPv6: {reached:?}");
        }
    }
    let one = Listener::bind(
        SocketAddr::from(([127, 0, 0, 1], 0)),
        Port::Monitoring,
        ConnectionMetrics::default(),
    );
    assert!(
        one.unwrap().local_addr().is_ipv4(),
        "an address is that address alone"
    );
}
