//! The other ends that rules of Calico match: by address, by selectors, and by what is negated.
//!
//! Source: `libcalico-go/lib/backend/syncersv1/updateprocessors/rules.go` of Calico: a namespace limits the selector of an
//! entity, and never its negated selector.

use super::resolver::{Head, Peers, Resolver, block};
use nanoseg_inventory::Pod;
use nanoseg_net::AddressSet;
use nanoseg_policy_kinds::calico::{CalicoEntity, CalicoNetworkSet};
use nanoseg_policy_kinds::calico_selector::CalicoSelector;

/// Labels that Calico gives to pods.
const NAMESPACE: &str = "projectcalico.org/namespace";
const ORCHESTRATOR: &str = "projectcalico.org/orchestrator";
/// The label that Calico gives to namespaces.
const NAME: &str = "projectcalico.org/name";
/// The prefix of labels that pods have from their namespace.
const OF_NAMESPACE: &str = "pcns.";

/// A selector of a field; `None` if it cannot be read. An absent or empty one means everything.
pub(super) fn selector(text: Option<&str>) -> Option<CalicoSelector> {
    CalicoSelector::parse(text.unwrap_or_default()).ok()
}

pub(super) fn is_said(text: Option<&str>) -> bool {
    text.is_some_and(|text| !text.trim().is_empty())
}

impl Resolver<'_> {
    pub(super) fn pod_matches(&self, selector: &CalicoSelector, pod: &Pod) -> bool {
        selector.matches(&|key| match key {
            NAMESPACE => Some(pod.namespace.as_str()),
            ORCHESTRATOR => Some("k8s"),
            key => match key.strip_prefix(OF_NAMESPACE) {
                Some(key) => self.namespace_label(&pod.namespace, key),
                None => pod.labels.get(key).map(String::as_str),
            },
        })
    }

    fn namespace_label(&self, namespace: &str, key: &str) -> Option<&str> {
        let (name, namespace) = self.inventory.namespaces.get_key_value(namespace)?;
        match key {
            NAME | "kubernetes.io/metadata.name" => Some(name.as_str()),
            key => namespace.labels.get(key).map(String::as_str),
        }
    }

    pub(super) fn namespace_matches(&self, selector: &CalicoSelector, namespace: &str) -> bool {
        selector.matches(&|key| self.namespace_label(namespace, key))
    }

    pub(super) fn calico_peers(
        &self,
        far: &CalicoEntity,
        family: Option<&AddressSet>,
        head: &Head,
    ) -> Peers {
        let is_plain = far.nets.is_none()
            && far.not_nets.is_none()
            && !is_said(far.selector.as_deref())
            && !is_said(far.not_selector.as_deref())
            && !is_said(far.namespace_selector.as_deref());
        if is_plain && family.is_none() {
            return Peers::everyone();
        }
        let Some(chosen) = Chosen::of(far, head) else {
            return Peers::default();
        };
        let everywhere = self.pod_classes.everywhere();
        let union = |list: &Option<Vec<String>>| {
            let blocks = list.iter().flatten().filter_map(|text| block(text));
            AddressSet::union_all(&blocks.collect::<Vec<_>>())
        };
        let mut blocks = match &far.nets {
            Some(nets) if !nets.is_empty() => union(&far.nets),
            _ => everywhere,
        };
        blocks = blocks.difference(&union(&far.not_nets));
        if let Some(family) = family {
            blocks = blocks.intersection(family);
        }
        let is_any = far.nets.is_none() && far.not_nets.is_none() && family.is_none();
        let pods = self.classes(|pod| {
            let is_in = is_any || pod.addresses.iter().any(|one| blocks.contains(*one));
            is_in && chosen.has_pod(self, pod)
        });
        Peers {
            everyone: false,
            pods,
            addresses: Some(blocks.intersection(&self.set_addresses(&chosen, far))),
            nodes: Default::default(),
        }
    }

    /// The addresses that the selectors of an entity match: those of sets of addresses, or all where no selector says
    /// whom it means.
    fn set_addresses(&self, chosen: &Chosen, far: &CalicoEntity) -> AddressSet {
        // Of both families: a rule may name an address of a family that no pod has.
        let mut addresses = AddressSet::all();
        if is_said(far.selector.as_deref()) || !matches!(chosen.namespaces, Namespaces::Any) {
            addresses = self.of_sets(|namespace, set| chosen.has_set(self, namespace, set));
        }
        if let Some(not) = &chosen.not {
            let left_out =
                self.of_sets(|namespace, set| not.matches(&|key| set_label(set, namespace, key)));
            addresses = addresses.difference(&left_out);
        }
        addresses
    }

    fn of_sets(&self, is_it: impl Fn(Option<&str>, &CalicoNetworkSet) -> bool) -> AddressSet {
        let sets = self
            .network_sets
            .iter()
            .filter(|(namespace, set)| is_it(*namespace, set));
        let nets = sets.flat_map(|(_, set)| set.spec.nets.iter().flatten());
        let blocks: Vec<AddressSet> = nets.filter_map(|text| block(text)).collect();
        AddressSet::union_all(&blocks)
    }
}

