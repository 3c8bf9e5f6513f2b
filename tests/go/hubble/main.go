// A Hubble server for tests: Cilium's own generated code, answering GetFlows with the recorded events of files.
//
// It prints "listening ADDRESS" when it does, ends when its standard input ends, and serves every call the
// same: the responses of all files in their order, and then, for a follower, nothing until it goes away.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/cilium/cilium/api/v1/flow"
	"github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
)

var (
	listen      = flag.String("listen", "127.0.0.1:0", "address to listen on, or unix:PATH")
	certificate = flag.String("cert", "", "certificate of the server (PEM); without it there is no TLS")
	key         = flag.String("key", "", "its key (PEM)")
	clientCA    = flag.String("client-ca", "", "clients must have a certificate of this authority (PEM)")
	breakOnce   = flag.Int("break-after", 0, "break the first call after so many responses")
	allNodes    = flag.Bool("all-nodes", false, "send the flows of all nodes, whichever are asked for")
)

// replay serves recorded responses.
type replay struct {
	observer.UnimplementedObserverServer
	responses []*observer.GetFlowsResponse
	// requests tells the requests as they come.
	requests io.Writer
	// breakAfter holds after how many responses a call breaks; later calls find nothing in it.
	breakAfter chan int
}

func (r *replay) GetFlows(request *observer.GetFlowsRequest, stream observer.Observer_GetFlowsServer) error {
	asked, err := protojson.Marshal(request)
	if err != nil {
		return err
	}
	fmt.Fprintf(r.requests, "request %s\n", asked)
	breakAfter := -1
	select {
	case breakAfter = <-r.breakAfter:
	default:
	}
	for index, response := range r.responses {
		if index == breakAfter {
			return status.Error(codes.Unavailable, "broken on purpose")
		}
		if since := request.GetSince(); since != nil && response.GetTime().AsTime().Before(since.AsTime()) {
			continue
		}
		if !*allNodes && !wanted(request.GetWhitelist(), response.GetFlow()) {
			continue
		}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
	if request.GetFollow() {
		<-stream.Context().Done()
	}
	return nil
}

// wanted tells whether one of the filters names the node of a flow, as Cilium's pkg/hubble/filters/nodename.go does for
// names without wildcards.
func wanted(filters []*flow.FlowFilter, seen *flow.Flow) bool {
	if len(filters) == 0 || seen == nil {
		return true
	}
	_, node, hasCluster := strings.Cut(seen.GetNodeName(), "/")
	if !hasCluster {
		node = seen.GetNodeName()
	}
	for _, filter := range filters {
		if slices.Contains(filter.GetNodeName(), node) || slices.Contains(filter.GetNodeName(), seen.GetNodeName()) {
			return true
		}
	}
	return false
}

func read(path string) ([]*observer.GetFlowsResponse, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	var responses []*observer.GetFlowsResponse
	for lines.Scan() {
		response := new(observer.GetFlowsResponse)
		if err := protojson.Unmarshal(lines.Bytes(), response); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, len(responses)+1, err)
		}
		responses = append(responses, response)
	}
	return responses, lines.Err()
}

func transport() ([]grpc.ServerOption, error) {
	if *certificate == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(*certificate, *key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
	if *clientCA != "" {
		pem, err := os.ReadFile(*clientCA)
		if err != nil {
			return nil, err
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("there is no certificate in " + *clientCA)
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return []grpc.ServerOption{grpc.Creds(credentials.NewTLS(config))}, nil
}

func main() {
	flag.Parse()
	server := &replay{requests: os.Stdout, breakAfter: make(chan int, 1)}
	if *breakOnce > 0 {
		server.breakAfter <- *breakOnce
	}
	for _, path := range flag.Args() {
		responses, err := read(path)
		if err != nil {
			log.Fatal(err)
		}
		server.responses = append(server.responses, responses...)
	}
	options, err := transport()
	if err != nil {
		log.Fatal(err)
	}
	network, address := "tcp", *listen
	if path, isSocket := strings.CutPrefix(address, "unix:"); isSocket {
		network, address = "unix", path
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		log.Fatal(err)
	}
	serving := grpc.NewServer(options...)
	observer.RegisterObserverServer(serving, server)
	go func() {
		// Whoever started this is gone.
		_, _ = io.Copy(io.Discard, os.Stdin)
		serving.Stop()
	}()
	if network == "unix" {
		fmt.Printf("listening unix:%s\n", listener.Addr())
	} else {
		fmt.Printf("listening %s\n", listener.Addr())
	}
	if err := serving.Serve(listener); err != nil {
		log.Fatal(err)
	}
}
