//! Which connection has to yield when there is no room. Pure: sockets and time are elsewhere.
//!
//! The oldest connection without a right yields, not the newest: whoever has a right shows it in a moment, and whoever
//! has none is older sooner or later. First the client with the most connections yields.

use super::address::ClientAddress;
use super::limits::PortLimits;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

/// A connection, by its age: a smaller number is older.
pub type ConnectionId = u64;

/// Why a connection cannot be taken as authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unadmitted {
    /// It was closed meanwhile.
    Closed,
    /// There are as many as there may be.
    Full,
}

/// A connection that has to be closed for the sake of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Yields {
    /// Its address has more connections than one may have.
    Address(ConnectionId),
    /// The port has more connections than it may have.
    Port(ConnectionId),
    /// Its owner has a newer one for each that it may have.
    Owner(ConnectionId),
}

/// The open connections of a port.
#[derive(Debug)]
pub struct Admission {
    limits: PortLimits,
    next: ConnectionId,
    connections: BTreeMap<ConnectionId, Connection>,
    unauthenticated: Groups<ClientAddress>,
    authenticated: Groups<Arc<str>>,
}

#[derive(Debug)]
struct Connection {
    address: ClientAddress,
    /// The owner, and how many rights of its connection are in use.
    owner: Option<(Arc<str>, usize)>,
}

impl Admission {
    pub fn new(limits: PortLimits) -> Self {
        Admission {
            limits,
            next: 0,
            connections: BTreeMap::new(),
            unauthenticated: Groups::default(),
            authenticated: Groups::default(),
        }
    }

    /// How many connections are unauthenticated and authenticated.
    pub fn counts(&self) -> (usize, usize) {
        (self.unauthenticated.count, self.authenticated.count)
    }

    /// Adds a connection, which is unauthenticated.
    pub fn enter(&mut self, address: ClientAddress) -> (ConnectionId, Option<Yields>) {
        let id = self.next;
        self.next += 1;
        let connection = Connection {
            address,
            owner: None,
        };
        self.connections.insert(id, connection);
        self.unauthenticated.insert(address, id);
        (id, self.make_room(address))
    }

    /// Makes a connection authenticated, or adds one to its rights in use.
    ///
    /// # Errors
    /// If it cannot become one; it stays what it was.
    pub fn authenticate(
        &mut self,
        id: ConnectionId,
        owner: &Arc<str>,
    ) -> Result<Option<Yields>, Unadmitted> {
        let connection = self.connections.get_mut(&id).ok_or(Unadmitted::Closed)?;
        if let Some((_, rights)) = &mut connection.owner {
            *rights += 1;
            return Ok(None);
        }
        let oldest = self.authenticated.of(owner);
        let yields = if oldest.len() >= self.limits.per_owner {
            oldest.first().copied()
        } else if self.authenticated.count >= self.limits.authenticated {
            return Err(Unadmitted::Full);
        } else {
            None
        };
        connection.owner = Some((owner.clone(), 1));
        self.unauthenticated.remove(&connection.address, id);
        self.authenticated.insert(owner.clone(), id);
        if let Some(oldest) = yields {
            self.leave(oldest);
        }
        Ok(yields.map(Yields::Owner))
    }

    /// Ends one right in use. Returns whether the connection is unauthenticated now, and who has to yield for it.
    pub fn end_right(&mut self, id: ConnectionId) -> (bool, Option<Yields>) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return (false, None);
        };
        match &mut connection.owner {
            Some((_, rights)) if *rights > 1 => {
                *rights -= 1;
                (false, None)
            }
            Some((owner, _)) => {
                self.authenticated.remove(owner, id);
                connection.owner = None;
                let address = connection.address;
                self.unauthenticated.insert(address, id);
                (true, self.make_room(address))
            }
            None => (false, None),
        }
    }

    /// Removes a connection.
    pub fn leave(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.remove(&id) else {
            return;
        };
        match connection.owner {
            Some((owner, _)) => self.authenticated.remove(&owner, id),
            None => self.unauthenticated.remove(&connection.address, id),
        }
    }

    /// Removes the connection that has to yield, if there is one too many. `address`: where one was added.
    fn make_room(&mut self, address: ClientAddress) -> Option<Yields> {
        let of_address = self.unauthenticated.of(&address);
        let yields = if of_address.len() > self.limits.per_address {
            Yields::Address(*of_address.first()?)
        } else if self.unauthenticated.count > self.limits.unauthenticated {
            Yields::Port(self.unauthenticated.oldest_of_largest()?)
        } else {
            return None;
        };
        let (Yields::Address(id) | Yields::Port(id) | Yields::Owner(id)) = yields;
        self.leave(id);
        Some(yields)
    }
}

/// Connections by whom they are counted for.
#[derive(Debug)]
struct Groups<K> {
    members: HashMap<K, BTreeSet<ConnectionId>>,
    count: usize,
}

