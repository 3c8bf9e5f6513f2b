//! Reports of ongoing connections, so that an edge is known before its connection ends. Names and other
//! traffic are taken window by window.

#[cfg(test)]
mod tests;

use super::connection::{Connection, Reported};
use super::key::Side;
use super::{ConnectionTable, FlowCounters, Listeners};
use crate::{ActivityWindows, ConnectionReport, NameEntry, OtherTraffic, Verdict};
use nanoseg_net::{Protocol, SECOND, Timestamp};
use std::net::IpAddr;

/// How old an answered connection is when it is first reported: the legs of a translated one need a
/// moment to find each other.
const SETTLED: i64 = SECOND / 2;
/// How long an answer is waited for: the first two repetitions of a SYN come after 1 s and 3 s (RFC
/// 6298 section 2.1, Linux TCP_TIMEOUT_INIT).
const UNANSWERED: i64 = 3 * SECOND;
/// How often a connection that was reported before is reported again, with its bytes and that it is alive.
const REPORT_AGAIN: i64 = 10 * SECOND;

impl<L: Listeners> ConnectionTable<L> {
    /// Moves the table's time to `now`, whether packets come or not: connections that were silent for too
    /// long end, and every ongoing connection with something new is reported among the ended ones. The
    /// first report counts the connection; later ones hold only what is new.
    pub fn report_ongoing(&mut self, now: Timestamp) {
        let now = now.nanos();
        if self.wheel.is_due(now) {
            self.expire(now);
        }
        for slot in 0..self.slab.len() as u32 {
            if self.slab[slot as usize].has_new_report(now) {
                self.report_slot(slot, now);
            }
        }
    }

    fn report_slot(&mut self, slot: u32, now: i64) {
        let Some((mut report, client)) = self.describe(slot) else {
            return;
        };
        self.learn_udp_server(&report);
        let connection = &mut self.slab[slot as usize];
        let last = connection.last;
        let extra = connection.extra.get_or_insert_default();
        if extra.reported.is_none() {
            self.counters.connections += 1;
        }
        let reported = extra.reported.get_or_insert_default();
        let is_new = subtract(reported, &mut report, client);
        (reported.at, reported.last) = (now, last);
        if is_new {
            self.ended.push(report);
        }
    }

    /// How many connections are in the table, legs included.
    pub fn len(&self) -> usize {
        self.slab.len() - self.free.len()
    }

    /// Returns true if no connection is in the table.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was counted so far.
    pub fn counters(&self) -> &FlowCounters {
        &self.counters
    }

    /// The DNS names learned since the last call, in order, without those that were returned before and
    /// still hold; and the number of names that found no room.
    pub fn take_names(&mut self) -> (Vec<(IpAddr, NameEntry)>, u64) {
        let overflow = self.names.take_overflow();
        let mut names = self.names.drain();
        names.retain(|(address, entry)| self.sent_names.is_new(*address, entry));
        (names, overflow)
    }

    /// The traffic since the last call that no policy can express, in order, and the number of its packets
    /// that found no room.
    pub fn take_other(&mut self) -> (Vec<OtherTraffic>, u64) {
        std::mem::take(&mut self.other).finish()
    }
}

impl Connection {
    /// Returns true if there may be something to report. Closed ones end within moments and are reported then.
    fn has_new_report(&self, now: i64) -> bool {
        let age = now.saturating_sub(self.first);
        if !self.live || self.closed || self.parent.is_some() || age < SETTLED {
            return false;
        }
        let reported = self.extra.as_ref().and_then(|e| e.reported.as_deref());
        if reported.is_some_and(|before| before.last == self.last) {
            return false;
        }
        match (self.outcome().verdict, reported) {
            (None, _) => false,
            (Some(verdict), Some(before)) if before.verdicts & bit(verdict) != 0 => {
                now.saturating_sub(before.at) >= REPORT_AGAIN
            }
            (Some(Verdict::Unanswered | Verdict::OneWay), _) => age >= UNANSWERED,
            (Some(_), _) => true,
        }
    }
}

/// Leaves in `report` what was not reported before, and records it as reported. Returns false if nothing
/// is left.
pub(super) fn subtract(
    reported: &mut Reported,
    report: &mut ConnectionReport,
    client: Side,
) -> bool {
    let mut bytes = [report.bytes_to_server, report.bytes_to_client];
    let mut datagrams = [report.datagrams as u32, 0];
    if client == 1 {
        bytes.reverse();
        datagrams.reverse();
    }
    let (before, counted) = (
        reported.clone(),
        reported.verdicts & bit(report.verdict) != 0,
    );
    reported.verdicts |= bit(report.verdict);
    reported.bytes = bytes;
    if report.protocol != Protocol::Tcp {
        reported.datagrams[client] = datagrams[client];
    }
    report.counted = counted;
    report.bytes_to_server = bytes[client].saturating_sub(before.bytes[client]);
    report.bytes_to_client = bytes[1 - client].saturating_sub(before.bytes[1 - client]);
    report.datagrams = u64::from(datagrams[client].saturating_sub(before.datagrams[client]));
    let last = Timestamp::from_nanos(before.last);
    if counted {
        // It was there all the time since, also where nothing but keepalives was sent.
        report.windows = ActivityWindows::span(last, report.last);
    }
    let was_alive = report.last.since(last) >= REPORT_AGAIN;
    !counted || was_alive || report.bytes_to_server + report.bytes_to_client + report.datagrams > 0
}

fn bit(verdict: Verdict) -> u8 {
    1 << verdict as u8
}
