//! What is allowed to one group of classes.

use super::address_map::AddressMap;
use super::connection_set_pool::SetId;
use super::pod_classes::ClassId;

/// What is allowed to one group of classes that policies select in one direction.
#[derive(Debug, PartialEq)]
pub(super) struct Table {
    /// What no rule matches is denied: the classes are isolated. Otherwise only what some rule denies is.
    pub closed: bool,
    /// With every pod and every address.
    pub everyone: SetId,
    /// With every pod that a selector can match, `everyone` included.
    pub every_pod: SetId,
    /// With single classes, `every_pod` included; ascending, only classes with something else than
    /// `every_pod`.
    pub pods: Vec<(ClassId, SetId)>,
    /// With addresses, in addition to `everyone`.
    pub addresses: AddressMap,
}

impl Table {
    /// Returns what is allowed with a class that pod selectors can match.
    pub fn pod(&self, class: ClassId) -> SetId {
        match self.pods.binary_search_by_key(&class, |(class, _)| *class) {
            Ok(index) => self.pods[index].1,
            Err(_) => self.every_pod,
        }
    }
}
