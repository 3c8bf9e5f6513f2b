//! The baseline of a cluster: `ClusterNetworkPolicies` that hold for all namespaces, before every NetworkPolicy
//! (rule: baseline-blocks-nothing-observed).

mod parts;
#[cfg(test)]
mod tests;

use crate::dialect::Dialect;
use crate::render::write_object;
use crate::select::Selectors;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, LabelSelectorRequirement, ObjectMeta,
};
use nanoseg_finding::{Code, Finding};
use nanoseg_graph::{DnsEvidence, Graph, METADATA, Peer};
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::Protocol;
use nanoseg_policy_kinds::OtherKindPolicy;
use nanoseg_policy_kinds::admin::{
    AdminAction, AdminPeer, AdminSubject, AdminTier, ClusterEgress, ClusterIngress,
    ClusterNetworkPolicy, ClusterNetworkPolicySpec,
};
use parts::{Pods, ports};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The most rules of a policy, and the most peers of a rule (`MaxItems` in `apis/v1alpha2` of network-policy-api 0.2).
const MOST: usize = 25;

/// The first policy of these is asked first; lower numbers are left to people.
const PRIORITY_OF_USERS: i32 = 500;
const PRIORITY_OF_METADATA: i32 = 510;
const PRIORITY_OF_DNS: i32 = 520;
const PRIORITY_OF_TENANTS: i32 = 530;

/// What the operator chose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaselineOptions {
    /// The label of namespaces whose value is their tenant. `None`: tenants are not isolated.
    pub tenant_label: Option<String>,
}

/// One policy, with what it is for.
#[derive(Debug, Clone, PartialEq)]
pub struct BaselinePolicy {
    pub policy: OtherKindPolicy,
    /// For the comment at its head, one line each.
    pub comments: Vec<String>,
}

/// The policies in the order in which they are asked, and findings about what they leave out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Baseline {
    pub policies: Vec<BaselinePolicy>,
    pub findings: Vec<Finding>,
}

impl BaselinePolicy {
    /// The name of the object and of its file.
    pub fn name(&self) -> String {
        match &self.policy {
            OtherKindPolicy::ClusterNetworkPolicy(policy) => {
                policy.metadata.name.clone().unwrap_or_default()
            }
            _ => String::new(),
        }
    }

    /// The YAML document.
    pub fn render(&self) -> String {
        let mut out = String::new();
        write_object(&mut out, &self.comments, &self.policy.to_object());
        out
    }
}

/// Writes the baseline for what was observed: metadata services are closed but for who uses them, the resolvers of the
/// cluster are open to everybody, and tenants are closed to each other but for what was observed.
pub fn baseline(graph: &Graph, inventory: &Inventory, options: &BaselineOptions) -> Baseline {
    let mut writer = Writer {
        graph,
        inventory,
        selectors: Selectors::build(inventory, Dialect::Kubernetes),
        written: Baseline::default(),
    };
    writer.metadata();
    writer.resolvers();
    if let Some(label) = &options.tenant_label {
        writer.tenants(label);
    }
    writer.written.findings.sort();
    writer.written
}

struct Writer<'a> {
    graph: &'a Graph,
    inventory: &'a Inventory,
    selectors: Selectors<'a>,
    written: Baseline,
}

impl<'a> Writer<'a> {
    /// The pods of a workload; `None` if no labels select them, which is a finding.
    fn pods(&mut self, id: &'a WorkloadId, used: &str) -> Option<Pods> {
        let selection = self.selectors.select(id);
        if selection.unselectable {
            let message = format!("{used}, and its pods share no stable label");
            let finding = Finding::new(Code::UnselectableWorkload, id.to_string(), message);
            self.written.findings.push(finding);
            return None;
        }
        Some(Pods {
            namespace: id.namespace.clone(),
            selector: selection.selector,
        })
    }

    /// `name` gets a number if another policy has it.
    fn add(&mut self, comments: Vec<String>, name: String, spec: ClusterNetworkPolicySpec) {
        let is_taken = |name: &str| self.written.policies.iter().any(|one| one.name() == name);
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let mut names = std::iter::once(name.clone()).chain(numbered);
        let name = names.find(|name| !is_taken(name)).unwrap_or(name.clone());
        let metadata = ObjectMeta {
            name: Some(name),
            labels: Some(BTreeMap::from([(
                "app.kubernetes.io/managed-by".to_owned(),
                "nanoseg".to_owned(),
            )])),
            ..ObjectMeta::default()
        };
        let policy = ClusterNetworkPolicy { metadata, spec };
        self.written.policies.push(BaselinePolicy {
            policy: OtherKindPolicy::ClusterNetworkPolicy(policy),
            comments,
        });
    }

