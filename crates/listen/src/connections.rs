//! The open connections of a port: their places, how long each may stay, and what ends them.

use super::address::ClientAddress;
use super::admission::{Admission, ConnectionId, Stage, Unadmitted, Yields};
use super::limits::{Port, PortLimits};
use super::metrics::{ConnectionMetrics, Reason};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a connection stays for the answer that refuses it, and for the end of its request when the process stops.
const LAST_ANSWER: Duration = Duration::from_secs(1);
/// The pause between two log lines about connections without a right.
const LOG_PAUSE: Duration = Duration::from_secs(60);

/// All connections of a port.
pub struct Connections {
    port: Port,
    limits: PortLimits,
    metrics: ConnectionMetrics,
    table: Mutex<Table>,
}

struct Table {
    admission: Admission,
    standings: HashMap<ConnectionId, watch::Sender<Standing>>,
    /// When it was last logged that connections were closed, and how many were since.
    logged: (Option<Instant>, u64),
}

/// What a connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is closed at that time.
    Until(Instant, Reason),
    Authenticated,
    Closed(Reason),
}

impl Connections {
    pub fn new(port: Port, limits: PortLimits, metrics: ConnectionMetrics) -> Arc<Self> {
        metrics.begin(port.name());
        Arc::new(Connections {
            port,
            limits,
            metrics,
            table: Mutex::new(Table {
                admission: Admission::new(limits),
                standings: HashMap::new(),
                logged: (None, 0),
            }),
        })
    }

    /// Adds a connection. The oldest one without a right may have to yield.
    pub fn enter(self: &Arc<Self>, client: IpAddr) -> Ticket {
        let (id, standing) = {
            let mut table = self.lock();
            let (id, yields) = table.admission.enter(ClientAddress::from(client));
            let (sender, standing) = watch::channel(self.unauthenticated());
            table.standings.insert(id, sender);
            self.evict(&mut table, yields);
            (id, standing)
        };
        Ticket {
            handle: ConnectionHandle(Arc::new(Handle {
                id,
                connections: self.clone(),
            })),
            standing,
        }
    }

    pub fn limits(&self) -> &PortLimits {
        &self.limits
    }

    pub fn metrics(&self) -> &ConnectionMetrics {
        &self.metrics
    }

    pub fn port(&self) -> Port {
        self.port
    }

    /// Counts a connection that ended for a reason of ours.
    pub fn closed(&self, reason: Reason) {
        self.metrics.closed(self.port.name(), reason);
        let count = {
            let mut table = self.lock();
            table.logged.1 += 1;
            let is_due = table.logged.0.is_none_or(|at| at.elapsed() >= LOG_PAUSE);
            if !is_due {
                return;
            }
            table.logged.0 = Some(Instant::now());
            std::mem::take(&mut table.logged.1)
        };
        tracing::warn!(
            port = self.port.name(),
            reason = reason.name(),
            count,
            "closed connections that showed no right in time, or too many"
        );
    }

    fn unauthenticated(&self) -> Standing {
        Standing::Until(
            Instant::now() + self.limits.unauthenticated_for,
            Reason::NoRight,
        )
    }

    fn evict(&self, table: &mut Table, yields: Option<Yields>) {
        let (id, reason) = match yields {
            Some(Yields::Address(id)) => (id, Reason::AddressFull),
            Some(Yields::Port(id)) => (id, Reason::PortFull),
            Some(Yields::Owner(id)) => (id, Reason::OwnerFull),
            None => return self.show(table),
        };
        if let Some(standing) = table.standings.remove(&id) {
            standing.send_replace(Standing::Closed(reason));
        }
        self.show(table);
    }

