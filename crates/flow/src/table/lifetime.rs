//! How connections enter the table and leave it.

use super::connection::{CLOSED_PATIENCE, Connection};
use super::key::{Key, Side};
use super::{ConnectionTable, Listeners};
use nanoseg_net::{Protocol, SECOND, Timestamp};

/// When the table is full, this part of it leaves at once: finding the longest idle then costs
/// each new connection a constant.
const EVICTED_PART: usize = 16;

/// When the wheel first checks a connection, in nanoseconds after its first packet: by then a short
/// connection is closed and has waited for late packets.
const FIRST_LOOK: i64 = (CLOSED_PATIENCE + 1) * SECOND;

impl<L: Listeners> ConnectionTable<L> {
    /// The live connection under `key`. One that was silent for too long ends here, so that nothing
    /// depends on when the wheel reaches it.
    #[inline(always)]
    pub(super) fn lookup(&mut self, key: &Key, hash: u32, now: i64) -> Option<u32> {
        let slab = &self.slab;
        let slot = self
            .index
            .find(hash, |slot| slab[slot as usize].key == *key)?;
        let connection = &self.slab[slot as usize];
        let silence = now.saturating_sub(connection.last);
        if silence > CLOSED_PATIENCE * SECOND && silence > connection.patience()
            || now >= connection.epoch_end
        {
            self.end(slot);
            return None;
        }
        Some(slot)
    }

    pub(super) fn create(&mut self, key: Key, hash: u32, side: Side, now: i64, probes: u8) -> u32 {
        if self.slab.len() - self.free.len() >= self.config.max_connections.max(1) {
            self.evict();
        }
        let mut connection = Connection::new(key, hash, 0, side, now);
        connection.probes = probes;
        connection.sampled = self.config.sampled;
        // A TCP connection belongs to those that opened it; datagrams to the owner of the address at that time.
        if key.protocol() == Protocol::Udp {
            let ends = [0, 1].map(|side| {
                self.epochs
                    .end(key.endpoint(side).ip(), Timestamp::from_nanos(now))
                    .nanos()
            });
            connection.epoch_end = ends[0].min(ends[1]);
            connection.opener = self.udp_opener(&key, side) as u8;
        }
        let slot = match self.free.pop() {
            Some(slot) => {
                connection.generation = self.slab[slot as usize].generation;
                self.slab[slot as usize] = connection;
                slot
            }
            None => {
                self.slab.push(connection);
                (self.slab.len() - 1) as u32
            }
        };
        self.index.insert(hash, slot);
        // Most connections are closed and gone at the first check.
        let generation = self.slab[slot as usize].generation;
        self.wheel
            .schedule(now.saturating_add(FIRST_LOOK), (slot, generation));
        slot
    }

    /// The sender opens a UDP conversation, unless it is a known server and the other end is not: then it
    /// only sends first after a silence.
    fn udp_opener(&self, key: &Key, sender: Side) -> Side {
        let known = |side| self.udp_servers.contains(&key.endpoint(side));
        if !self.udp_servers.is_empty() && known(sender) && !known(1 - sender) {
            1 - sender
        } else {
            sender
        }
    }

    /// Schedules a closed connection, unless the wheel will check it soon anyway.
    #[inline(always)]
    pub(super) fn closed(&mut self, slot: u32) {
        if self.slab[slot as usize].settled {
            self.watch(slot);
        }
    }

    /// Schedules the next check of the connection for when its patience may have ended.
    fn watch(&mut self, slot: u32) {
        let connection = &mut self.slab[slot as usize];
        connection.settled = true;
        let at = connection.last.saturating_add(connection.patience() + 1);
        self.wheel.schedule(at, (slot, connection.generation));
        if self.wheel.tickets() > 4 * self.config.max_connections + (1 << 16) {
            let slab = &self.slab;
            self.wheel.retain(|(slot, generation)| {
                slab.get(slot as usize)
                    .is_some_and(|c| c.live && c.generation == generation)
            });
        }
    }

    /// Ends what has been silent for too long.
    #[cold]
    pub(super) fn expire(&mut self, now: i64) {
        let mut due = std::mem::take(&mut self.due);
        while self.wheel.advance(now, &mut due) {
            for (slot, generation) in due.drain(..) {
                let connection = &self.slab[slot as usize];
                if !connection.live || connection.generation != generation {
                    continue;
                }
                if now.saturating_sub(connection.last) > connection.patience() {
                    self.end(slot);
                } else {
                    self.watch(slot);
                }
            }
        }
        self.due = due;
    }

    /// Makes room: the connections that are idle for longest end.
    #[cold]
    fn evict(&mut self) {
        let mut idle: Vec<(i64, u32)> = (0u32..)
            .zip(&self.slab)
            .filter(|(_, connection)| connection.live)
            .map(|(slot, connection)| (connection.last, slot))
            .collect();
        let count = (idle.len() / EVICTED_PART).max(1).min(idle.len());
        if count < idle.len() {
            idle.select_nth_unstable(count);
        }
        let mut leaving = idle[..count].to_vec();
        leaving.sort_unstable();
        for (_, slot) in leaving {
            self.end(slot);
            self.counters.evicted += 1;
        }
    }

    /// Removes a connection from the table and reports it.
    pub(super) fn end(&mut self, slot: u32) {
        let connection = &mut self.slab[slot as usize];
        if !connection.live {
            return;
        }
        connection.live = false;
        connection.generation = connection.generation.wrapping_add(1);
        self.index.remove(connection.hash, slot);
        self.free.push(slot);
        if connection.parent.is_none() {
            self.emit(slot);
        }
        self.slab[slot as usize].extra = None;
    }

    /// Ends all connections.
    pub fn end_all(&mut self) {
        // In the order in which they began, so that a sink keeps a capture's order.
        let mut live: Vec<(i64, u32)> = (0u32..)
            .zip(&self.slab)
            .filter(|(_, connection)| connection.live)
            .map(|(slot, connection)| (connection.first, slot))
            .collect();
        live.sort_unstable();
        for (_, slot) in live {
            self.end(slot);
        }
    }
}
