package main

import (
	"log/slog"
	"net/netip"

	"github.com/cilium/cilium/pkg/endpoint/regeneration"
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/identity/identitymanager"
	ipcache "github.com/cilium/cilium/pkg/ipcache/types"
	"github.com/cilium/cilium/pkg/k8s"
	core "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/core/v1"
	meta "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/policy"
	policytypes "github.com/cilium/cilium/pkg/policy/types"
	"github.com/cilium/cilium/pkg/types"
	"github.com/cilium/cilium/pkg/u8proto"
	"nanoseg.dev/tests/oracle"
)

// agent is what the agent of one node knows: identities as this node sees them, and the policies.
type agent struct {
	logger     *slog.Logger
	node       string
	repository *policy.Repository
	// pods are the identities of pods, by index.
	pods map[int]*identity.Identity
	// addresses are the identities of addresses that no endpoint has.
	addresses map[netip.Addr]identity.NumericIdentity
	ports     map[int]types.NamedPortMap
	allPorts  types.NamedPortMultiMap
	computed  map[int]*policy.EndpointPolicy
}

// GetNamedPorts gives the named ports of all endpoints, for egress rules.
func (a *agent) GetNamedPorts() types.NamedPortMultiMap { return a.allPorts }

func newAgent(logger *slog.Logger, c *oracle.Case, node string, entries []policytypes.PolicyEntries) *agent {
	a := &agent{
		logger:    logger,
		node:      node,
		pods:      map[int]*identity.Identity{},
		addresses: map[netip.Addr]identity.NumericIdentity{},
		ports:     map[int]types.NamedPortMap{},
		computed:  map[int]*policy.EndpointPolicy{},
	}
	all := identity.IdentityMap{}
	a.addReserved(all)
	endpoints := a.addPods(c, all)
	a.addNodes(c, all)
	a.addOutside(c, all)
	a.repository = policy.NewPolicyRepository(logger, all, nil, nil, identitymanager.NewIDManager(logger), noMetrics{})
	a.repository.SetNamedPortsGetter(a)
	a.repository.UpdateIdentities(endpoints, nil)
	for i, list := range entries {
		resource := ipcache.NewResourceID(ipcache.ResourceKindNetpol, "", string(rune('a'+i)))
		a.repository.ReplaceByResource(list, resource)
	}
	return a
}

func (a *agent) addReserved(all identity.IdentityMap) {
	for _, id := range []identity.NumericIdentity{identity.ReservedIdentityWorld, identity.ReservedIdentityWorldIPv4,
		identity.ReservedIdentityWorldIPv6, identity.ReservedIdentityHealth, identity.ReservedIdentityIngress} {
		all[id] = identity.LookupReservedIdentity(id).LabelArray
	}
}

// Pods with the same labels have the same identity, as in a cluster.
func (a *agent) addPods(c *oracle.Case, all identity.IdentityMap) identity.IdentityMap {
	known := map[string]*identity.Identity{}
	endpoints := identity.IdentityMap{}
	multi := types.NewNamedPortMultiMap()
	for i := range c.Pods {
		if !isEndpoint(c.End(i)) {
			continue
		}
		ports, podLabels := k8s.GetPodMetadata(a.logger, namespaceOf(c, &c.Pods[i]), podOf(&c.Pods[i]))
		list := labels.Map2Labels(podLabels, labels.LabelSourceK8s)
		key := string(list.SortedList())
		id, found := known[key]
		if !found {
			id = identity.NewIdentity(identity.NumericIdentity(1000+len(known)), list)
			known[key] = id
		}
		all[id.ID] = id.LabelArray
		endpoints[id.ID] = id.LabelArray
		a.pods[i] = id
		a.ports[i] = ports
		multi.Update(id.ID, nil, ports)
	}
	a.allPorts = multi
	return endpoints
}

// The own node is the host, all others are remote nodes. With policy-cidr-match-mode=nodes they carry their addresses
// (pkg/node/manager/manager.go, nodeIdentityLabels).
func (a *agent) addNodes(c *oracle.Case, all identity.IdentityMap) {
	remote := identity.IdentityScopeRemoteNode
	host := labels.NewFrom(labels.LabelHost)
	all[identity.ReservedIdentityRemoteNode] = labels.NewFrom(labels.LabelRemoteNode).LabelArray()
	for _, node := range c.Nodes {
		for _, address := range node.Addresses {
			cidr := labels.GetCIDRLabels(netip.PrefixFrom(address, address.BitLen()))
			withoutWorld(cidr)
			switch {
			case node.Name == a.node:
				a.addresses[address] = identity.ReservedIdentityHost
				if option.Config.PolicyCIDRMatchesNodes() {
					host.MergeLabels(cidr)
				}
			case option.Config.PolicyCIDRMatchesNodes():
				remote++
				list := labels.NewFrom(labels.LabelRemoteNode)
				list.MergeLabels(cidr)
				all[remote] = list.LabelArray()
				a.addresses[address] = remote
			default:
				a.addresses[address] = identity.ReservedIdentityRemoteNode
			}
		}
	}
	all[identity.ReservedIdentityHost] = host.LabelArray()
}

