package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"

	"nanoseg.dev/tests/oracle"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/apimachinery/pkg/util/httpstream/spdy"
	"k8s.io/apimachinery/pkg/util/remotecommand"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// execServer is the part of an API server that runs commands in pods. The only command is `agnhost connect`.
type execServer struct {
	config    *rest.Config
	clientSet kubernetes.Interface
}

func serve(c *cluster, plugin *asker) execServer {
	handler := http.NewServeMux()
	handler.HandleFunc("POST /api/v1/namespaces/{namespace}/pods/{pod}/exec", func(w http.ResponseWriter, r *http.Request) {
		probe, to := parse(r.URL.Query()["command"])
		allowed := plugin.allows(c.question(r.PathValue("namespace"), r.PathValue("pod"), probe, to))
		answer(w, r, allowed)
	})
	config := &rest.Config{Host: httptest.NewServer(handler).URL}
	clientSet, err := kubernetes.NewForConfig(config)
	oracle.Must(err)
	return execServer{config, clientSet}
}

// parse reads `/agnhost connect --timeout=3s --protocol=tcp 10.244.0.1:80`.
func parse(command []string) (oracle.Probe, netip.Addr) {
	if len(command) != 5 || command[1] != "connect" {
		panic(fmt.Sprint("another command than agnhost connect: ", command))
	}
	protocol := strings.ToUpper(strings.TrimPrefix(command[3], "--protocol="))
	to := netip.MustParseAddrPort(command[4])
	return oracle.Probe{Protocol: protocol, Port: int(to.Port())}, to.Addr()
}

// answer writes what agnhost writes: nothing, or TIMEOUT on standard error and exit code 1.
func answer(w http.ResponseWriter, r *http.Request, allowed bool) {
	_, err := httpstream.Handshake(r, w, []string{remotecommand.StreamProtocolV4Name})
	oracle.Must(err)
	streams := make(chan httpstream.Stream, 3)
	accept := func(stream httpstream.Stream, replied <-chan struct{}) error {
		go func() {
			<-replied
			streams <- stream
		}()
		return nil
	}
	connection := spdy.NewResponseUpgrader().UpgradeResponse(w, r, accept)
	if connection == nil {
		return
	}
	defer connection.Close()
	byType := map[string]httpstream.Stream{}
	for range 3 { // error, stdout, stderr
		stream := <-streams
		byType[stream.Headers().Get(core.StreamType)] = stream
	}
	status := meta.Status{Status: meta.StatusSuccess}
	if !allowed {
		fmt.Fprintln(byType[core.StreamTypeStderr], "TIMEOUT")
		status = failed()
	}
	for _, kind := range []string{core.StreamTypeStdout, core.StreamTypeStderr} {
		byType[kind].Close()
	}
	oracle.Must(json.NewEncoder(byType[core.StreamTypeError]).Encode(status))
	byType[core.StreamTypeError].Close()
	<-connection.CloseChan()
}

func failed() meta.Status {
	return meta.Status{
		Status:  meta.StatusFailure,
		Reason:  remotecommand.NonZeroExitCodeReason,
		Message: "command terminated with non-zero exit code",
		Details: &meta.StatusDetails{Causes: []meta.StatusCause{{Type: remotecommand.ExitCodeCauseType, Message: "1"}}},
	}
}
