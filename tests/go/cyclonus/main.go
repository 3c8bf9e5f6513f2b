// Program cyclonus judges connections with the matcher of github.com/mattfenwick/cyclonus.
package main

import (
	"encoding/json"
	"net/netip"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	"nanoseg.dev/tests/oracle"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
)

func main() { oracle.Serve(prepare) }

func prepare(c *oracle.Case) oracle.Judge {
	var policies []*networking.NetworkPolicy
	for _, raw := range c.Policies {
		policy := &networking.NetworkPolicy{}
		oracle.Must(json.Unmarshal(raw, policy))
		policies = append(policies, policy)
	}
	policy := matcher.BuildNetworkPolicies(true, policies)
	return func(client, server oracle.End, probe oracle.Probe) oracle.Verdict {
		if client.Index == server.Index {
			return oracle.Allowed // a pod always reaches itself
		}
		names := portNames(server, probe)
		egress, ingress := false, false
		for _, from := range client.Addresses {
			for _, to := range server.Addresses {
				for _, name := range names {
					result := policy.IsTrafficAllowed(&matcher.Traffic{
						Source:           peer(c, client, from),
						Destination:      peer(c, server, to),
						ResolvedPort:     probe.Port,
						ResolvedPortName: name,
						Protocol:         core.Protocol(probe.Protocol),
					})
					egress = egress || result.Egress.IsAllowed()
					ingress = ingress || result.Ingress.IsAllowed()
				}
			}
		}
		return oracle.Of(egress && (ingress || ownNode(client, server)))
	}
}

// The matcher knows no nodes; the API's promise that a node reaches its own pods is kept here.
func ownNode(client, server oracle.End) bool {
	return client.Node != "" && server.Pod != nil && client.Node == server.Pod.Node
}

// Pods on the host network are outside of the matcher's pods: no selector selects them.
func peer(c *oracle.Case, end oracle.End, address netip.Addr) *matcher.TrafficPeer {
	if end.Pod == nil || end.Pod.HostNetwork {
		return &matcher.TrafficPeer{IP: address.String()}
	}
	return &matcher.TrafficPeer{
		IP: address.String(),
		Internal: &matcher.InternalPeer{
			PodLabels:       end.Pod.Labels,
			NamespaceLabels: c.Namespace(end.Pod.Namespace).Labels,
			Namespace:       end.Pod.Namespace,
		},
	}
}

// The names of the server's port, since the matcher is told the name that the traffic's port has; one empty name if
// it has none.
func portNames(server oracle.End, probe oracle.Probe) []string {
	names := []string{}
	if server.Pod != nil && !server.Pod.HostNetwork {
		for _, port := range server.Pod.Ports {
			if port.Protocol == probe.Protocol && port.Number == probe.Port {
				names = append(names, port.Name)
			}
		}
	}
	if len(names) == 0 {
		names = append(names, "")
	}
	return names
}