impl<K> Default for Groups<K> {
    fn default() -> Self {
        Groups {
            members: HashMap::new(),
            count: 0,
        }
    }
}

impl<K: Eq + Hash> Groups<K> {
    fn of(&self, key: &K) -> &BTreeSet<ConnectionId> {
        static NONE: BTreeSet<ConnectionId> = BTreeSet::new();
        self.members.get(key).unwrap_or(&NONE)
    }

    fn insert(&mut self, key: K, id: ConnectionId) {
        let is_new = self.members.entry(key).or_default().insert(id);
        self.count += usize::from(is_new);
    }

    fn remove(&mut self, key: &K, id: ConnectionId) {
        let Some(members) = self.members.get_mut(key) else {
            return;
        };
        self.count -= usize::from(members.remove(&id));
        if members.is_empty() {
            self.members.remove(key);
        }
    }

    /// The oldest connection of the largest group; of groups of the same size, the oldest of all.
    fn oldest_of_largest(&self) -> Option<ConnectionId> {
        let groups = self.members.values();
        let oldest = groups.filter_map(|ids| Some((std::cmp::Reverse(ids.len()), *ids.first()?)));
        oldest.min().map(|(_, id)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;
    use std::time::Duration;

    fn admission() -> Admission {
        Admission::new(PortLimits {
            unauthenticated: 4,
            per_address: 3,
            authenticated: 3,
            per_owner: 2,
            handshake: Duration::ZERO,
            unauthenticated_for: Duration::ZERO,
        })
    }

    fn host(last: u8) -> ClientAddress {
        IpAddr::from([192, 0, 2, last]).into()
    }

    fn owner(name: &str) -> Arc<str> {
        name.into()
    }

    #[test]
    fn the_oldest_of_an_address_yields_to_its_newest() {
        let mut admission = admission();
        for id in 0..3 {
            assert_eq!(admission.enter(host(1)), (id, None));
        }
        assert_eq!(admission.enter(host(1)), (3, Some(Yields::Address(0))));
        assert_eq!(admission.enter(host(1)), (4, Some(Yields::Address(1))));
        assert_eq!(admission.counts(), (3, 0));
    }

    #[test]
    fn when_the_port_is_full_whoever_has_most_yields_first() {
        let mut admission = admission();
        admission.enter(host(1));
        for _ in 0..3 {
            admission.enter(host(2));
        }
        assert_eq!(admission.enter(host(3)), (4, Some(Yields::Port(1))));
        assert_eq!(admission.enter(host(4)), (5, Some(Yields::Port(2))));
        // All have one: the oldest of all.
        assert_eq!(admission.enter(host(5)), (6, Some(Yields::Port(0))));
        assert_eq!(admission.counts(), (4, 0));
    }

    #[test]
    fn an_authenticated_connection_never_yields_to_one_that_is_not() {
        let mut admission = admission();
        let (id, _) = admission.enter(host(1));
        assert_eq!(admission.authenticate(id, &owner("node-1")), Ok(None));
        for other in 0..100 {
            let (_, yields) = admission.enter(host(other));
            assert_ne!(yields, Some(Yields::Port(id)));
            assert_ne!(yields, Some(Yields::Address(id)));
        }
        assert_eq!(admission.counts(), (4, 1));
    }

    #[test]
    fn one_owner_cannot_take_the_places_of_others() {
        let mut admission = admission();
        for id in 0..6 {
            admission.enter(host(1));
            let yields = admission.authenticate(id, &owner("node-1"));
            let oldest = id.checked_sub(2).map(Yields::Owner);
            assert_eq!(yields, Ok(oldest));
        }
        let (id, _) = admission.enter(host(2));
        assert_eq!(admission.authenticate(id, &owner("node-2")), Ok(None));
        let (id, _) = admission.enter(host(3));
        let full = admission.authenticate(id, &owner("node-3"));
        assert_eq!(full, Err(Unadmitted::Full));
        assert_eq!(admission.counts(), (1, 3));
    }

    #[test]
    fn a_connection_whose_last_right_has_ended_is_like_one_without_any() {
        let mut admission = admission();
        let (id, _) = admission.enter(host(1));
        let node = owner("node-1");
        assert_eq!(admission.authenticate(id, &node), Ok(None));
        assert_eq!(admission.authenticate(id, &node), Ok(None));
        assert_eq!(admission.end_right(id), (false, None));
        assert_eq!(admission.counts(), (0, 1));
        assert_eq!(admission.end_right(id), (true, None));
        assert_eq!(admission.counts(), (1, 0));
        admission.leave(id);
        assert_eq!(admission.authenticate(id, &node), Err(Unadmitted::Closed));
        assert_eq!(admission.end_right(id), (false, None));
        assert_eq!(admission.counts(), (0, 0));
    }
}
