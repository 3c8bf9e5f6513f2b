// A container of the tests' cluster (tests/cluster/node): serves TCP and UDP ports, calls others, and says of each call
// what came of it, a line each: "<unix seconds> ok|fail <target> [why]". The same program is the pause container.
//
//	workload -serve 8080/tcp,5300/udp -call web.shop:80/tcp,10.0.0.1:53/udp -every 1s
//	workload -call db.shop:5432/tcp -keep       one connection for all calls, as a pool has it
//	workload -call feed.shop:80/tcp -times 3    ends with 0 after three good calls (a Job)
//	workload -pause
package main

import (
	"bufio"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const patience = 2 * time.Second

func main() {
	serve := flag.String("serve", "", "ports")
	call := flag.String("call", "", "targets")
	every := flag.Duration("every", time.Second, "time between two calls of a target")
	keep := flag.Bool("keep", false, "one connection for all calls of a target")
	times := flag.Int("times", 0, "end after so many good calls of each target")
	within := flag.Duration("within", 0, "end with 1 if -times is not reached in this time")
	pause := flag.Bool("pause", false, "only wait for the end")
	flag.Parse()
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	if !*pause {
		for _, port := range split(*serve) {
			listen(port)
		}
		done := make(chan bool)
		targets := split(*call)
		for _, target := range targets {
			go caller{target: target, every: *every, keep: *keep, times: *times}.run(done)
		}
		if *times > 0 {
			var late <-chan time.Time
			if *within > 0 {
				late = time.After(*within)
			}
			for range targets {
				select {
				case <-done:
				case <-late:
					os.Exit(1)
				}
			}
			return
		}
	}
	<-end
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// "8080/tcp" as "8080" and "tcp".
func protocol(text string) (string, string) {
	name, protocol, _ := strings.Cut(text, "/")
	return name, protocol
}

func listen(text string) {
	port, protocol := protocol(text)
	if protocol == "udp" {
		socket, err := net.ListenPacket("udp", ":"+port)
		must(err)
		go answerDatagrams(socket)
		return
	}
	listener, err := net.Listen("tcp", ":"+port)
	must(err)
	go func() {
		for {
			connection, err := listener.Accept()
			must(err)
			go answerLines(connection)
		}
	}()
}

func answerDatagrams(socket net.PacketConn) {
	buffer := make([]byte, 1500)
	for {
		count, from, err := socket.ReadFrom(buffer)
		if err == nil {
			socket.WriteTo(buffer[:count], from)
		}
	}
}

// Answers each line with the address that it came from.
func answerLines(connection net.Conn) {
	defer connection.Close()
	lines := bufio.NewScanner(connection)
	for lines.Scan() {
		fmt.Fprintln(connection, connection.RemoteAddr())
	}
}

type caller struct {
	target string
	every  time.Duration
	keep   bool
	times  int
	kept   net.Conn
}

func (c caller) run(done chan<- bool) {
	for good := 0; c.times == 0 || good < c.times; {
		begun := time.Now()
		if err := c.call(); err != nil {
			fmt.Printf("%d fail %s %v\n", begun.Unix(), c.target, err)
		} else {
			good++
			fmt.Printf("%d ok %s\n", begun.Unix(), c.target)
		}
		if rest := c.every - time.Since(begun); rest > 0 {
			time.Sleep(rest)
		}
	}
	done <- true
}

func (c *caller) call() error {
	connection := c.kept
	if connection == nil {
		where, protocol := protocol(c.target)
		dialed, err := net.DialTimeout(protocol, where, patience)
		if err != nil {
			return err
		}
		connection = dialed
	}
	connection.SetDeadline(time.Now().Add(patience))
	_, err := fmt.Fprintln(connection, "hello")
	if err == nil {
		_, err = bufio.NewReader(connection).ReadString('\n')
	}
	c.kept = nil
	if c.keep && err == nil {
		c.kept = connection
	} else {
		connection.Close()
	}
	return err
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
