// Package oracle is what the oracles of tests/it/oracle have in common: one case in on a line, one answer out on a line.
package oracle

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
)

// Case is a cluster, policies, and the connections that are asked for.
type Case struct {
	Namespaces []Namespace `json:"namespaces,omitempty"`
	Nodes      []Node      `json:"nodes,omitempty"`
	Pods       []Pod       `json:"pods,omitempty"`
	// Outside are addresses that no pod owns; a node's address may be among them.
	Outside []netip.Addr `json:"outside,omitempty"`
	// Policies are objects as an API server has them, with apiVersion and kind.
	Policies []json.RawMessage `json:"policies,omitempty"`
	// Pairs are client and server: an index into Pods, and after them into Outside.
	Pairs  [][2]int `json:"pairs,omitempty"`
	Probes []Probe  `json:"probes,omitempty"`
	// Options are settings of the plugin, by the names of its own configuration.
	Options map[string][]string `json:"options,omitempty"`
}

// Namespace has the label kubernetes.io/metadata.name among its labels.
type Namespace struct {
	Name   string            `json:"name,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
}

// Node has a name and all its addresses.
type Node struct {
	Name      string            `json:"name,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Addresses []netip.Addr      `json:"addresses,omitempty"`
}

// Pod has its node's addresses if it is on the host network.
type Pod struct {
	Namespace   string            `json:"namespace,omitempty"`
	Name        string            `json:"name,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Node        string            `json:"node,omitempty"`
	HostNetwork bool              `json:"hostNetwork,omitempty"`
	Addresses   []netip.Addr      `json:"addresses,omitempty"`
	Ports       []Port            `json:"ports,omitempty"`
}

// Port is a container port with a name.
type Port struct {
	Name     string `json:"name,omitempty"`
	Protocol string `json:"protocol,omitempty"`
	Number   int    `json:"number,omitempty"`
}

// Probe is a protocol (TCP, UDP or SCTP) and the server's port.
type Probe struct {
	Protocol string `json:"protocol,omitempty"`
	Port     int    `json:"port,omitempty"`
}

// End is one end of a pair: a pod, or an address.
type End struct {
	Index int
	// Pod is nil for an address that no pod owns.
	Pod       *Pod
	Addresses []netip.Addr
	// Node is the name of the node that has the address; empty for others and for pods with an own network.
	Node string
}

// Verdict is what an oracle says of one probe of one pair.
type Verdict byte

const (
	// Denied means that the policies deny it.
	Denied Verdict = '0'
	// Allowed means that the policies allow it.
	Allowed Verdict = '1'
	// NotJudged means that the project's own code does not judge this probe; it returns an error or has no notion of it.
	NotJudged Verdict = '?'
)

// Of returns the verdict for a plain answer.
func Of(allowed bool) Verdict {
	if allowed {
		return Allowed
	}
	return Denied
}

// Judge says whether client may open the probe's connection to server.
type Judge func(client, server End, probe Probe) Verdict

// Namespace returns the namespace of this name.
func (c *Case) Namespace(name string) *Namespace {
	for i := range c.Namespaces {
		if c.Namespaces[i].Name == name {
			return &c.Namespaces[i]
		}
	}
	panic("no namespace " + name)
}

// End returns the end with this index.
func (c *Case) End(index int) End {
	if index < len(c.Pods) {
		pod := &c.Pods[index]
		end := End{Index: index, Pod: pod, Addresses: pod.Addresses}
		if pod.HostNetwork {
			end.Node = pod.Node
		}
		return end
	}
	address := c.Outside[index-len(c.Pods)]
	end := End{Index: index, Addresses: []netip.Addr{address}}
	for _, node := range c.Nodes {
		for _, own := range node.Addresses {
			if own == address {
				end.Node = node.Name
			}
		}
	}
	return end
}

// Kind returns apiVersion and kind of a policy, as apiVersion/kind.
func Kind(policy json.RawMessage) string {
	var kind struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	Must(json.Unmarshal(policy, &kind))
	return kind.APIVersion + "/" + kind.Kind
}

// Must panics with an error; the answer says it.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}

type answer struct {
	// Verdicts are one character for each probe of each pair, in their order.
	Verdicts string `json:"verdicts,omitempty"`
	Error    string `json:"error,omitempty"`
}

// Serve answers every case of standard input on standard output. prepare makes the judge of one case.
func Serve(prepare func(*Case) Judge) {
	input := bufio.NewReaderSize(os.Stdin, 1<<20)
	output := json.NewEncoder(os.Stdout)
	decoder := json.NewDecoder(input)
	for decoder.More() {
		var one Case
		if err := decoder.Decode(&one); err != nil {
			Must(output.Encode(answer{Error: err.Error()}))
			return
		}
		Must(output.Encode(judged(&one, prepare)))
	}
}

func judged(one *Case, prepare func(*Case) Judge) (result answer) {
	defer func() {
		if problem := recover(); problem != nil {
			result = answer{Error: fmt.Sprint(problem)}
		}
	}()
	judge := prepare(one)
	verdicts := make([]byte, 0, len(one.Pairs)*len(one.Probes))
	for _, pair := range one.Pairs {
		client, server := one.End(pair[0]), one.End(pair[1])
		for _, probe := range one.Probes {
			verdicts = append(verdicts, byte(judge(client, server, probe)))
		}
	}
	return answer{Verdicts: string(verdicts)}
}
