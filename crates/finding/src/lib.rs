//! Findings: everything an operator must know that is not a policy. A closed list of codes with a
//! severity, a meaning and a remedy each; checks in every room push them, only `cli` prints them.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may read files and print"
    )
)]

mod rule;

pub use rule::Rule;

use serde::Serialize;
use std::fmt;

/// How serious a finding is. *Error* findings make `generate` exit with 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        })
    }
}

macro_rules! codes {
    ($( $variant:ident $name:literal $severity:ident $meaning:literal $remedy:literal; )*) => {
        /// The closed list of finding codes. The kebab-case name is stable: scripts may match on it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Code { $( #[doc = $meaning] $variant, )* }

        impl Code {
            /// Every code, in the order of the list.
            pub const ALL: &'static [Code] = &[ $( Code::$variant, )* ];
            /// The stable kebab-case name.
            pub fn name(self) -> &'static str { match self { $( Code::$variant => $name, )* } }
            /// The severity of all findings with this code.
            pub fn severity(self) -> Severity { match self { $( Code::$variant => Severity::$severity, )* } }
            /// What the code means, one sentence.
            pub fn meaning(self) -> &'static str { match self { $( Code::$variant => $meaning, )* } }
            /// What an operator can do about it, one sentence.
            pub fn remedy(self) -> &'static str { match self { $( Code::$variant => $remedy, )* } }
        }
    };
}

