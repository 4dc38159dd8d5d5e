package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// gateway is a running child process on ports of its own.
type gateway struct {
	address string // host:port for clients
	admin   string // host:port of the private listener
	file    string // its configuration
	log     *journal
	process *os.Process
	exited  chan struct{} // closed behind status
	status  int           // exit status, -1 after a signal
}

// start runs the gateway with a configuration file of this text, and waits
// until it listens. The test's end ends it.
func start(t *testing.T, yaml string) *gateway {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	return launch(t, file, yaml, exec.Command("sluice", "-config", file))
}

// bothSizes runs test with one loop and with four, side by side: these tests
// mostly wait. loops is a line of the configuration.
func bothSizes(t *testing.T, test func(t *testing.T, loops string)) {
	for _, n := range []int{1, 4} {
		t.Run(fmt.Sprintf("%d loops", n), func(t *testing.T) {
			t.Parallel()
			test(t, fmt.Sprintf("loops: %d\n", n))
		})
	}
}

// launch is start with a command of the caller's, which reads file.
func launch(t *testing.T, file, yaml string, cmd *exec.Cmd) *gateway {
	t.Helper()
	g := &gateway{
		file:   file,
		log:    newJournal(),
		exited: make(chan struct{}),
	}
	g.configure(t, yaml)
	cmd.Env = append(os.Environ(), "SLUICE_LISTEN=127.0.0.1:0", "SLUICE_ADMIN_LISTEN=127.0.0.1:0")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	g.process = cmd.Process
	go g.attend(cmd, stderr)
	t.Cleanup(func() { g.end(t) })
	g.address = g.log.await(t, "listening").text("addr")
	g.admin = g.log.await(t, "admin listening").text("addr")
	return g
}

// attend reads the log to its end, then reaps the process.
func (g *gateway) attend(cmd *exec.Cmd, stderr io.Reader) {
	g.log.read(stderr)
	cmd.Wait()
	g.status = cmd.ProcessState.ExitCode()
	close(g.exited)
}

// end kills what still runs. A data race that the gateway's race detector has
// seen fails the test, and a failed test shows the log.
func (g *gateway) end(t *testing.T) {
	g.process.Kill() // an error only says that it has ended
	<-g.exited
	if text := g.log.text(); strings.Contains(text, "DATA RACE") {
		t.Errorf("data race in the gateway:\n%s", text)
	} else if t.Failed() {
		t.Logf("log of the gateway:\n%s", text)
	}
}

// configure writes the configuration file.
func (g *gateway) configure(t *testing.T, yaml string) {
	t.Helper()
	if err := os.WriteFile(g.file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (g *gateway) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := g.process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// awaitExit returns the exit status, -1 after a signal.
func (g *gateway) awaitExit(t *testing.T) int {
	t.Helper()
	select {
	case <-g.exited:
		return g.status
	case <-time.After(patience):
		t.Fatal("the gateway did not exit")
		return 0
	}
}

func (g *gateway) url() string { return "ws://" + g.address + "/" }

// dial connects a client that the test's end cuts off.
func (g *gateway) dial(t *testing.T, o *websocket.DialOptions) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, response, err := websocket.Dial(ctx, g.url(), o)
	if err == nil {
		t.Cleanup(func() { conn.CloseNow() })
	}
	return conn, response, err
}

// connect is a dial that must succeed.
func (g *gateway) connect(t *testing.T, o *websocket.DialOptions) *websocket.Conn {
	t.Helper()
	conn, _, err := g.dial(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// mustEcho sends a text and expects it back.
func mustEcho(t *testing.T, conn *websocket.Conn, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
	_, got, err := conn.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != text {
		t.Fatalf("echo is %q, want %q", got, text)
	}
}

// get asks over HTTP and returns status and body.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// closeOf reads until the connection ends, and returns the close frame.
func closeOf(t *testing.T, conn *websocket.Conn) websocket.CloseError {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		_, _, err := conn.Read(ctx)
		if closed := (websocket.CloseError{}); errors.As(err, &closed) {
			return closed
		}
		if err != nil {
			t.Fatalf("the connection ended without a close frame: %v", err)
		}
	}
}
