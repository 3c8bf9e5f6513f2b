//! What is counted of connections. Names and labels are stable.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PortLabel {
    port: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    port: &'static str,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    port: &'static str,
    reason: &'static str,
}

/// Why a connection was closed by this side, or never became one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The TLS handshake took too long.
    SlowHandshake,
    /// The TLS handshake failed.
    HandshakeFailed,
    /// It showed no right in time.
    NoRight,
    /// What it showed was refused.
    Refused,
    /// Its address has newer connections.
    AddressFull,
    /// There are newer connections.
    PortFull,
    /// Its owner has newer connections.
    OwnerFull,
    /// There are as many authenticated connections as there may be.
    NoRoom,
}

impl Reason {
    pub const ALL: [Reason; 8] = [
        Reason::SlowHandshake,
        Reason::HandshakeFailed,
        Reason::NoRight,
        Reason::Refused,
        Reason::AddressFull,
        Reason::PortFull,
        Reason::OwnerFull,
        Reason::NoRoom,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Reason::SlowHandshake => "slow-handshake",
            Reason::HandshakeFailed => "handshake-failed",
            Reason::NoRight => "no-right",
            Reason::Refused => "refused",
            Reason::AddressFull => "address-full",
            Reason::PortFull => "port-full",
            Reason::OwnerFull => "owner-full",
            Reason::NoRoom => "no-room",
        }
    }
}

/// The metrics of all ports of a process.
#[derive(Debug, Clone, Default)]
pub struct ConnectionMetrics {
    open: Family<StateLabel, Gauge>,
    closed: Family<ReasonLabel, Counter>,
    accept_errors: Family<PortLabel, Counter>,
    certificate_reloads: Counter,
    certificate_unusable: Gauge,
}

impl ConnectionMetrics {
    /// Adds them to a registry, under the registry's prefix.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "connections",
            "Connections that are open, by port and by whether they have shown a right to be there",
            self.open.clone(),
        );
        registry.register(
            "connections_closed",
            "Connections that this side closed or refused, by port and reason (docs/observe.md)",
            self.closed.clone(),
        );
        registry.register(
            "accept_errors",
            "Times that the system did not give a connection, such as for lack of file descriptors",
            self.accept_errors.clone(),
        );
        registry.register(
            "certificate_reloads",
            "Times that a changed certificate was taken into use",
            self.certificate_reloads.clone(),
        );
        registry.register(
            "certificate_unusable",
            "1 while the files of the certificate cannot be used, and the certificate before is in use",
            self.certificate_unusable.clone(),
        );
    }

    /// Begins with a port: what never happened is zero and not absent.
    pub fn begin(&self, port: &'static str) {
        for reason in Reason::ALL {
            let reason = reason.name();
            drop(self.closed.get_or_create(&ReasonLabel { port, reason }));
        }
        drop(self.accept_errors.get_or_create(&PortLabel { port }));
        self.open(port, (0, 0));
    }

    pub(super) fn open(
        &self,
        port: &'static str,
        (unauthenticated, authenticated): (usize, usize),
    ) {
        let states = [
            ("unauthenticated", unauthenticated),
            ("authenticated", authenticated),
        ];
        for (state, count) in states {
            let gauge = self.open.get_or_create(&StateLabel { port, state });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    pub(super) fn closed(&self, port: &'static str, reason: Reason) {
        let reason = reason.name();
        self.closed
            .get_or_create(&ReasonLabel { port, reason })
            .inc();
    }

    pub(super) fn accept_failed(&self, port: &'static str) {
        self.accept_errors.get_or_create(&PortLabel { port }).inc();
    }

    pub(super) fn certificate_reloaded(&self) {
        self.certificate_reloads.inc();
        self.certificate_unusable.set(0);
    }

    pub(super) fn certificate_unusable(&self, unusable: bool) {
        self.certificate_unusable.set(i64::from(unusable));
    }
}
