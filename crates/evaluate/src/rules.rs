//! One NetworkPolicy, validated and resolved: the classes that it selects and, for each direction, the
//! classes, addresses and ports that its rules match.

use super::connection_set_pool::{ConnectionSetPool, SetId};
use super::pod_classes::{ClassId, PodClasses};
use super::rule_ref::RuleRef;
use super::rule_terms::{Action, NearNodes, Place};
use super::selector::{Selector, Symbols, keys, parse_selector};
use ipnet::IpNet;
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use nanoseg_net::{AddressSet, ConnectionSet, Direction, PortSet, Protocol};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// A NetworkPolicy that the API server would refuse (validation of `networking.k8s.io/v1`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to evaluate NetworkPolicy {policy}: {field}: {problem}")]
pub struct EvaluateError {
    /// `namespace/name`.
    pub policy: String,
    /// The path of the invalid field, such as `spec.ingress[0].ports[1].endPort`.
    pub field: String,
    pub problem: String,
}

/// The index of an interned set of classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PodsId(u32);

/// The index of an interned `ports` list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PortsId(u32);

/// A resolved `ports` list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Ports {
    /// The connections that do not depend on the destination.
    pub fixed: SetId,
    /// Named ports, which must be looked up in the destination pod.
    pub named: Vec<(Protocol, String)>,
}

/// One ingress or egress rule.
#[derive(Debug)]
pub(super) struct Rule {
    /// Is true if `from` or `to` is absent or empty: the rule matches every pod and every address.
    pub everyone: bool,
    pub pods: Vec<PodsId>,
    pub addresses: Vec<AddressSet>,
    pub nodes: NearNodes,
    pub ports: PortsId,
    pub action: Action,
    /// Its path, where it is not `spec.ingress[…]` or `spec.egress[…]` with its index in the list.
    pub field: Option<String>,
}

/// A resolved policy.
#[derive(Debug)]
pub(super) struct Policy {
    /// `namespace/name`, with the kind before it for other kinds than NetworkPolicy.
    pub name: String,
    /// The index of the policy among those that were given.
    pub source: u32,
    pub selected: Vec<ClassId>,
    pub ingress: Option<Vec<Rule>>,
    pub egress: Option<Vec<Rule>>,
    /// Is true if the ingress rules have named ports, so that they depend on the selected pod's own ports.
    pub named_ingress: bool,
    /// Is true if some rule matches the node of the selected pod, or all nodes but this one.
    pub near_nodes: bool,
    pub place: Place,
    /// Whether pods that it selects are closed to what no rule allows, for ingress and for egress. A policy without
    /// rules in a direction closes nothing in it.
    pub closes: [bool; 2],
}

impl Policy {
    /// Returns the rules in one direction, or `None` if the policy does not isolate in it.
    pub fn rules(&self, direction: Direction) -> Option<&[Rule]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }

    /// Returns true if pods that it selects are closed in one direction to what no rule allows.
    pub fn closes(&self, direction: Direction) -> bool {
        let [ingress, egress] = self.closes;
        match direction {
            Direction::Ingress => ingress,
            Direction::Egress => egress,
        }
    }

    /// Returns true if it closes pods, and not only what a rule of it denies.
    pub fn closes_all(&self, direction: Direction) -> bool {
        let rules = self.rules(direction).unwrap_or_default();
        let denies = rules.iter().any(|rule| rule.action != Action::Allow);
        self.closes(direction) && !denies
    }

    /// Returns the name and path of a rule, by its index in [`Policy::rules`].
    pub fn rule_ref(&self, direction: Direction, index: usize) -> RuleRef {
        let rule = self.rules(direction).and_then(|rules| rules.get(index));
        RuleRef {
            policy: self.name.clone(),
            direction,
            index,
            field: rule.and_then(|rule| rule.field.clone()),
        }
    }
}

/// Everything that the rules of all policies refer to, each stored once.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub pool: ConnectionSetPool,
    pods: Vec<Vec<ClassId>>,
    pod_ids: FxHashMap<Vec<ClassId>, PodsId>,
    ports: Vec<Ports>,
    port_ids: FxHashMap<Ports, PortsId>,
}

impl Names {
    /// Returns the classes of a set, ascending.
    pub fn pods(&self, id: PodsId) -> &[ClassId] {
        &self.pods[id.0 as usize]
    }

