//! Which connection has to yield when there is no room. Pure: sockets and time are elsewhere.
//!
//! The oldest connection without a right yields, not the newest: whoever has a right shows it in a moment, and whoever
//! has none is older sooner or later. First the client with the most connections yields, and of its connections those
//! that have come least far: ten thousand that say nothing do not push out one whose token is being checked.

use super::address::ClientAddress;
use super::limits::PortLimits;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

/// A connection, by its age: a smaller number is older.
pub type ConnectionId = u64;

/// How far a connection without a right has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Accepted,
    /// The TLS handshake is done.
    Handshaken,
    /// A request has come with its whole header.
    Asked,
}

/// The first one yields first.
type Rank = (Stage, ConnectionId);

/// The rank of a connection with an owner: by age.
fn owned(id: ConnectionId) -> Rank {
    (Stage::Asked, id)
}

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
    stage: Stage,
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
            stage: Stage::Accepted,
            owner: None,
        };
        self.connections.insert(id, connection);
        self.unauthenticated.insert(address, (Stage::Accepted, id));
        (id, self.make_room(address))
    }

    /// Says how far a connection has come.
    pub fn reached(&mut self, id: ConnectionId, stage: Stage) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let before = std::mem::replace(&mut connection.stage, stage);
        if connection.owner.is_none() && before != stage {
            let address = connection.address;
            self.unauthenticated.remove(&address, (before, id));
            self.unauthenticated.insert(address, (stage, id));
        }
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
            oldest.first().map(|(_, oldest)| *oldest)
        } else if self.authenticated.count >= self.limits.authenticated {
            return Err(Unadmitted::Full);
        } else {
            None
        };
        connection.owner = Some((owner.clone(), 1));
        let rank = (connection.stage, id);
        self.unauthenticated.remove(&connection.address, rank);
        self.authenticated.insert(owner.clone(), owned(id));
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
                self.authenticated.remove(owner, owned(id));
                connection.owner = None;
                let address = connection.address;
                self.unauthenticated.insert(address, (connection.stage, id));
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
            Some((owner, _)) => self.authenticated.remove(&owner, owned(id)),
            None => {
                let rank = (connection.stage, id);
                self.unauthenticated.remove(&connection.address, rank);
            }
        }
    }

    /// Removes the connection that has to yield, if there is one too many. `address`: where one was added.
    fn make_room(&mut self, address: ClientAddress) -> Option<Yields> {
        let of_address = self.unauthenticated.of(&address);
        let yields = if of_address.len() > self.limits.per_address {
            Yields::Address(of_address.first()?.1)
        } else if self.unauthenticated.count > self.limits.unauthenticated {
            Yields::Port(self.unauthenticated.first_of_largest()?)
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
    members: HashMap<K, BTreeSet<Rank>>,
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
    fn of(&self, key: &K) -> &BTreeSet<Rank> {
        static NONE: BTreeSet<Rank> = BTreeSet::new();
        self.members.get(key).unwrap_or(&NONE)
    }

    fn insert(&mut self, key: K, rank: Rank) {
        let is_new = self.members.entry(key).or_default().insert(rank);
        self.count += usize::from(is_new);
    }

    fn remove(&mut self, key: &K, rank: Rank) {
        let Some(members) = self.members.get_mut(key) else {
            return;
        };
        self.count -= usize::from(members.remove(&rank));
        if members.is_empty() {
            self.members.remove(key);
        }
    }

    /// The first connection of the largest group; of groups of the same size, the first of all.
    fn first_of_largest(&self) -> Option<ConnectionId> {
        let groups = self.members.values();
        let first = groups.filter_map(|ranks| Some((Reverse(ranks.len()), *ranks.first()?)));
        first.min().map(|(_, (_, id))| id)
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
    fn a_connection_that_has_come_further_yields_later() {
        let mut admission = admission();
        for _ in 0..2 {
            admission.enter(host(1));
        }
        admission.reached(0, Stage::Handshaken);
        admission.reached(0, Stage::Asked);
        for id in 2..20 {
            let (_, yields) = admission.enter(host(1));
            assert_ne!(yields, Some(Yields::Address(0)), "{id}");
        }
        admission.reached(18, Stage::Asked);
        admission.reached(19, Stage::Asked);
        let (last, yields) = admission.enter(host(1));
        assert_eq!((last, yields), (20, Some(Yields::Address(20))));
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