// An address of the cluster is never of the world (pkg/ipcache/metadata.go, resolveLabels).
func withoutWorld(list labels.Labels) {
	list.Remove(labels.LabelWorld)
	list.Remove(labels.LabelWorldIPv4)
	list.Remove(labels.LabelWorldIPv6)
}

// Each address of the outside has an identity of its own, which is what the agent has for the narrowest prefix.
func (a *agent) addOutside(c *oracle.Case, all identity.IdentityMap) {
	local := identity.IdentityScopeLocal
	for _, address := range c.Outside {
		if _, found := a.addresses[address]; found {
			continue
		}
		local++
		list := labels.GetCIDRLabels(netip.PrefixFrom(address, address.BitLen()))
		all[local] = list.LabelArray()
		a.addresses[address] = local
	}
}

// allows says whether the policy of endpoint own allows the probe with peer, in the direction of the key.
func (a *agent) allows(key policy.Key, own, peer oracle.End, probe oracle.Probe) bool {
	protocol, err := u8proto.ParseProtocol(probe.Protocol)
	oracle.Must(err)
	computed := a.compute(own.Index)
	for _, id := range a.identities(peer) {
		entry, _, _ := computed.Lookup(key.WithIdentity(id).WithPortProto(protocol, uint16(probe.Port)))
		if entry.IsAllow() {
			return true
		}
	}
	return false
}

func (a *agent) identities(peer oracle.End) []identity.NumericIdentity {
	if isEndpoint(peer) {
		return []identity.NumericIdentity{a.pods[peer.Index].ID}
	}
	ids := []identity.NumericIdentity{}
	for _, address := range peer.Addresses {
		ids = append(ids, a.addresses[address])
	}
	return ids
}

func (a *agent) compute(pod int) *policy.EndpointPolicy {
	if computed, found := a.computed[pod]; found {
		return computed
	}
	selected, _, err := a.repository.ComputeSelectorPolicy(a.pods[pod])
	oracle.Must(err)
	redirects := map[string]uint16{policy.FallbackRedirectID: 65535}
	computed := selected.DistillPolicy(a.logger, owner{ports: a.ports[pod]}, redirects)
	oracle.Must(computed.Ready())
	a.computed[pod] = computed
	return computed
}

func namespaceOf(c *oracle.Case, pod *oracle.Pod) *core.Namespace {
	namespace := c.Namespace(pod.Namespace)
	return &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: namespace.Name, Labels: namespace.Labels}}
}

func podOf(pod *oracle.Pod) *core.Pod {
	container := core.Container{}
	for _, port := range pod.Ports {
		container.Ports = append(container.Ports, core.ContainerPort{
			Name:          port.Name,
			Protocol:      core.Protocol(port.Protocol),
			ContainerPort: int32(port.Number),
		})
	}
	return &core.Pod{
		ObjectMeta: meta.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, Labels: pod.Labels},
		Spec:       core.PodSpec{Containers: []core.Container{container}},
	}
}

// owner is the endpoint as the policy engine sees it.
type owner struct{ ports types.NamedPortMap }

func (o owner) GetID() uint64 { return 0 }

func (o owner) GetIngressNamedPort(name string, protocol u8proto.U8proto) uint16 {
	port, err := o.ports.GetNamedPort(name, protocol)
	if err != nil {
		return 0 // as in pkg/endpoint/policy.go
	}
	return port
}

func (o owner) PolicyDebug(string, ...any)                  {}
func (o owner) IsHost() bool                                { return false }
func (o owner) PreviousMapStateSizes() policy.MapStateSizes { return policy.MapStateSizes{} }
func (o owner) RegenerateIfAlive(*regeneration.ExternalRegenerationMetadata) <-chan bool {
	done := make(chan bool)
	close(done)
	return done
}

type noMetrics struct{}

func (noMetrics) AddRule(policytypes.PolicyEntry) {}
func (noMetrics) DelRule(policytypes.PolicyEntry) {}