    pub fn ports(&self, id: PortsId) -> &Ports {
        &self.ports[id.0 as usize]
    }

    pub fn intern_pods(&mut self, classes: Vec<ClassId>) -> PodsId {
        if let Some(id) = self.pod_ids.get(&classes) {
            return *id;
        }
        let id = PodsId(self.pods.len() as u32);
        self.pods.push(classes.clone());
        self.pod_ids.insert(classes, id);
        id
    }

    pub fn intern_ports(&mut self, ports: Ports) -> PortsId {
        if let Some(id) = self.port_ids.get(&ports) {
            return *id;
        }
        let id = PortsId(self.ports.len() as u32);
        self.ports.push(ports.clone());
        self.port_ids.insert(ports, id);
        id
    }

    /// Resolves a `ports` list for pods of `server`.
    pub fn resolve(&mut self, ports: PortsId, server: ClassId, pod_classes: &PodClasses) -> SetId {
        let fixed = self.ports(ports).fixed;
        if self.ports(ports).named.is_empty() {
            return fixed;
        }
        let named = self.pool.intern(self.named(ports, server, pod_classes));
        self.pool.union(fixed, named)
    }

    /// Resolves the named ports of a `ports` list in pods of `server`.
    pub fn named(
        &self,
        ports: PortsId,
        server: ClassId,
        pod_classes: &PodClasses,
    ) -> ConnectionSet {
        let named = self.ports(ports).named.iter();
        let each = named.map(|(protocol, name)| pod_classes.named_port(server, *protocol, name));
        each.fold(ConnectionSet::default(), |all, one| all.union(&one))
    }
}

/// Returns the label keys that the pod selectors of `policies` read.
pub(super) fn pod_label_keys<'a>(
    policies: impl IntoIterator<Item = &'a NetworkPolicy>,
) -> BTreeSet<&'a str> {
    let mut all = BTreeSet::new();
    for spec in policies
        .into_iter()
        .filter_map(|policy| policy.spec.as_ref())
    {
        let ingress = spec
            .ingress
            .iter()
            .flatten()
            .flat_map(|rule| rule.from.iter().flatten());
        let egress = spec
            .egress
            .iter()
            .flatten()
            .flat_map(|rule| rule.to.iter().flatten());
        let peers = ingress
            .chain(egress)
            .filter_map(|peer| peer.pod_selector.as_ref());
        peers
            .chain(&spec.pod_selector)
            .for_each(|selector| all.extend(keys(selector)));
    }
    all
}

/// Validates and resolves one policy.
///
/// # Errors
/// Returns an error if the API server would refuse the policy.
pub(super) fn parse_policy(
    policy: &NetworkPolicy,
    (place, source): (Place, u32),
    pod_classes: &PodClasses,
    names: &mut Names,
    symbols: &mut Symbols,
) -> Result<Policy, EvaluateError> {
    let namespace = policy
        .metadata
        .namespace
        .as_deref()
        .filter(|name| !name.is_empty());
    let namespace = namespace.unwrap_or("default");
    let name = format!(
        "{namespace}/{}",
        policy.metadata.name.as_deref().unwrap_or_default()
    );
    let mut reader = Reader {
        namespace,
        place,
        source,
        pod_classes,
        names,
        symbols,
    };
    reader
        .policy(policy, name.clone())
        .map_err(|(field, problem)| EvaluateError {
            policy: name,
            field,
            problem,
        })
}

/// The field and the problem.
pub(super) type Problem = (String, String);

struct Reader<'a> {
    namespace: &'a str,
    place: Place,
    source: u32,
    pod_classes: &'a PodClasses,
    names: &'a mut Names,
    symbols: &'a mut Symbols,
}

