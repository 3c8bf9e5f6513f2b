// Program cilium-policy judges connections with the policy engine of github.com/cilium/cilium: it parses each policy as
// the agent does, computes the policy map of each endpoint on its node, and looks the connection up in both maps.
package main

import (
	"log/slog"

	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/api"
	"nanoseg.dev/tests/oracle"
)

const clusterName = "default"

func main() {
	option.Config.EnableIPv4 = true
	option.Config.EnableIPv6 = true
	option.Config.ClusterName = clusterName
	// What allow-localhost=auto means on Kubernetes: a node reaches its own pods.
	option.Config.UnsafeDaemonConfigOption.AllowLocalhost = option.AllowLocalhostAlways
	option.Config.EnableNonDefaultDenyPolicies = true
	option.Config.EnableICMPRules = true
	api.InitEntities(clusterName)
	policy.SetPolicyEnabled(option.DefaultEnforcement)
	oracle.Serve(prepare)
}

func prepare(c *oracle.Case) oracle.Judge {
	option.Config.PolicyCIDRMatchMode = c.Options["policy-cidr-match-mode"]
	logger := slog.New(slog.DiscardHandler)
	entries := parse(logger, c.Policies)
	agents := map[string]*agent{}
	for _, node := range c.Nodes {
		agents[node.Name] = newAgent(logger, c, node.Name, entries)
	}
	return func(client, server oracle.End, probe oracle.Probe) oracle.Verdict {
		if client.Index == server.Index {
			return oracle.Allowed // a pod's own traffic never leaves its network namespace
		}
		egress := !isEndpoint(client) || agents[client.Pod.Node].allows(policy.EgressKey(), client, server, probe)
		ingress := !isEndpoint(server) || agents[server.Pod.Node].allows(policy.IngressKey(), server, client, probe)
		return oracle.Of(egress && ingress)
	}
}

// Cilium has endpoints for pods with an own network only.
func isEndpoint(end oracle.End) bool {
	return end.Pod != nil && !end.Pod.HostNetwork
}
