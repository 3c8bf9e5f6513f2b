//! Clients of the page that are slow, many, or name two hosts. (rule: connections-are-bounded)

use super::Ui;
use crate::connections::attack::{Attack, http_port, until_closed};

#[test]
fn a_request_with_two_host_headers_is_refused() {
    let ui = Ui::sample();
    let (host, path) = ui.parts();
    let own = format!("Host: {host}");
    let evil = "Host: evil.example";
    assert_eq!(ui.raw("GET", &path, &[&own, evil], "").0, 400);
    assert_eq!(ui.raw("GET", &path, &[evil, &own], "").0, 400);
    let proxied = format!("http://evil.example{path}");
    assert_eq!(ui.raw("GET", &proxied, &[&own], "").0, 421);
}

#[test]
fn slow_clients_are_closed_with_and_without_the_token() {
    let ui = Ui::sample();
    let (host, path) = ui.parts();
    let address = host.parse().expect("an address");
    for said in http_port(&path) {
        until_closed(address, &said);
    }
    let slow = format!(
        "POST {path}what-if HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n\
         Content-Length: 1000\r\n\r\nhalf"
    );
    let answer = until_closed(address, slow.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    // The browser's connection is not kept for ever either.
    let idle = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let answer = until_closed(address, idle.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn ten_thousand_connections_leave_the_page_readable() {
    let ui = Ui::sample();
    let (host, path) = ui.parts();
    let address = host.parse().expect("an address");
    let attack = Attack::start(address, &http_port(&path)).complete();
    let own = format!("Host: {host}");
    assert_eq!(ui.raw("GET", &path, &[&own], "").0, 200);
    drop(attack);
}