impl Reader<'_> {
    fn policy(&mut self, policy: &NetworkPolicy, name: String) -> Result<Policy, Problem> {
        let empty = Default::default();
        let spec = policy.spec.as_ref().unwrap_or(&empty);
        let mut ingress = Vec::new();
        for (index, rule) in spec.ingress.iter().flatten().enumerate() {
            let (peers, ports) = (rule.from.as_deref(), rule.ports.as_deref());
            let rule = self.rule(peers.unwrap_or_default(), ports.unwrap_or_default(), "from");
            ingress.push(rule.map_err(within(format!("spec.ingress[{index}]")))?);
        }
        let mut egress = Vec::new();
        for (index, rule) in spec.egress.iter().flatten().enumerate() {
            let (peers, ports) = (rule.to.as_deref(), rule.ports.as_deref());
            let rule = self.rule(peers.unwrap_or_default(), ports.unwrap_or_default(), "to");
            egress.push(rule.map_err(within(format!("spec.egress[{index}]")))?);
        }
        let mut types = policy_types(spec.policy_types.as_deref(), !egress.is_empty())?;
        if self.pod_classes.idle_rules {
            types = (
                types.0 || !ingress.is_empty(),
                types.1 || !egress.is_empty(),
            );
        }
        let mut selected = Vec::new();
        let selector = match &spec.pod_selector {
            Some(selector) => self.selector(selector, "spec.podSelector")?,
            None => Selector::default(),
        };
        if let Some(namespace) = self.pod_classes.namespace(self.namespace) {
            self.pod_classes
                .classes_of(namespace, &selector, &mut selected);
        }
        let named = |rule: &Rule| !self.names.ports(rule.ports).named.is_empty();
        Ok(Policy {
            name,
            source: self.source,
            selected,
            named_ingress: ingress.iter().any(named),
            near_nodes: false,
            place: self.place,
            closes: [types.0, types.1],
            ingress: types.0.then_some(ingress),
            egress: types.1.then_some(egress),
        })
    }

    fn rule(
        &mut self,
        peers: &[NetworkPolicyPeer],
        ports: &[NetworkPolicyPort],
        side: &str,
    ) -> Result<Rule, Problem> {
        let ports = self.ports(ports)?;
        let everyone = peers.is_empty();
        let mut rule = Rule {
            everyone,
            pods: Vec::new(),
            addresses: Vec::new(),
            nodes: NearNodes::default(),
            ports,
            action: Action::Allow,
            field: None,
        };
        for (index, peer) in peers.iter().enumerate() {
            self.peer(peer, &mut rule)
                .map_err(within(format!("{side}[{index}]")))?;
        }
        Ok(rule)
    }

    fn peer(&mut self, peer: &NetworkPolicyPeer, rule: &mut Rule) -> Result<(), Problem> {
        let problem = |field: &str, problem: &str| Err((field.to_owned(), problem.to_owned()));
        match (&peer.ip_block, &peer.namespace_selector, &peer.pod_selector) {
            (None, None, None) => problem("", "a peer needs a selector or an ipBlock"),
            (Some(block), None, None) => {
                let cidr = &block.cidr;
                let block = addresses(block).map_err(within("ipBlock".into()))?;
                let pods = self.pod_classes.classes_in(&block);
                if !pods.is_empty() {
                    rule.pods.push(self.names.intern_pods(pods));
                }
                let is_family = cidr
                    .rsplit_once('/')
                    .is_some_and(|(_, length)| length == "0");
                let unmatched = if is_family {
                    &self.pod_classes.unmatched_by_all
                } else {
                    &self.pod_classes.unmatched
                };
                rule.addresses.push(block.difference(unmatched));
                Ok(())
            }
            (Some(_), _, _) => problem("ipBlock", "an ipBlock cannot be combined with a selector"),
            (None, namespaces, pods) => {
                let selector = match pods {
                    Some(selector) => self.selector(selector, "podSelector")?,
                    None => Selector::default(),
                };
                let namespaces = match namespaces {
                    Some(namespaces) => {
                        let namespaces = self.selector(namespaces, "namespaceSelector")?;
                        self.pod_classes.namespaces_of(&namespaces)
                    }
                    None => self
                        .pod_classes
                        .namespace(self.namespace)
                        .into_iter()
                        .collect(),
                };
                let mut classes = Vec::new();
                for namespace in namespaces {
                    self.pod_classes
                        .classes_of(namespace, &selector, &mut classes);
                }
                classes.sort_unstable();
                rule.pods.push(self.names.intern_pods(classes));
                Ok(())
            }
        }
    }

    fn selector(&mut self, selector: &LabelSelector, field: &str) -> Result<Selector, Problem> {
        parse_selector(selector, self.symbols).map_err(within(field.to_owned()))
    }

    fn ports(&mut self, ports: &[NetworkPolicyPort]) -> Result<PortsId, Problem> {
        let (mut fixed, mut named) = (ConnectionSet::default(), Vec::new());
        if ports.is_empty() {
            fixed = ConnectionSet::all();
        }
        for (index, port) in ports.iter().enumerate() {
            let ranges = self.pod_classes.end_port;
            match parse_port(port, ranges).map_err(within(format!("ports[{index}]")))? {
                (Protocol::Sctp, _) if !self.pod_classes.sctp => {}
                (protocol, Port::Numbers(ports)) => {
                    fixed = fixed.union(&ConnectionSet::of(protocol, ports));
                }
                (protocol, Port::Name(name)) => named.push((protocol, name)),
            }
        }
        named.sort_unstable();
        named.dedup();
        let fixed = self.names.pool.intern(fixed);
        Ok(self.names.intern_ports(Ports { fixed, named }))
    }
}

