package main

import (
	"encoding/json"
	"log/slog"

	"github.com/cilium/cilium/pkg/k8s"
	cilium "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	networking "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/networking/v1"
	"github.com/cilium/cilium/pkg/policy/api"
	policytypes "github.com/cilium/cilium/pkg/policy/types"
	"github.com/cilium/cilium/pkg/policy/utils"
	"nanoseg.dev/tests/oracle"
	cluster "sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

// parse reads each policy as the agent's watchers do (pkg/policy/k8s).
func parse(logger *slog.Logger, policies []json.RawMessage) []policytypes.PolicyEntries {
	var all []policytypes.PolicyEntries
	for _, raw := range policies {
		all = append(all, parseOne(logger, raw))
	}
	return all
}

func parseOne(logger *slog.Logger, raw json.RawMessage) policytypes.PolicyEntries {
	switch kind := oracle.Kind(raw); kind {
	case "networking.k8s.io/v1/NetworkPolicy":
		one := &networking.NetworkPolicy{}
		oracle.Must(json.Unmarshal(raw, one))
		return must(k8s.ParseNetworkPolicy(logger, clusterName, one))
	case "cilium.io/v2/CiliumNetworkPolicy":
		one := &cilium.CiliumNetworkPolicy{}
		oracle.Must(json.Unmarshal(raw, one))
		return rules(one.Parse(logger, clusterName))
	case "cilium.io/v2/CiliumClusterwideNetworkPolicy":
		one := &cilium.CiliumClusterwideNetworkPolicy{}
		oracle.Must(json.Unmarshal(raw, one))
		return rules(one.Parse(logger, clusterName))
	case "policy.networking.k8s.io/v1alpha2/ClusterNetworkPolicy":
		one := &cluster.ClusterNetworkPolicy{}
		oracle.Must(json.Unmarshal(raw, one))
		return must(k8s.ParseClusterNetworkPolicy(logger, clusterName, one))
	default:
		panic("Cilium does not know " + kind)
	}
}

func rules(parsed api.Rules, err error) policytypes.PolicyEntries {
	oracle.Must(err)
	return utils.RulesToPolicyEntries(parsed)
}

func must(entries policytypes.PolicyEntries, err error) policytypes.PolicyEntries {
	oracle.Must(err)
	return entries
}