    fn show(&self, table: &Table) {
        self.metrics
            .open(self.port.name(), table.admission.counts());
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a connection; dropping it gives the place back.
pub struct Ticket {
    handle: ConnectionHandle,
    standing: watch::Receiver<Standing>,
}

impl Ticket {
    /// What requests of the connection are given.
    pub fn handle(&self) -> ConnectionHandle {
        self.handle.clone()
    }

    /// Waits until the connection has to be closed, and returns why. When `stop` turns true, a connection without a
    /// right has a second left.
    pub async fn over(&mut self, mut stop: watch::Receiver<bool>) -> Reason {
        let mut last_answer: Option<Instant> = None;
        loop {
            let standing = *self.standing.borrow_and_update();
            let end = match standing {
                Standing::Closed(reason) => return reason,
                Standing::Authenticated => None,
                Standing::Until(end, reason) => {
                    Some((last_answer.map_or(end, |last| last.min(end)), reason))
                }
            };
            let ended = async {
                match end {
                    Some((end, reason)) => {
                        tokio::time::sleep_until(end).await;
                        reason
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = self.standing.changed() => {
                    if changed.is_err() && !matches!(*self.standing.borrow(), Standing::Closed(_)) {
                        return Reason::NoRight;
                    }
                }
                reason = ended => return reason,
                () = stopped(&mut stop), if last_answer.is_none() => {
                    last_answer = Some(Instant::now() + LAST_ANSWER);
                }
            }
        }
    }
}

/// Waits until `stop` turns true; a dropped sender is a stop too.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let handle = &self.handle.0;
        let mut table = handle.connections.lock();
        table.admission.leave(handle.id);
        table.standings.remove(&handle.id);
        handle.connections.show(&table);
    }
}

/// A connection, as its requests know it: every request has it as an extension.
#[derive(Clone)]
pub struct ConnectionHandle(Arc<Handle>);

struct Handle {
    id: ConnectionId,
    connections: Arc<Connections>,
}

/// A connection has shown a right, but there is no room for it, or it was closed meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("there are as many connections as there may be; try again later")]
pub struct NoRoom;

impl ConnectionHandle {
    /// Says how far the connection has come.
    pub(super) fn reached(&self, stage: Stage) {
        let Handle { id, connections } = &*self.0;
        connections.lock().admission.reached(*id, stage);
    }

    /// Says that the connection has shown a right, whose `owner` may have a few connections; `None`: nobody knows whose
    /// it is. It has no time limit and yields to none without a right, until the returned value is dropped.
    ///
    /// # Errors
    /// If there is no room for it.
    pub fn authenticate(&self, owner: Option<&str>) -> Result<Authenticated, NoRoom> {
        self.stay(owner)?;
        Ok(Authenticated(self.clone()))
    }

    /// The same, for as long as the connection is open.
    ///
    /// # Errors
    /// If there is no room for it.
    pub fn stay(&self, owner: Option<&str>) -> Result<(), NoRoom> {
        let Handle { id, connections } = &*self.0;
        let owner = owner.map_or_else(|| format!("connection {id}").into(), Arc::from);
        let mut table = connections.lock();
        match table.admission.authenticate(*id, &owner) {
            Ok(yields) => {
                if let Some(standing) = table.standings.get(id) {
                    standing.send_replace(Standing::Authenticated);
                }
                connections.evict(&mut table, yields);
                Ok(())
            }
            Err(why) => {
                if why == Unadmitted::Full {
                    connections
                        .metrics
                        .closed(connections.port.name(), Reason::NoRoom);
                }
                Err(NoRoom)
            }
        }
    }

    /// Says that the connection showed something that is no right. It is closed when it had a moment to read the answer.
    pub fn refused(&self) {
        let Handle { id, connections } = &*self.0;
        let table = connections.lock();
        if let Some(standing) = table.standings.get(id) {
            let soon = Instant::now() + LAST_ANSWER;
            standing.send_if_modified(|standing| match standing {
                Standing::Until(end, _) if soon < *end => {
                    *standing = Standing::Until(soon, Reason::Refused);
                    true
                }
                _ => false,
            });
        }
    }
}

impl fmt::Debug for ConnectionHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ConnectionHandle({})", self.0.id)
    }
}

/// A right in use; see [`ConnectionHandle::authenticate`].
#[derive(Debug)]
pub struct Authenticated(ConnectionHandle);

impl Drop for Authenticated {
    fn drop(&mut self) {
        let Handle { id, connections } = &*self.0.0;
        let mut table = connections.lock();
        let (is_unauthenticated, yields) = table.admission.end_right(*id);
        if is_unauthenticated && let Some(standing) = table.standings.get(id) {
            standing.send_replace(connections.unauthenticated());
        }
        connections.evict(&mut table, yields);
    }
}
