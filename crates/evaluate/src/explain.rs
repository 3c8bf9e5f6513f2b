//! Explains why one connection is allowed or denied: the rules that allow it, or the policies that deny it. It
//! uses the rules as [`super::rules`] resolved them, so the result is that of [`Evaluation::allowed`].

use super::ClassId;
use super::decision::{Decision, decide};
use super::evaluation::{Evaluation, PeerRef};
use super::rule_ref::{NearMiss, RuleRef};
use super::rules::{Policy, Rule};
use nanoseg_net::{ConnectionSet, Direction, Protocol};
use serde::Serialize;

/// Why a connection is allowed or denied.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    pub allowed: bool,
    /// Is set if the connection needs no rule, whatever the policies of the two sides allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub always: Option<Always>,
    /// The client's side.
    pub egress: Side,
    /// The server's side.
    pub ingress: Side,
}

/// Connections that no policy can deny (API documentation of `spec.ingress`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Always {
    /// A pod reaches itself.
    Itself,
    /// A node reaches its own pods.
    OwnNode,
}

/// What the policies of one end decide.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Side {
    /// No policy applies: the end is an address, or a pod that uses its node's network.
    NoSubject,
    /// No policy isolates the pod in this direction or decides about the connection: it is allowed.
    NotIsolated,
    /// These rules allow the connection.
    Allowed { rules: Vec<RuleRef> },
    /// The pod is isolated and no rule allows the connection, or a rule denies it.
    Denied {
        /// The policies that isolate it, or whose rules deny it, as `namespace/name`; with the kind before it for other
        /// kinds than NetworkPolicy.
        isolating: Vec<String>,
        /// Rules that match the other end on other ports.
        near: Vec<NearMiss>,
        /// The rules that deny it; empty if no rule matches it.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        rules: Vec<RuleRef>,
    },
}

impl Side {
    /// Returns true unless the policies of this side deny the connection.
    pub fn allows(&self) -> bool {
        !matches!(self, Side::Denied { .. })
    }
}

impl Evaluation {
    /// Explains a connection to one port. If a pod is unknown, both sides are [`Side::NoSubject`] and nothing is
    /// allowed, as in [`Evaluation::allowed`].
    pub fn explain(
        &self,
        client: PeerRef,
        server: PeerRef,
        protocol: Protocol,
        port: u16,
    ) -> Explanation {
        let egress = self.explain_side(client, Direction::Egress, server, (protocol, port));
        let ingress = self.explain_side(server, Direction::Ingress, client, (protocol, port));
        let always = if client == server && self.knows(client) {
            Some(Always::Itself)
        } else {
            let denied = || self.denied_to_own_node(client, server);
            let reaches = self.is_own_node(client, server) && !denied().contains(protocol, port);
            reaches.then_some(Always::OwnNode)
        };
        let known = self.knows(client) && self.knows(server);
        Explanation {
            allowed: always.is_some() || (known && egress.allows() && ingress.allows()),
            always,
            egress,
            ingress,
        }
    }

    fn knows(&self, end: PeerRef) -> bool {
        match end {
            PeerRef::Pod(pod) => pod < self.pod_classes.pods.len(),
            PeerRef::Address(_) => true,
        }
    }

    fn explain_side(
        &self,
        end: PeerRef,
        direction: Direction,
        peer: PeerRef,
        (protocol, port): (Protocol, u16),
    ) -> Side {
        let facts = match end {
            PeerRef::Pod(pod) => self.pod_classes.pods.get(pod),
            PeerRef::Address(_) => None,
        };
        let Some(class) = facts.map(|pod| pod.class) else {
            return Side::NoSubject;
        };
        if self.class(class).host_network {
            return Side::NoSubject;
        }
        let selecting = self.isolating(class, direction);
        let part = ConnectionSet::one(protocol, port);
        let with = |rule: &Rule| self.of_rule(rule, class, direction, peer);
        match decide(&self.tiers, selecting, direction, &part, with) {
            Decision::Open => Side::NotIsolated,
            Decision::Allowed(rules) => Side::Allowed { rules },
            Decision::Denied(denial) => Side::Denied {
                isolating: denial.policies,
                near: denial.near,
                rules: denial.rules,
            },
        }
    }

