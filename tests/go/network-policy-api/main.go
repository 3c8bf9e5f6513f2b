// Program network-policy-api runs the conformance suite of sigs.k8s.io/network-policy-api, unchanged, on a cluster that is not
// there: objects are kept in memory, and whether a connection succeeds is asked of whoever started the program. For
// each connection it prints a case (see package oracle) and reads a verdict, 0 or 1, on a line. At the
// end it prints which tests passed.
package main

import (
	"encoding/json"
	"flag"
	"os"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	"nanoseg.dev/tests/oracle"
	"sigs.k8s.io/network-policy-api/conformance/tests"
	"sigs.k8s.io/network-policy-api/conformance/utils/config"
	"sigs.k8s.io/network-policy-api/conformance/utils/suite"
)

// Result is what became of one test of the suite.
type Result struct {
	Name        string `json:"name"`
	Passed      bool   `json:"passed"`
	Connections int    `json:"connections"`
}

func main() {
	testing.Init()
	flag.Parse()
	output := json.NewEncoder(os.Stdout)
	os.Stdout = os.Stderr // of the testing package
	plugin := &asker{input: json.NewDecoder(os.Stdin), output: output}
	cluster := newCluster()
	server := serve(cluster, plugin)
	conformance := suite.New(suite.Options{
		Client:                     cluster.client,
		ClientSet:                  server.clientSet,
		KubeConfig:                 *server.config,
		EnableAllSupportedFeatures: true,
		// Nodes by their labels: said as not judged. Without this the tests wait in vain.
		ExemptFeatures:            sets.New(suite.SupportClusterNetworkPolicyEgressNodePeers),
		HostNetworkPortRangeStart: hostPorts,
		HostNetworkPortRangeEnd:   hostPorts + 7,
		// Verdicts are there at once. The time is for a busy machine; only a test that fails uses it up.
		TimeoutConfig: config.TimeoutConfig{PokeInterval: 5 * time.Millisecond, PokeTimeout: 10 * time.Second},
	})
	results := []Result{}
	all := []testing.InternalTest{{Name: "Setup", F: conformance.Setup}}
	for _, test := range tests.ConformanceTests {
		all = append(all, testing.InternalTest{Name: test.ShortName, F: func(t *testing.T) {
			before := plugin.asked
			defer func() {
				results = append(results, Result{test.ShortName, !t.Failed() && !t.Skipped(), plugin.asked - before})
			}()
			test.Run(t, conformance)
		}})
	}
	all = append(all, testing.InternalTest{Name: "Results", F: func(*testing.T) {
		oracle.Must(output.Encode(map[string]any{"results": results}))
	}})
	testing.Main(func(string, string) (bool, error) { return true, nil }, all, nil, nil)
}

// asker asks for verdicts, one at a time.
type asker struct {
	lock   sync.Mutex
	input  *json.Decoder
	output *json.Encoder
	asked  int
}

func (a *asker) allows(one oracle.Case) bool {
	a.lock.Lock()
	defer a.lock.Unlock()
	a.asked++
	oracle.Must(a.output.Encode(one))
	var verdict int
	oracle.Must(a.input.Decode(&verdict))
	return verdict == 1
}