fn set_label<'s>(
    set: &'s CalicoNetworkSet,
    namespace: Option<&'s str>,
    key: &str,
) -> Option<&'s str> {
    if key == NAMESPACE {
        return namespace;
    }
    let labels = set.metadata.labels.as_ref()?;
    labels.get(key).map(String::as_str)
}

/// What the selectors of an entity choose.
struct Chosen {
    pods: CalicoSelector,
    not: Option<CalicoSelector>,
    namespaces: Namespaces,
}

/// The namespaces of whom an entity means.
enum Namespaces {
    /// Every namespace, and what has none.
    Any,
    /// That of the policy.
    Own(String),
    /// What has no namespace: `global()`.
    NoNamespace,
    Matching(CalicoSelector),
}

impl Chosen {
    /// `None` if a selector cannot be read.
    fn of(far: &CalicoEntity, head: &Head) -> Option<Chosen> {
        let text = far.namespace_selector.as_deref();
        let namespaces = match (selector(text)?, &head.namespace) {
            (CalicoSelector::Global, _) => Namespaces::NoNamespace,
            (matching, _) if is_said(text) => Namespaces::Matching(matching),
            // Without a selector the entity means whoever has the address, of any namespace.
            (_, Some(own))
                if is_said(far.selector.as_deref()) || is_said(far.not_selector.as_deref()) =>
            {
                Namespaces::Own(own.clone())
            }
            _ => Namespaces::Any,
        };
        let not = far
            .not_selector
            .as_deref()
            .filter(|text| is_said(Some(text)));
        let not = match not {
            Some(text) => Some(selector(Some(text))?),
            None => None,
        };
        Some(Chosen {
            pods: selector(far.selector.as_deref())?,
            not,
            namespaces,
        })
    }

    fn in_scope(&self, resolver: &Resolver<'_>, namespace: Option<&str>) -> bool {
        match (&self.namespaces, namespace) {
            (Namespaces::Any, _) => true,
            (Namespaces::Own(own), Some(namespace)) => own == namespace,
            (Namespaces::Matching(selector), Some(namespace)) => {
                resolver.namespace_matches(selector, namespace)
            }
            (Namespaces::NoNamespace, namespace) => namespace.is_none(),
            // A selector of a policy with a namespace means sets of that namespace only.
            (Namespaces::Own(_) | Namespaces::Matching(_), None) => false,
        }
    }

    fn has_pod(&self, resolver: &Resolver<'_>, pod: &Pod) -> bool {
        let is_not = |not: &CalicoSelector| resolver.pod_matches(not, pod);
        self.in_scope(resolver, Some(&pod.namespace))
            && resolver.pod_matches(&self.pods, pod)
            && !self.not.as_ref().is_some_and(is_not)
    }

    fn has_set(
        &self,
        resolver: &Resolver<'_>,
        namespace: Option<&str>,
        set: &CalicoNetworkSet,
    ) -> bool {
        self.in_scope(resolver, namespace)
            && self.pods.matches(&|key| set_label(set, namespace, key))
    }
}
