package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"text/template"

	"nanoseg.dev/tests/oracle"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	api "sigs.k8s.io/network-policy-api/apis/v1beta1"
	"sigs.k8s.io/network-policy-api/conformance"
)

const hostPorts = 34345

// cluster keeps objects in memory. The pods of the suite's base manifests are there from the beginning, as if the
// StatefulSets' controller, a scheduler and a network plugin had been at work.
type cluster struct{ client client.Client }

func newCluster() *cluster {
	known := runtime.NewScheme()
	oracle.Must(scheme.AddToScheme(known))
	oracle.Must(api.Install(known))
	objects := nodes()
	next := 0
	for _, object := range baseObjects() {
		objects = append(objects, object)
		if set, isSet := object.(*apps.StatefulSet); isSet {
			set.Status.ReadyReplicas = *set.Spec.Replicas
			for replica := range int(*set.Spec.Replicas) {
				next++
				objects = append(objects, podOf(set, replica, next))
			}
		}
	}
	builder := fake.NewClientBuilder().WithScheme(known).WithObjects(objects...)
	return &cluster{builder.WithStatusSubresource(&apps.StatefulSet{}, &core.Pod{}).Build()}
}

func nodes() []client.Object {
	var all []client.Object
	for i := range 2 {
		address := core.NodeAddress{Type: core.NodeInternalIP, Address: nodeAddress(i)}
		all = append(all, &core.Node{
			ObjectMeta: meta.ObjectMeta{Name: nodeName(i), Labels: map[string]string{"kubernetes.io/os": "linux"}},
			Status:     core.NodeStatus{Addresses: []core.NodeAddress{address}},
		})
	}
	return all
}

func nodeName(index int) string    { return fmt.Sprintf("node-%d", index) }
func nodeAddress(index int) string { return fmt.Sprintf("172.18.0.%d", index+2) }

// baseObjects reads the manifests that the suite applies first.
func baseObjects() []client.Object {
	text, err := conformance.Manifests.ReadFile("base/manifests.yaml")
	oracle.Must(err)
	ports := []int{}
	for port := range 8 {
		ports = append(ports, hostPorts+port)
	}
	var filled bytes.Buffer
	parsed := template.Must(template.New("base").Parse(string(text)))
	oracle.Must(parsed.Execute(&filled, map[string]any{"HostNetworkPorts": ports}))
	documents := yaml.NewYAMLToJSONDecoder(&filled)
	var all []client.Object
	for {
		var raw json.RawMessage
		if err := documents.Decode(&raw); errors.Is(err, io.EOF) {
			return all
		} else {
			oracle.Must(err)
		}
		if string(raw) == "null" || len(raw) == 0 {
			continue
		}
		object, _, err := scheme.Codecs.UniversalDeserializer().Decode(raw, nil, nil)
		oracle.Must(err)
		if namespace, isNamespace := object.(*core.Namespace); isNamespace {
			namespace.Labels["kubernetes.io/metadata.name"] = namespace.Name // as the API server does
		}
		all = append(all, object.(client.Object))
	}
}

func podOf(set *apps.StatefulSet, replica, number int) *core.Pod {
	pod := &core.Pod{
		ObjectMeta: *set.Spec.Template.ObjectMeta.DeepCopy(),
		Spec:       *set.Spec.Template.Spec.DeepCopy(),
	}
	pod.Namespace = set.Namespace
	pod.Name = fmt.Sprintf("%s-%d", set.Name, replica)
	pod.Labels["statefulset.kubernetes.io/pod-name"] = pod.Name
	pod.Spec.NodeName = nodeName(replica)
	pod.Status.Phase = core.PodRunning
	pod.Status.HostIP = nodeAddress(replica)
	pod.Status.PodIP = fmt.Sprintf("10.244.%d.%d", replica, number)
	if pod.Spec.HostNetwork {
		pod.Status.PodIP = pod.Status.HostIP
	}
	pod.Status.PodIPs = []core.PodIP{{IP: pod.Status.PodIP}}
	return pod
}

// question is the state of the cluster with one connection from a pod to an address.
func (c *cluster) question(namespace, pod string, probe oracle.Probe, to netip.Addr) oracle.Case {
	one := oracle.Case{Probes: []oracle.Probe{probe}}
	c.addEnds(&one)
	c.addPolicies(&one)
	from, server := -1, -1
	for i := range one.Pods {
		if one.Pods[i].Namespace == namespace && one.Pods[i].Name == pod {
			from = i
		}
		if one.Pods[i].Addresses[0] == to {
			server = i
		}
	}
	if server < 0 {
		one.Outside = []netip.Addr{to}
		server = len(one.Pods)
	}
	one.Pairs = [][2]int{{from, server}}
	return one
}

func list[L client.ObjectList](c *cluster, into L) L {
	oracle.Must(c.client.List(context.Background(), into))
	return into
}

func (c *cluster) addEnds(one *oracle.Case) {
	for _, node := range list(c, &core.NodeList{}).Items {
		address := netip.MustParseAddr(node.Status.Addresses[0].Address)
		one.Nodes = append(one.Nodes, oracle.Node{Name: node.Name, Labels: node.Labels, Addresses: []netip.Addr{address}})
	}
	for _, namespace := range list(c, &core.NamespaceList{}).Items {
		labels := map[string]string{"kubernetes.io/metadata.name": namespace.Name}
		for key, value := range namespace.Labels {
			labels[key] = value
		}
		one.Namespaces = append(one.Namespaces, oracle.Namespace{Name: namespace.Name, Labels: labels})
	}
	for _, pod := range list(c, &core.PodList{}).Items {
		entry := oracle.Pod{
			Namespace: pod.Namespace, Name: pod.Name, Labels: pod.Labels, Node: pod.Spec.NodeName,
			HostNetwork: pod.Spec.HostNetwork, Addresses: []netip.Addr{netip.MustParseAddr(pod.Status.PodIP)},
		}
		for _, container := range pod.Spec.Containers {
			for _, port := range container.Ports {
				entry.Ports = append(entry.Ports, oracle.Port{
					Name: port.Name, Protocol: string(port.Protocol), Number: int(port.ContainerPort),
				})
			}
		}
		one.Pods = append(one.Pods, entry)
	}
}

func (c *cluster) addPolicies(one *oracle.Case) {
	for _, policy := range list(c, &networking.NetworkPolicyList{}).Items {
		policy.TypeMeta = meta.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"}
		one.Policies = append(one.Policies, marshalled(policy))
	}
	for _, policy := range list(c, &api.ClusterNetworkPolicyList{}).Items {
		policy.TypeMeta = meta.TypeMeta{APIVersion: api.GroupVersion.String(), Kind: "ClusterNetworkPolicy"}
		one.Policies = append(one.Policies, marshalled(policy))
	}
}

func marshalled(policy any) json.RawMessage {
	raw, err := json.Marshal(policy)
	oracle.Must(err)
	return raw
}