    /// Closes the metadata services, but for the workloads that were answered by one.
    fn metadata(&mut self) {
        let addresses: Vec<IpAddr> = METADATA.iter().filter_map(|a| a.parse().ok()).collect();
        let graph = self.graph;
        let users: BTreeSet<&'a WorkloadId> = graph_taught(graph)
            .filter(|(_, server, ..)| matches!(server, Peer::Outside(a) if addresses.contains(a)))
            .filter_map(|(client, ..)| client.workload())
            .collect();
        let services = AdminPeer {
            networks: Some(addresses.iter().map(|a| single(*a)).collect()),
            ..AdminPeer::default()
        };
        let rule = |action| ClusterEgress {
            name: None,
            action,
            to: vec![services.clone()],
            protocols: None,
        };
        for id in users {
            let Some(pods) = self.pods(id, "uses a metadata service") else {
                continue;
            };
            let name = format!("nanoseg-metadata-{}-{}", id.namespace, id.name);
            let comments = vec![format!(
                "{id} uses a metadata service: the next tier decides"
            )];
            let subject = pods.subject();
            let spec = admin(
                PRIORITY_OF_USERS,
                subject,
                vec![],
                vec![rule(AdminAction::Pass)],
            );
            self.add(comments, parts::name(&name), spec);
        }
        let comments = vec!["nobody else reaches a metadata service".to_owned()];
        let rules = vec![rule(AdminAction::Deny)];
        let spec = admin(PRIORITY_OF_METADATA, everybody(), vec![], rules);
        self.add(comments, "nanoseg-metadata".to_owned(), spec);
    }

    /// Opens the resolvers of the cluster to everybody, at both ends.
    fn resolvers(&mut self) {
        let evidence = DnsEvidence::of(self.graph);
        let graph = self.graph;
        let mut found: BTreeMap<&'a WorkloadId, BTreeSet<(u16, Protocol)>> = BTreeMap::new();
        for (index, (_, server, protocol, port)) in graph_taught(graph).enumerate() {
            let id = server.workload().filter(|_| evidence.is_lookup(index));
            if let Some(id) = id.filter(|id| is_system(&id.namespace)) {
                let ports = found.entry(id).or_default();
                // A truncated answer is asked for again over TCP (RFC 7766).
                ports.extend([
                    (port, protocol),
                    (port, Protocol::Udp),
                    (port, Protocol::Tcp),
                ]);
            }
        }
        for (id, at) in found {
            let Some(pods) = self.pods(id, "answers lookups") else {
                continue;
            };
            let protocols = ports(&at);
            let incoming = ClusterIngress {
                name: None,
                action: AdminAction::Accept,
                from: vec![AdminPeer {
                    namespaces: Some(LabelSelector::default()),
                    ..AdminPeer::default()
                }],
                protocols: Some(protocols.clone()),
            };
            let outgoing = ClusterEgress {
                name: None,
                action: AdminAction::Accept,
                to: vec![pods.peer()],
                protocols: Some(protocols),
            };
            let name = format!("nanoseg-dns-{}-{}", id.namespace, id.name);
            let to = admin(PRIORITY_OF_DNS, everybody(), vec![], vec![outgoing]);
            let comments = vec![format!("everybody may look names up at {id}")];
            self.add(comments, parts::name(&name), to);
            let from = admin(PRIORITY_OF_DNS + 1, pods.subject(), vec![incoming], vec![]);
            let comments = vec![format!("{id} answers everybody")];
            self.add(comments, parts::name(&format!("{name}-server")), from);
        }
    }

