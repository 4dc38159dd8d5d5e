package webhook

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// backendVariable makes the test binary a backend.
const backendVariable = "SLUICE_TEST_BACKEND"

// runBackend is a backend that costs next to nothing, in a process of its own,
// so that a benchmark's CPU time is the client's alone. It answers every
// request 204 until standard input ends.
func runBackend() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveRequests(c)
		}
	}()
	io.Copy(io.Discard, os.Stdin)
}

// serveRequests takes what ends in the benchmark's body for a request.
func serveRequests(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	answer := []byte(noContent)
	for {
		if _, err := in.ReadSlice(benchmarkBody[len(benchmarkBody)-1]); err != nil {
			return
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

// benchmarkBody has 128 bytes and ends in one that is in no head.
var benchmarkBody = append(bytes.Repeat([]byte("x"), 127), 0xff)

// startBackend runs the test binary as a backend for the time of the benchmark.
func startBackend(b *testing.B) (url string) {
	b.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), backendVariable+"=1")
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		child.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return "http://" + strings.TrimSpace(address) + "/hooks/chat"
}
