package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"sluice/gateway/config"
	"sluice/gateway/gatewaytest"
)

// What concerns a whole process is tested in one of its own: this test binary
// again, which finds in this variable what it is to be.
const childVariable = "GATEWAY_TEST_CHILD"

// runChild serves a gateway until its standard input ends. A byte there begins
// the drain, which the end of the input cuts short.
func runChild(kind string) int {
	cfg := gatewaytest.Config()
	cfg.Loops = 2
	cfg.Drain = config.Drain{Timeout: config.Duration(patience)}
	switch kind {
	case "few descriptors":
		few := unix.Rlimit{Cur: fewDescriptors, Max: fewDescriptors}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		cfg.Limits.Connections = 1 << 20 // as many as there can be
	case "inherited":
		os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
		os.Setenv("LISTEN_FDS", "1")
	case "inherited and slow to leave":
		os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
		os.Setenv("LISTEN_FDS", "1")
		cfg.Drain = config.Drain{Delay: config.Duration(time.Hour), Timeout: config.Duration(2 * time.Hour)}
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	g, err := New(options(cfg, prometheus.NewRegistry(), log))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if kind == "few descriptors" {
		defer occupy()() // let it run into the wall, which it would keep away from
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve() }()
	log.Info("listening", "addr", g.Addr().String())
	begun, _ := os.Stdin.Read(make([]byte, 1))
	drained := make(chan error, 1)
	go func() { drained <- g.Shutdown(context.Background()) }()
	if begun > 0 { // what ends now is the drain
		io.Copy(io.Discard, os.Stdin)
		g.Close()
	}
	if err := <-drained; err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := <-served; !errors.Is(err, ErrClosed) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

const fewDescriptors = 64

// occupy takes all descriptors but a few, and returns what frees them.
func occupy() func() {
	var taken []int
	for {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			break
		}
		taken = append(taken, fd)
	}
	const left = 6
	for _, fd := range taken[len(taken)-left:] {
		unix.Close(fd)
	}
	return func() {
		for _, fd := range taken[:len(taken)-left] {
			unix.Close(fd)
		}
	}
}

// child is a gateway that is this test binary again.
type child struct {
	*gatewaytest.Process
	addr  string
	stdin io.WriteCloser
}

func spawn(t *testing.T, kind string, files ...*os.File) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+kind)
	cmd.ExtraFiles = files
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := gatewaytest.Spawn(t, cmd)
	return &child{p, p.Log.Await(t, "listening").Text("addr"), stdin}
}

// end lets the child drain, which must succeed.
func (c *child) end(t *testing.T) {
	t.Helper()
	c.stdin.Close()
	if status := c.AwaitExit(t); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// Out of descriptors, newcomers are told so, sessions go on, and the process
// does not spin.
func TestNewcomersGet503WhenDescriptorsRunOut(t *testing.T) {
	node := spawn(t, "few descriptors")
	first := connectTo(t, node.addr)
	first.say(request("/"))
	first.wantStatus(http.StatusSwitchingProtocols)

	refused, held := 0, []*peer{}
	for range 3 * fewDescriptors {
		p := connectTo(t, node.addr)
		p.say(request("/"))
		resp, err := http.ReadResponse(p.r, nil)
		if err != nil {
			t.Fatalf("after %d sessions and %d refusals: %v", len(held), refused, err)
		}
		switch resp.StatusCode {
		case http.StatusSwitchingProtocols:
			held = append(held, p)
		case http.StatusServiceUnavailable:
			refused++
			if resp.Header.Get("Retry-After") == "" {
				t.Fatal("503 without Retry-After")
			}
		default:
			t.Fatalf("status %d", resp.StatusCode)
		}
	}
	if refused == 0 || len(held) > fewDescriptors {
		t.Fatalf("%d sessions and %d refusals with %d descriptors", len(held), refused, fewDescriptors)
	}
	first.send(text("still served"))
	first.want(ws.OpText, "still served")

	for _, p := range held {
		p.Close()
	}
	eventually(t, "newcomers are welcome again", func() bool {
		p := connectTo(t, node.addr)
		defer p.Close()
		p.say(request("/"))
		resp, err := http.ReadResponse(p.r, nil)
		return err == nil && resp.StatusCode == http.StatusSwitchingProtocols
	})
	first.send(closeFrame(ws.StatusNormalClosure))
	first.wantClose(ws.StatusNormalClosure)
	node.end(t)
}

// A listening socket that the service manager hands in is served by all
// loops, and stays open behind the process.
func TestSocketThatWasHandedInIsServed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	file, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	node := spawn(t, "inherited", file)
	if node.addr != ln.Addr().String() {
		t.Fatalf("serves %s, not %s", node.addr, ln.Addr())
	}
	for i := range 50 {
		p := connectTo(t, node.addr)
		p.say(request("/"))
		p.wantStatus(http.StatusSwitchingProtocols)
		p.send(text(fmt.Sprint(i)))
		p.want(ws.OpText, fmt.Sprint(i))
		p.send(closeFrame(ws.StatusNormalClosure))
		p.wantClose(ws.StatusNormalClosure)
	}
	node.end(t)
	late := connectTo(t, node.addr) // the queue is still there, for the next process
	defer late.Close()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// A node whose successor may be there already leaves newcomers to it at once,
// for as long as the node itself is there.
func TestSocketThatWasHandedInIsLeftToTheSuccessorAtOnce(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	file, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	node := spawn(t, "inherited and slow to leave", file)
	const health = "GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n"
	watcher, session := connectTo(t, node.addr), connectTo(t, node.addr)
	watcher.say(health)
	watcher.wantBody(http.StatusOK, "ok\n")
	session.say(request("/"))
	session.wantStatus(http.StatusSwitchingProtocols)
	if _, err := node.stdin.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node is not ready", func() bool {
		watcher.say(health)
		resp, err := http.ReadResponse(watcher.r, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		return resp.StatusCode == http.StatusServiceUnavailable
	})
	for i := range 20 {
		p := connectTo(t, node.addr)
		p.say(request("/"))
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "served by the successor: %d\n", i)
		if got, err := p.r.ReadString('\n'); err != nil || got != fmt.Sprintf("served by the successor: %d\n", i) {
			t.Fatalf("newcomer %d got %q, %v", i, got, err)
		}
		c.Close()
		p.Close()
	}
	session.send(text("still served"))
	session.want(ws.OpText, "still served")
	session.Close()
	watcher.Close()
	node.end(t) // nobody was there to be cut off
}