codes! {
    PortScan "port-scan" Error
        "One client tried many addresses or ports and got next to no answers; nothing of it was learned."
        "Find out what runs in that workload; if it is a wanted scanner, keep it out of the segmented namespaces.";
    AgentOutOfBounds "agent-out-of-bounds" Error
        "The agent of a node told of connections that have no end on that node; nothing of them counts."
        "Look at that node and its agent: it may be taken over. If the node passes others' traffic on, run an agent where their pods are, so that both tell of it.";
    UnknownPod "unknown-pod" Error
        "Traffic with an address of the pod range that no known pod owned at that time; it is never written as an ipBlock."
        "The finding names the likely cause: add a snapshot from the time of the traffic or of all namespaces (kubectl get pods -A -o yaml), or set the nodes' clocks, then run again.";
    UndecodableCapture "undecodable-capture" Error
        "A capture has packets, and none of them could be decoded: nothing of its traffic is known."
        "Capture again on Ethernet or with tcpdump -i any; the message names the link type and the reason.";
    PodsWithoutAddresses "pods-without-addresses" Error
        "No pod of the snapshot has an address, so nobody can be named."
        "Give the plain output of kubectl get … -o yaml: a tool that tidies manifests (kubectl neat) removes the status, and with it the addresses.";
    NotInView "not-in-view" Error
        "Not all pods of the workload were where the observation could see them, so the direction is not isolated: what was not seen may be needed."
        "Capture on these nodes as well and say which file is of which node (--capture FILE@NODE); --isolate-partial-view isolates all the same.";
    PresumedView "presumed-view" Error
        "The direction is isolated by the traffic that was seen, but nothing shows that the workload's node was captured: other traffic of it may not have been seen."
        "Say on which node each capture was taken, or of which node each flow log is: FILE@NODE.";
    UnattributedTraffic "unattributed-traffic" Error
        "The workload has answered traffic with somebody whom nobody can name, so no rule can allow it and the direction is not isolated."
        "Give what names it (see the reason beside each: a snapshot of that time, all kinds of objects, all namespaces); --isolate-anyway isolates all the same.";
    NothingAttributed "nothing-attributed" Error
        "A flow log has no connection, or no end of any of them is a pod of the snapshot: nothing was learned of it."
        "Give the snapshot of the cluster and the time that the log is of, and a log with the addresses of pods.";
    InterfaceAddresses "interface-addresses" Warning
        "A VPC flow log has the addresses of network interfaces, which are nodes', where the addresses of pods are needed."
        "Add ${pkt-srcaddr} and ${pkt-dstaddr} to the format of the flow log: they hold the addresses of pods.";
    IndistinguishableWorkloads "indistinguishable-workloads" Error
        "No labels tell these workloads apart, so a policy for one also selects the other."
        "Give one of them a label of its own in its pod template.";
    SelectedByForeignPods "selected-by-foreign-pods" Warning
        "A policy selects pods of another workload than it is meant for: as its own pods, or as peers. Who may create pods can give them any labels; such pods get what the policy allows."
        "Find out who made these pods; delete them, or give the workload a label of its own in its pod template.";
    FalseOwner "false-owner" Warning
        "A pod names an owner that it does not have: the uid is another one's, no such owner is there, or the owner does not select it. It counts as a workload of its own."
        "Find out who made the pod: it may want to be taken for another workload's, to get what that one may do.";
    UnselectableWorkload "unselectable-workload" Error
        "The pods have no stable labels, so no policy can select them without selecting the whole namespace."
        "Add a label to the pod template.";
    UnstableSelector "unstable-selector" Warning
        "Only a label that does not last tells the workload from others: after the next release, fail-over or user, neither its policy nor the rules that name it select the new pods."
        "Give the pod template a label that stays, such as app.kubernetes.io/name, then generate again.";
    PublicEntry "public-entry" Warning
        "Clients on the internet reach the workload, and new ones keep coming: whether its policy lets in all of them or only those that were seen is a decision."
        "Choose --public-entry=anywhere to let in everybody, or keep the addresses that were seen if no others shall call.";
    MetadataService "metadata-service" Warning
        "A workload called the cloud metadata address."
        "Unless the workload needs cloud credentials, leave it blocked and find out who calls.";
    HostNetworkWorkload "host-network-workload" Warning
        "The workload uses its node's network: NetworkPolicy cannot select it."
        "Protect the node itself, or move the workload off hostNetwork.";
    ExistingPolicyBlocks "existing-policy-blocks" Error
        "A policy that is already there blocks traffic that was answered, as it is judged here; no generated policy isolates there."
        "Check whether the policy is newer than the traffic, or has an ipBlock that reaches pods with your network plugin; then select these pods by labels in it, or include the workload's namespace.";
    ExistingPolicyTooWide "existing-policy-too-wide" Warning
        "A policy that is already there allows connections that were not observed; policies add up, so they stay open."
        "Review that policy and narrow or delete it once the generated ones are applied.";
    UnjudgedPolicy "unjudged-policy" Warning
        "Policies are in force that nanoseg does not judge, or not all of their fields: what these deny or allow is not part of the proof."
        "Check by hand whether they deny traffic that the generated policies allow, or allow traffic beside them.";
    IpBlockCoversPods "ip-block-covers-pods" Warning
        "A policy that is already there has an ipBlock that covers pods; it was judged as outside addresses, and many network plugins let it reach pods as well."
        "Take the pod range out of the block with except, or select pods by their labels.";
    CiliumNodeAddress "cilium-node-address" Warning
        "The cluster runs Cilium, and the workload needs the address of a node, such as the API server's: by default Cilium matches no node with an ipBlock, so the direction is not isolated."
        "Set policyCIDRMatchMode: nodes in Cilium and generate again, or allow these ends with a CiliumNetworkPolicy (--dialect cilium).";
    PoliciesNotEnforced "policies-not-enforced" Error
        "The cluster's network plugin enforces no NetworkPolicy: every policy is there without effect, and everything stays open."
        "Run a plugin that enforces them (kube-network-policies beside flannel, Calico, Cilium), switch its enforcement on (the message names the setting), or name the plugin with --network-plugin if another one enforces.";
    NetworkPluginUnknown "network-plugin-unknown" Note
        "Nothing tells which network plugin enforces the policies: they are judged by the specification of NetworkPolicy, and plugins differ from it."
        "Add the DaemonSets, Nodes and pods of kube-system to the snapshot (nanoseg snapshot has them), or name the plugin with --network-plugin.";
    RuleNotHonoured "rule-not-honoured" Warning
        "The cluster's network plugin does not honour something in the rules of a policy: a protocol, a range of ports, a named port."
        "Write the rule as the plugin takes it (docs/plugins.md), switch the feature on in the plugin, or use the plugin's own kind of policy.";
    PluginLimit "plugin-limit" Warning
        "A generated policy has more ports or ipBlocks than the cluster's network plugin takes in one rule or policy."
        "Allow a range of ports (--range-threshold), summarise addresses (--max-addresses), or split the workload; docs/plugins.md has the limits.";
    NotCoveredByPlugin "not-covered-by-plugin" Warning
        "The cluster's network plugin applies no policy to some pods of the workload, or to some of their addresses: these stay open."
        "Let a Deployment, StatefulSet or DaemonSet own the pods, or use one address family; docs/plugins.md says what each plugin covers.";
    FqdnDrift "fqdn-drift" Warning
        "A name that a workload looks up and calls has other addresses by now, which its policy does not allow: the next connection may be blocked."
        "Decide the proposal that adds them, or write policies that have names (nanoseg generate --dialect cilium).";
    MalformedObject "malformed-object" Error
        "An object of the cluster has a field that its kind does not have in that form: what it says is not known, and what it would change is left as it is."
        "Correct the field that the message names, or delete the object; until then nothing new is proposed in its namespace.";
    UncoveredPods "uncovered-pods" Warning
        "Pods of a namespace that is enforced are selected by no policy: everything may reach them, and they may reach everything."
        "Approve the proposals for their workloads, give them the labels that the policy selects, or set spec.defaultDeny of the Segmentation.";
    PartlyReadObject "partly-read-object" Warning
        "An object has something that cannot be read as it stands (an unknown field, a value that an API server refuses, a key twice); the rest of it was used."
        "Correct the object; the message names the field.";
    ExcessConnections "excess-connections" Warning
        "The generated policies allow connections that were not observed, because labels or the NetworkPolicy language cannot say it exactly."
        "See the list in the report; more labels or a lower summarising threshold make it exact.";
    InternetEgress "internet-egress" Warning
        "A workload talks to an address outside the cluster and outside private ranges."
        "Check that the destination is wanted before approving.";
    OneWayUdp "one-way-udp" Warning
        "UDP was sent without any answer, and it neither repeats nor goes to a declared port: it was not learned."
        "If it is wanted, declare the port in the pod spec or capture for longer.";
    ServiceWithoutEndpoints "service-without-endpoints" Warning
        "Traffic went to a Service that has no ready endpoints in the snapshot, so no pod could be named."
        "Take the snapshot while the pods behind the Service are ready.";
    UnknownEndpoints "unknown-endpoints" Warning
        "Traffic went to a Service of which the snapshot does not say what stands behind it: it has no EndpointSlices, no Endpoints and no selector."
        "Add endpointslices to the kubectl get that made the snapshot.";
    ForeignEndpoint "foreign-endpoint" Warning
        "A Service has endpoints or external addresses that are not its namespace's: another namespace's pod, a node, the API server, an address that somebody else has. Nothing is concluded from it; only what was seen to arrive there is allowed."
        "Find out who wrote the EndpointSlice, Endpoints or externalIPs (a way past the borders of namespaces, CVE-2021-25740 and CVE-2020-8554) and delete it if it is not wanted.";
    MissingServices "missing-services" Warning
        "Services or Nodes are missing from the snapshot: an address of the Service range belongs to none of them, or a private address that nothing explains may be a Service's or a pod's, since there is neither default/kubernetes nor a ServiceCIDR, or no Node with its podCIDR."
        "Take the snapshot of all namespaces (kubectl get services,endpointslices,nodes,pods -A), or say which addresses are the cluster's with --service-cidr and --pod-cidr.";
    DnsNotObserved "dns-not-observed" Warning
        "A workload called Services, whose addresses it must have looked up at some time, but none of its DNS traffic was seen."
        "Look whether the message says that the resolver is allowed; if not, allow it by hand. With captures: capture from the start of its pods on, or pass --implied-lookups always.";
    JudgedPolicy "judged-policy" Note
        "Policies of other kinds than NetworkPolicy are in force and part of every verdict: those of Cilium, of Calico or of an administrator."
        "Nothing; nanoseg explain names the policy that decides about a connection.";
    InferredDirection "inferred-direction" Note
        "No packet shows who opened the connection; the server was inferred from its port."
        "Capture for long enough to see a new connection, or check the edge by hand.";
    RefusedConnections "refused-connections" Note
        "Connections were refused (RST or ICMP unreachable); they were not learned."
        "Check whether the client is misconfigured or the server was down.";
    UnansweredConnections "unanswered-connections" Note
        "Connections were opened and got no answer, or the client reset the handshake; they were not learned."
        "Check whether the client is misconfigured, or a policy or firewall dropped it.";
    DroppedConnections "dropped-connections" Note
        "A flow log reports that a policy dropped these connections; they were not learned."
        "If they are wanted, allow them by hand.";
    UnseenBackends "unseen-backends" Warning
        "A client called some of the workloads behind a Service by their own addresses, and others not: where sockets or proxies choose the backend, packets do not show that the Service was called."
        "If the client calls the Service, observe until it has called every backend, or allow the others by hand; Cilium without kube-proxy and service meshes choose the backend before a packet leaves.";
    MeshRedirect "mesh-redirect" Warning
        "Connections are told at a port to which the proxy of a service mesh redirects inside of its pod; it is on no wire, so a network plugin never sees it, and a rule with it allows nothing."
        "Observe from outside of the pods (agents, captures of the node), or give a flow log that has the port that was called.";
    MeshEncrypted "mesh-encrypted" Note
        "Connections go through the port of a service mesh, encrypted: a network plugin sees who calls and that port, so a policy lets these peers reach every port of the application through the mesh."
        "Let the mesh decide about ports and requests (Istio's AuthorizationPolicy, Linkerd's Server and AuthorizationPolicy); the NetworkPolicy keeps all others away.";
    PresumedNode "presumed-node" Warning
        "Nothing in the capture or flow log tells which of these nodes it is of; both are presumed, and only directions with traffic of their own are isolated there."
        "Say it: --capture FILE@NODE or --flows FILE@NODE, with several nodes as @NODE,NODE, and @* where it is of all nodes.";
    ContradictedNode "contradicted-node" Warning
        "A capture or flow log is said to be of a node, but none of the nodes that were named can have seen some of its packets. The node that it shows is taken to be in view; those that were named are only presumed to be."
        "Correct the name after the @; or, if packets of several nodes were brought together there, name all of them (FILE@NODE,NODE), or leave the name out.";
    SharedOpenDirection "shared-open-direction" Warning
        "A policy of the workload would isolate pods of another workload whose direction must stay open, since no label tells them apart."
        "Give one of them a label of its own in its pod template.";
    NothingObserved "nothing-observed" Warning
        "Nothing was seen of this workload; it was left out, since an empty policy cuts it off."
        "Capture for longer, or pass --include-unobserved to write a deny-all policy for it.";
    NodePortFromNodes "node-port-from-nodes" Note
        "Outside traffic reaches the workload through a NodePort or load balancer: in front of a pod on the node that is entered most plugins see the client itself, elsewhere they see that node, so the addresses of all nodes and of the clients are allowed."
        "Set externalTrafficPolicy: Local to see and allow real client addresses only.";
    CidrSummarised "cidr-summarised" Note
        "Outside addresses were summarised to CIDRs, which adds addresses that were not seen."
        "Raise --max-addresses to list every address.";
    NotExpressible "not-expressible" Note
        "Traffic was seen that a NetworkPolicy cannot express (ICMP, multicast, broadcast, other protocols)."
        "Most network plugins let ICMP pass or block it as a whole; check yours.";
    CrossNamespace "cross-namespace" Note
        "A connection crosses a namespace border."
        "Check that it is wanted before approving.";
    MissingEndpointSlices "missing-endpoint-slices" Warning
        "The snapshot has no EndpointSlices of some Services, so the pods behind them were taken from their selectors."
        "Take the snapshot with nanoseg snapshot, or add endpointslices to the kubectl get that made it.";
    AssumedApiServer "assumed-api-server" Note
        "The snapshot has no endpoints of default/kubernetes, so the API server's address comes from the pods or nodes of the control plane."
        "Take the snapshot with nanoseg snapshot, or add endpointslices to the kubectl get that made it.";
    MissingOwners "missing-owners" Warning
        "An owner of pods is not in the snapshot, so workload names and selectors come from the pods' labels."
        "Take the snapshot with nanoseg snapshot, or add the kinds that it names to the kubectl get that made it; what was deleted by then needs a snapshot of that time, or a history (snapshot --watch).";
    MissingNodes "missing-nodes" Warning
        "The snapshot has no Nodes, so kubelet probes and hostNetwork traffic cannot be distinguished from outside traffic."
        "Take the snapshot with nanoseg snapshot, or add nodes to the kubectl get that made it.";
    IncompleteSnapshot "incomplete-snapshot" Warning
        "The snapshot says itself what it lacks: kinds or namespaces that could not be read, or a time whose changes are not known."
        "Take it again with the rights of the role nanoseg-reader (docs/snapshot.md); a history, without an interruption.";
    NamePattern "name-pattern" Note
        "Several outside names of one domain were written as a pattern, which allows names that were not seen."
        "Leave --name-patterns out, or raise it, to list every name.";
    MissingNamespaces "missing-namespaces" Note
        "A namespace of a pod is not in the snapshot; its labels are taken to be only kubernetes.io/metadata.name."
        "Take the snapshot with nanoseg snapshot, or add namespaces to the kubectl get that made it.";
    TruncatedCapture "truncated-capture" Warning
        "A capture file ends in the middle of a packet; everything before the cut was read."
        "Nothing, if the capture was stopped on purpose; otherwise capture again.";
    DamagedCapture "damaged-capture" Warning
        "A part of a capture file could not be read; the rest was."
        "Capture again, or check the disk.";
    ClockMoved "clock-moved" Note
        "A capture has the same packets as another one at other times, so the clocks of the two nodes differ; its times were moved."
        "Let the nodes set their clocks by NTP.";
    ClockUnclear "clock-unclear" Warning
        "The clock of a capture could not be compared with that of another one; who had an address when may be wrong by the difference."
        "Capture from files and not from standard input, with whole headers (tcpdump -s 128 or more), and let the nodes set their clocks by NTP.";
    PartlyUndecodableCapture "partly-undecodable-capture" Warning
        "At least a tenth of the packets of one interface of a capture could not be decoded: their traffic is not known."
        "Capture again on Ethernet or with tcpdump -i any; the message names the link type and the reason.";
    TableOverflow "table-overflow" Warning
        "More connections were open at once than the table holds; the longest idle ones were closed early."
        "Raise --max-connections.";
    ObservationLoss "observation-loss" Warning
        "A source of observation lost something, or could not read it: what was seen may be less than what there was."
        "Look up the kind of loss in docs/flows.md; what it describes may be missing from the graph.";
    WouldBlock "would-block" Warning
        "A proposed policy would block connections that recorded flows used."
        "Look at each before approving; reject the proposal, or edit it so that it allows what is wanted.";
    BlockedTraffic "blocked-traffic" Warning
        "Connections were tried that the approved policy does not allow, and the proposal would open them."
        "Find out whether the client should talk to that server before approving.";
    ClosedOnPurpose "closed-on-purpose" Warning
        "The proposal would open a connection that a revision in force was approved to block."
        "Ask who approved that revision before approving; nanoseg review names the connection.";
    SeenUnguarded "seen-unguarded" Warning
        "A connection that the proposal would open was first answered while nothing guarded one of its ends: the glass was broken, a policy was rolled back, or the namespace was not enforced."
        "Ask whether it is needed at other times; approve the rest without it: nanoseg approve --except.";
    RefusedBefore "refused-before" Warning
        "The proposal would open a connection that a person refused, or one like it; what changed since is said."
        "Ask who refused it before approving; approve the rest without it: nanoseg approve --except.";
    AllowedButBlocked "allowed-but-blocked" Warning
        "An approved connection fails since a policy was applied, although the policies allow it: something else blocks it."
        "Look for policies of other kinds, a service mesh, a firewall, or an error of the network plugin; the policy is not rolled back.";
    UnknownPolicy "unknown-policy" Warning
        "A policy in the cluster has nanoseg's label, and the controller's state does not know it: nobody keeps it as it is."
        "Approve the proposal that adopts it, or delete the policy; nanoseg status lists all of them.";
    ScanShadow "scan-shadow" Warning
        "A client that scanned ports also got answers, and a proposed policy would allow those connections."
        "Find out what runs in that client before approving.";
    OneSided "one-sided" Warning
        "The agent of only one end tells of a connection that a proposed policy would allow, though the agent of the other end should have seen it too, or has not told of that time yet."
        "Look at the node that tells of it before approving: it may be taken over. Where its agent merely lags, the finding goes by itself.";
    FirstSeenToday "first-seen-today" Note
        "A connection that a proposed policy would allow was seen for the first time within the last 24 hours."
        "Check that somebody changed something today that explains it.";
    UnapprovedRegistry "unapproved-registry" Error
        "The workload runs an image of a registry that is not on the list of approved ones."
        "Find out who put it there; approve the registry, or run an image of an approved one.";
    UnapprovedImage "unapproved-image" Error
        "The workload runs an image that is not on the list of approved ones."
        "Find out who put it there; approve the image, or run an approved one.";
    MutableTag "mutable-tag" Warning
        "The workload names its image without a digest, so another image may run tomorrow under the approved name."
        "Name the image by its digest: name:tag@sha256:….";
    PrivilegedContainer "privileged-container" Warning
        "A container is privileged: it owns its node, and with it the network of every pod there, past every NetworkPolicy."
        "Take the privilege away, or keep such workloads on nodes of their own.";
    HostPort "host-port" Warning
        "A container is reached at a port of its node, by anyone who reaches the node and whom no policy for the pod keeps out."
        "Use a Service instead, or see to it that a firewall guards the node.";
    AddedCapability "added-capability" Warning
        "A container has capabilities that reach into the network or the node and that servers do not need."
        "Take them away unless the program is known to need them.";
    KnownVulnerability "known-vulnerability" Warning
        "An image of the workload has high or critical vulnerabilities, by the scans that were given."
        "Update the image; until then approve nothing that brings the internet nearer to it.";
    VolumeChange "volume-change" Warning
        "An edge suddenly carries ten times as much as usual, or a tenth."
        "Find out what changed: a release, a failure, or somebody who takes data out.";
    LostPolicy "lost-policy" Warning
        "By the record a policy was in force at the end of the period, and what it allowed is not known any more: the report judges without it."
        "Look it up in a backup of the controller's state, or give a snapshot of that time with --cluster.";
    AddressConflict "address-conflict" Warning
        "Two pods claim the same address at the same time; the one that started later was taken."
        "Add a snapshot that shows when the first pod ended.";
}

/// One thing that an operator must know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    pub severity: Severity,
    pub code: Code,
    /// What it is about: a workload, a peer, a file.
    pub subject: String,
    /// What happened, one sentence, starting after the subject.
    pub message: String,
    /// At most a few examples, for the report.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<String>,
}

impl Finding {
    /// A finding with the code's severity and no samples.
    pub fn new(code: Code, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Finding {
            severity: code.severity(),
            code,
            subject: subject.into(),
            message: message.into(),
            samples: Vec::new(),
        }
    }

    /// Returns true if the subject names `what`: alone, or as an end of an edge.
    pub fn is_about(&self, what: &str) -> bool {
        self.subject.split([' ', ':']).any(|word| word == what)
    }

    /// The same finding with examples.
    #[must_use]
    pub fn with_samples(mut self, samples: impl IntoIterator<Item = String>) -> Self {
        self.samples = samples.into_iter().collect();
        self
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