/// Returns a function that prefixes the field of a problem with `path`.
fn within(path: String) -> impl Fn(Problem) -> Problem {
    move |(field, problem)| {
        let field = if field.is_empty() {
            path.clone()
        } else {
            format!("{path}.{field}")
        };
        (field, problem)
    }
}

/// Returns whether a policy isolates for ingress and whether it isolates for egress. Without `policyTypes`:
/// always for ingress, and for egress if there are egress rules (API documentation of
/// `spec.policyTypes`).
fn policy_types(types: Option<&[String]>, has_egress: bool) -> Result<(bool, bool), Problem> {
    let types = types.unwrap_or_default();
    if types.is_empty() {
        return Ok((true, has_egress));
    }
    let unknown = types
        .iter()
        .position(|name| name != "Ingress" && name != "Egress");
    if let Some(index) = unknown {
        let problem = format!("unknown policy type {:?}", types[index]);
        return Err((format!("spec.policyTypes[{index}]"), problem));
    }
    let has = |name: &str| types.iter().any(|one| one == name);
    Ok((has("Ingress"), has("Egress")))
}

pub(super) fn addresses(block: &IPBlock) -> Result<AddressSet, Problem> {
    let parse = |text: &str, field: String| {
        text.parse::<IpNet>()
            .map_err(|_| (field, format!("{text:?} is not a CIDR")))
    };
    let cidr = parse(&block.cidr, "cidr".into())?.trunc();
    let mut holes = Vec::new();
    for (index, text) in block.except.iter().flatten().enumerate() {
        let hole = parse(text, format!("except[{index}]"))?.trunc();
        if !cidr.contains(&hole) {
            let problem = format!("{hole} is not inside {cidr}");
            return Err((format!("except[{index}]"), problem));
        }
        holes.push(hole);
    }
    Ok(AddressSet::from_cidr_except(cidr, holes))
}

enum Port {
    Numbers(PortSet),
    Name(String),
}

/// Reads an entry of `ports`. Without `ranges` the network plugin leaves out `endPort`.
fn parse_port(port: &NetworkPolicyPort, ranges: bool) -> Result<(Protocol, Port), Problem> {
    let problem = |field: &str, problem: String| Err((field.to_owned(), problem));
    let protocol = match port.protocol.as_deref() {
        None | Some("") => Protocol::Tcp,
        Some(name) => match Protocol::parse(name) {
            Some(protocol) => protocol,
            None => return problem("protocol", format!("unknown protocol {name:?}")),
        },
    };
    let number = |field: &str, number: i32| match u16::try_from(number) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err((
            field.to_owned(),
            format!("{number} is not between 1 and 65535"),
        )),
    };
    let ports = match (&port.port, port.end_port) {
        (None, None) => Port::Numbers(PortSet::all()),
        (None, Some(_)) => return problem("endPort", "endPort needs a port".into()),
        (Some(IntOrString::Int(first)), end) => {
            let first = number("port", *first)?;
            let last = number("endPort", end.unwrap_or(first.into()))?;
            if last < first {
                return problem("endPort", format!("{last} is less than the port {first}"));
            }
            let honoured = if ranges { last } else { first };
            Port::Numbers(PortSet::range(first, honoured))
        }
        (Some(IntOrString::String(_)), Some(_)) => {
            return problem(
                "endPort",
                "endPort cannot be combined with a named port".into(),
            );
        }
        (Some(IntOrString::String(name)), None) if name.is_empty() => {
            return problem("port", "a named port needs a name".into());
        }
        (Some(IntOrString::String(name)), None) => Port::Name(name.clone()),
    };
    Ok((protocol, ports))
}