    /// Returns what one rule allows `class` with `peer`; nothing if the rule does not match `peer`.
    pub(super) fn of_rule(
        &self,
        rule: &Rule,
        class: ClassId,
        direction: Direction,
        peer: PeerRef,
    ) -> ConnectionSet {
        let (peer_class, addresses) = match peer {
            PeerRef::Address(address) => (None, vec![address]),
            PeerRef::Pod(pod) => match self.pod_classes.pods.get(pod) {
                None => return ConnectionSet::default(),
                Some(pod) if self.class(pod.class).host_network => (None, pod.addresses.clone()),
                Some(pod) => (Some(pod.class), Vec::new()),
            },
        };
        let named = rule.everyone
            || match peer_class {
                Some(peer) => self.names_class(rule, peer),
                None => {
                    let near = self.pod_classes.near_addresses(class, rule.nodes);
                    let mut sets = rule.addresses.iter().chain([&near]);
                    sets.any(|set| addresses.iter().any(|address| set.contains(*address)))
                }
            };
        if !named {
            return ConnectionSet::default();
        }
        let server = match direction {
            Direction::Ingress => Some(class),
            Direction::Egress => peer_class,
        };
        self.ports_of(rule, server)
    }

    /// Returns true if a pod selector of the rule matches the pods of `peer`.
    pub(super) fn names_class(&self, rule: &Rule, peer: ClassId) -> bool {
        let mut selectors = rule.pods.iter();
        selectors.any(|pods| self.names.pods(*pods).binary_search(&peer).is_ok())
    }

    /// Resolves the ports of a rule for pods of `server`. For an address (`None`) a named port matches nothing.
    pub(super) fn ports_of(&self, rule: &Rule, server: Option<ClassId>) -> ConnectionSet {
        let fixed = self.names.pool.get(self.names.ports(rule.ports).fixed);
        match server {
            Some(server) => fixed.union(&self.names.named(rule.ports, server, &self.pod_classes)),
            None => fixed.clone(),
        }
    }

    /// Returns the policies that apply to the pods of `class` in `direction`.
    pub(super) fn isolating(
        &self,
        class: ClassId,
        direction: Direction,
    ) -> impl Iterator<Item = &Policy> {
        self.policies.iter().filter(move |policy| {
            policy.rules(direction).is_some() && policy.selected.binary_search(&class).is_ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use nanoseg_inventory::Inventory;

    fn shop() -> Inventory {
        let mut inventory = Inventory::default();
        namespace(&mut inventory, "shop", "");
        pod(&mut inventory, "shop/web", "app=web");
        pod(&mut inventory, "shop/db", "app=db").ports = vec![port(Protocol::Tcp, "sql", 5432)];
        pod(&mut inventory, "shop/job", "app=job");
        inventory
    }

    const DB: &str = "{podSelector: {matchLabels: {app: db}}, ingress: [
        {from: [{podSelector: {matchLabels: {app: job}}}]},
        {from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: sql}]}]}";

    fn ask(client: usize, port: u16) -> Explanation {
        let evaluation = evaluate(&shop(), &[named_policy("shop/db", DB)]);
        let (client, server) = (PeerRef::Pod(client), PeerRef::Pod(1));
        evaluation.explain(client, server, Protocol::Tcp, port)
    }

    #[test]
    fn an_allowed_connection_lists_the_rule_that_allows_it() {
        let found = ask(0, 5432);
        assert!(found.allowed);
        assert_eq!(found.egress, Side::NotIsolated);
        let Side::Allowed { rules } = found.ingress else {
            panic!("{found:?}");
        };
        assert_eq!(rules.len(), 1);
        assert_eq!(rules[0].to_string(), "shop/db, spec.ingress[1]");
    }

    #[test]
    fn a_denied_connection_lists_the_isolating_policies_and_the_near_misses() {
        let found = ask(0, 80);
        assert!(!found.allowed);
        let Side::Denied {
            isolating, near, ..
        } = found.ingress
        else {
            panic!("{found:?}");
        };
        assert_eq!(isolating, ["shop/db"]);
        assert_eq!(near.len(), 1);
        assert_eq!(near[0].rule.index, 1);
        assert_eq!(near[0].connections.to_string(), "TCP 5432");
    }

    #[test]
    fn a_pod_reaches_itself_without_any_rule() {
        let found = ask(1, 80);
        assert!(found.allowed);
        assert_eq!(found.always, Some(Always::Itself));
        assert!(!found.ingress.allows());
    }
}
