// Program netpol-analyzer judges connections with the policy engine of github.com/np-guard/netpol-analyzer.
package main

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"

	"github.com/np-guard/netpol-analyzer/pkg/netpol/eval"
	"nanoseg.dev/tests/oracle"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func main() { oracle.Serve(prepare) }

func prepare(c *oracle.Case) oracle.Judge {
	engine := eval.NewPolicyEngine()
	for _, one := range c.Namespaces {
		oracle.Must(engine.InsertObject(&core.Namespace{ObjectMeta: meta.ObjectMeta{Name: one.Name, Labels: one.Labels}}))
	}
	for i := range c.Pods {
		oracle.Must(engine.InsertObject(podOf(c, &c.Pods[i])))
	}
	for _, raw := range c.Policies {
		policy := &networking.NetworkPolicy{}
		oracle.Must(json.Unmarshal(raw, policy))
		oracle.Must(engine.InsertObject(policy))
	}
	peers, err := engine.GetPeersList()
	oracle.Must(err)
	return func(client, server oracle.End, probe oracle.Probe) oracle.Verdict {
		if client.Index == server.Index {
			return oracle.NotJudged // two replicas of one workload are meant there
		}
		// The sets of connections, which the analyzer prints; CheckIfAllowed ends a rule at the first named port that the
		// server does not have (eval/internal/k8s/netpol.go, ruleConnsContain).
		set, err := engine.AllAllowedConnectionsBetweenWorkloadPeers(find(peers, client), find(peers, server))
		if err != nil {
			return oracle.NotJudged // a named port and an address: an error there
		}
		return oracle.Of(set.Contains(strconv.Itoa(probe.Port), probe.Protocol))
	}
}

// find returns the peer of a pod, or that with the range of an address.
func find(peers []eval.Peer, end oracle.End) eval.Peer {
	for _, peer := range peers {
		if end.Pod == nil {
			if peer.IsPeerIPType() && contains(peer.IP(), end.Addresses[0]) {
				return peer
			}
		} else if !peer.IsPeerIPType() && peer.Namespace() == end.Pod.Namespace && peer.Name() == end.Pod.Name {
			return peer
		}
	}
	panic("no peer for this end")
}

// Ranges are written as first-last, several with commas.
func contains(ranges string, address netip.Addr) bool {
	for _, one := range strings.Split(ranges, ",") {
		first, last, found := strings.Cut(strings.TrimSpace(one), "-")
		if !found {
			last = first
		}
		if netip.MustParseAddr(first).Compare(address) <= 0 && address.Compare(netip.MustParseAddr(last)) <= 0 {
			return true
		}
	}
	return false
}

func podOf(c *oracle.Case, pod *oracle.Pod) *core.Pod {
	container := core.Container{}
	for _, port := range pod.Ports {
		container.Ports = append(container.Ports, core.ContainerPort{
			Name:          port.Name,
			Protocol:      core.Protocol(port.Protocol),
			ContainerPort: int32(port.Number),
		})
	}
	status := core.PodStatus{}
	for _, node := range c.Nodes {
		if node.Name == pod.Node {
			status.HostIP = node.Addresses[0].String()
		}
	}
	for _, address := range pod.Addresses {
		status.PodIPs = append(status.PodIPs, core.PodIP{IP: address.String()})
	}
	return &core.Pod{
		ObjectMeta: meta.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, Labels: pod.Labels},
		Spec:       core.PodSpec{Containers: []core.Container{container}},
		Status:     status,
	}
}