    /// Closes the tenants to each other, but for what was observed between them.
    fn tenants(&mut self, label: &str) {
        let inventory = self.inventory;
        let tenant = |namespace: &str| -> Option<&'a str> {
            let namespace = inventory.namespaces.get(namespace)?;
            namespace.labels.get(label).map(String::as_str)
        };
        let all: BTreeSet<&str> = inventory
            .namespaces
            .keys()
            .filter_map(|n| tenant(n))
            .collect();
        for one in all {
            let across = self.across(one, &tenant);
            self.tenant(label, one, across);
        }
    }

    /// What clients of other tenants were observed to call of a tenant: by client, the servers with their ports.
    fn across(&self, own: &str, tenant: &dyn Fn(&str) -> Option<&'a str>) -> Across<'a> {
        let graph = self.graph;
        let mut across = Across::new();
        for (client, server, protocol, port) in graph_taught(graph) {
            let ends = client.workload().zip(server.workload());
            let Some((client, server)) = ends else {
                continue;
            };
            let of_client = tenant(&client.namespace);
            if tenant(&server.namespace) == Some(own) && of_client.is_some_and(|one| one != own) {
                let ports = across.entry(server).or_default();
                ports.entry(client).or_default().insert((port, protocol));
            }
        }
        across
    }

    fn tenant(&mut self, label: &str, own: &str, across: Across<'a>) {
        let from_own = ClusterIngress {
            name: None,
            action: AdminAction::Pass,
            from: vec![AdminPeer {
                namespaces: Some(parts::has(label, own)),
                ..AdminPeer::default()
            }],
            protocols: None,
        };
        let others = LabelSelectorRequirement {
            key: label.to_owned(),
            operator: "Exists".to_owned(),
            values: None,
        };
        let from_others = ClusterIngress {
            action: AdminAction::Deny,
            from: vec![AdminPeer {
                namespaces: Some(LabelSelector {
                    match_expressions: Some(vec![others]),
                    ..LabelSelector::default()
                }),
                ..AdminPeer::default()
            }],
            ..from_own.clone()
        };
        for (server, clients) in across {
            self.let_across(server, clients);
        }
        let subject = AdminSubject {
            namespaces: Some(parts::has(label, own)),
            pods: None,
        };
        let rules = vec![from_own, from_others];
        let spec = admin(PRIORITY_OF_TENANTS + 1, subject, rules, vec![]);
        let comments = vec![format!("no other tenant calls {own}")];
        let name = parts::name(&format!("nanoseg-tenant-{own}"));
        self.add(comments, name, spec);
    }

    /// Lets clients of other tenants pass to one server, as observed.
    fn let_across(
        &mut self,
        server: &'a WorkloadId,
        clients: BTreeMap<&'a WorkloadId, BTreeSet<(u16, Protocol)>>,
    ) {
        let Some(pods) = self.pods(server, "is called by another tenant") else {
            return;
        };
        let mut rules = Vec::new();
        let mut comments = Vec::new();
        for (client, at) in clients {
            let Some(from) = self.pods(client, "calls another tenant") else {
                continue;
            };
            comments.push(format!("{client} of another tenant calls {server}"));
            rules.push(ClusterIngress {
                name: None,
                action: AdminAction::Pass,
                from: vec![from.peer()],
                protocols: Some(ports(&at)),
            });
        }
        for (number, rules) in rules.chunks(MOST).enumerate() {
            let more = if number == 0 {
                String::new()
            } else {
                format!("-{}", number + 1)
            };
            let name = format!("nanoseg-across-{}-{}{more}", server.namespace, server.name);
            let spec = admin(PRIORITY_OF_TENANTS, pods.subject(), rules.to_vec(), vec![]);
            let lines = comments.iter().skip(number * MOST).take(MOST).cloned();
            self.add(lines.collect(), parts::name(&name), spec);
        }
    }
}

/// By server and client: the ports.
type Across<'a> = BTreeMap<&'a WorkloadId, BTreeMap<&'a WorkloadId, BTreeSet<(u16, Protocol)>>>;

/// The edges of `O` in their order: client, server, protocol and port.
fn graph_taught(graph: &Graph) -> impl Iterator<Item = (&Peer, &Peer, Protocol, u16)> {
    let taught = graph.taught().into_iter();
    taught.map(|(client, server, edge)| (client, server, edge.protocol, edge.port))
}

fn admin(
    priority: i32,
    subject: AdminSubject,
    ingress: Vec<ClusterIngress>,
    egress: Vec<ClusterEgress>,
) -> ClusterNetworkPolicySpec {
    ClusterNetworkPolicySpec {
        tier: AdminTier::Admin,
        priority,
        subject,
        ingress: (!ingress.is_empty()).then_some(ingress),
        egress: (!egress.is_empty()).then_some(egress),
    }
}

fn everybody() -> AdminSubject {
    AdminSubject {
        namespaces: Some(LabelSelector::default()),
        pods: None,
    }
}

fn single(address: IpAddr) -> String {
    ipnet::IpNet::from(address).to_string()
}

/// Where the resolvers of clusters are; whoever runs one elsewhere opens it to no other namespace by that.
fn is_system(namespace: &str) -> bool {
    matches!(namespace, "kube-system" | "openshift-dns")
}
