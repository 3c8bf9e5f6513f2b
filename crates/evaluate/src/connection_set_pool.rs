//! Interned connection sets: the same few sets occur for thousands of pairs, so each set is stored once and
//! each union, intersection and difference of two sets is computed once.

use nanoseg_net::ConnectionSet;
use rustc_hash::FxHashMap;

/// The index of a connection set in a [`ConnectionSetPool`]. Equal sets have equal indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetId(u32);

impl SetId {
    pub const NONE: SetId = SetId(0);
    pub const ALL: SetId = SetId(1);
}

/// Every connection set in use, each stored once.
#[derive(Debug)]
pub struct ConnectionSetPool {
    sets: Vec<ConnectionSet>,
    ids: FxHashMap<ConnectionSet, SetId>,
    unions: FxHashMap<(SetId, SetId), SetId>,
    intersections: FxHashMap<(SetId, SetId), SetId>,
    differences: FxHashMap<(SetId, SetId), SetId>,
}

impl Default for ConnectionSetPool {
    fn default() -> Self {
        let mut pool = ConnectionSetPool {
            sets: Vec::new(),
            ids: FxHashMap::default(),
            unions: FxHashMap::default(),
            intersections: FxHashMap::default(),
            differences: FxHashMap::default(),
        };
        pool.intern(ConnectionSet::default());
        pool.intern(ConnectionSet::all());
        pool
    }
}

impl ConnectionSetPool {
    pub fn get(&self, id: SetId) -> &ConnectionSet {
        &self.sets[id.0 as usize]
    }

    pub fn intern(&mut self, set: ConnectionSet) -> SetId {
        if let Some(id) = self.ids.get(&set) {
            return *id;
        }
        let id = SetId(self.sets.len() as u32);
        self.sets.push(set.clone());
        self.ids.insert(set, id);
        id
    }

    pub fn union(&mut self, a: SetId, b: SetId) -> SetId {
        if a == b || b == SetId::NONE || a == SetId::ALL {
            return a;
        }
        if a == SetId::NONE || b == SetId::ALL {
            return b;
        }
        let key = (a.min(b), a.max(b));
        if let Some(id) = self.unions.get(&key) {
            return *id;
        }
        let id = self.intern(self.get(a).union(self.get(b)));
        self.unions.insert(key, id);
        id
    }

    pub fn intersection(&mut self, a: SetId, b: SetId) -> SetId {
        if a == b || a == SetId::NONE || b == SetId::ALL {
            return a;
        }
        if b == SetId::NONE || a == SetId::ALL {
            return b;
        }
        let key = (a.min(b), a.max(b));
        if let Some(id) = self.intersections.get(&key) {
            return *id;
        }
        let id = self.intern(self.get(a).intersection(self.get(b)));
        self.intersections.insert(key, id);
        id
    }

    /// Returns the connections of `a` that are not in `b`.
    pub fn difference(&mut self, a: SetId, b: SetId) -> SetId {
        if a == b || a == SetId::NONE || b == SetId::ALL {
            return SetId::NONE;
        }
        if b == SetId::NONE {
            return a;
        }
        if let Some(id) = self.differences.get(&(a, b)) {
            return *id;
        }
        let id = self.intern(self.get(a).difference(self.get(b)));
        self.differences.insert((a, b), id);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nanoseg_net::Protocol;

    #[test]
    fn the_empty_and_the_full_set_have_fixed_ids() {
        let mut pool = ConnectionSetPool::default();
        assert!(pool.get(SetId::NONE).is_empty());
        assert!(pool.get(SetId::ALL).is_all());
        let one = pool.intern(ConnectionSet::one(Protocol::Tcp, 80));
        assert_eq!(pool.union(one, SetId::ALL), SetId::ALL);
        assert_eq!(pool.union(SetId::NONE, one), one);
        assert_eq!(pool.intersection(one, SetId::NONE), SetId::NONE);
        assert_eq!(pool.intersection(SetId::ALL, one), one);
        assert_eq!(pool.difference(one, SetId::ALL), SetId::NONE);
        assert_eq!(pool.difference(one, SetId::NONE), one);
    }

    #[test]
    fn cached_results_equal_the_results_of_the_sets() {
        let mut pool = ConnectionSetPool::default();
        let web =
            ConnectionSet::one(Protocol::Tcp, 80).union(&ConnectionSet::one(Protocol::Udp, 9));
        let dns =
            ConnectionSet::one(Protocol::Udp, 53).union(&ConnectionSet::one(Protocol::Udp, 9));
        let (a, b) = (pool.intern(web.clone()), pool.intern(dns.clone()));
        for _ in 0..2 {
            let (both, either) = (pool.intersection(b, a), pool.union(b, a));
            assert_eq!(pool.get(both), &web.intersection(&dns));
            assert_eq!(pool.get(either), &web.union(&dns));
            let (left, right) = (pool.difference(a, b), pool.difference(b, a));
            assert_eq!(pool.get(left), &web.difference(&dns));
            assert_eq!(pool.get(right), &dns.difference(&web));
        }
    }
}
