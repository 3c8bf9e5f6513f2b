//! Ten thousand connections without a right against each port of real processes that may have few files open
//! (rule: connections-are-bounded), and certificates that change (rule: certificates-are-read-again).

pub mod attack;
mod receiver;

use crate::support::free_port;
use attack::{Attack, agents_port, http_port};
use receiver::Receiver;
use std::fs;
use std::time::Instant;

/// Few, so that no port can have ten thousand connections.
const FILES: u32 = 1024;

#[test]
fn ten_thousand_connections_without_a_right_leave_a_receiver_working() {
    for with_tls in [true, false] {
        let receiver = Receiver::start(FILES, with_tls);
        receiver.deliver("n1").expect("a batch before the attack");
        let attack = Attack::start(receiver.address, &agents_port(with_tls));
        // While it goes on, and when all connections stand.
        receiver.until_delivered("n2");
        let attack = attack.complete();
        receiver.until_delivered("n3");
        receiver.until_ready();
        assert!(receiver.open_files() < FILES as usize / 2, "{with_tls}");
        drop(attack);

        let attack = Attack::start(receiver.metrics, &http_port("/metrics"));
        receiver.until_ready();
        let attack = attack.complete();
        receiver.until_ready();
        receiver.until_delivered("n4");
        assert!(receiver.open_files() < FILES as usize / 2, "{with_tls}");
        drop(attack);

        let metrics = receiver.get("/metrics");
        for port in ["agents", "monitoring"] {
            let closed = format!(
                "nanoseg_port_connections_closed_total{{port=\"{port}\",reason=\"address-full\"}} "
            );
            let count = metrics.lines().find_map(|line| line.strip_prefix(&closed));
            let count: u64 = count.expect("a metric").parse().expect("a number");
            assert!(count > 5000, "{port}: {count}");
        }
    }
}

/// Fewer than it needs: the system refuses connections, and the port is not given up.
#[test]
fn a_receiver_that_has_no_file_left_accepts_again_when_it_has() {
    let receiver = Receiver::start(28, false);
    let attack = Attack::start(receiver.address, &agents_port(false)).complete();
    drop(attack);
    receiver.until_delivered("n1");
    receiver.until_ready();
}

#[test]
fn a_connection_that_says_half_of_something_is_closed_though_nobody_else_comes() {
    let receiver = Receiver::start(FILES, false);
    for (address, said) in [
        (receiver.address, agents_port(false)),
        (receiver.metrics, http_port("/metrics")),
    ] {
        for said in said {
            let start = Instant::now();
            attack::until_closed(address, &said);
            assert!(start.elapsed().as_secs() < 25, "{said:?}");
        }
    }
}

/// As the kubelet does it: the files are links into a folder that is a link, which is replaced.
#[test]
fn a_receiver_takes_a_changed_certificate_into_use_and_keeps_it_when_the_next_is_broken() {
    let receiver = Receiver::start(FILES, true);
    receiver.until_delivered("n1");
    receiver.renew_certificate();
    // Trusts the new authority only.
    receiver.until_delivered("n2");
    receiver.until_metric("nanoseg_port_certificate_reloads_total 1");
    receiver.break_certificate();
    receiver.until_metric("nanoseg_port_certificate_unusable 1");
    receiver.until_delivered("n3");
    receiver.renew_certificate();
    receiver.until_metric("nanoseg_port_certificate_unusable 0");
    receiver.until_delivered("n4");
}

/// An agent whose authorities change connects to a receiver with a new certificate, and does not give up the
/// authorities that it has for a file that holds none.
#[test]
fn an_agent_reads_its_authorities_again_and_keeps_them_when_the_file_is_broken() {
    let mut receiver = Receiver::on(free_port(), FILES, true);
    let mut delivery = receiver.delivery("n1");
    receiver.until_delivered_by(&mut delivery, "n1", 1);
    // The same agent, and a receiver with a certificate of another authority.
    receiver.renew_certificate();
    receiver.restart();
    receiver.until_delivered_by(&mut delivery, "n1", 2);
    fs::write(receiver.path("ca.pem"), "no PEM").expect("a file");
    receiver.restart();
    receiver.until_delivered_by(&mut delivery, "n1", 3);
}
