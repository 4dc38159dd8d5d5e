package deploy_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
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
	address, admin string // host:port for clients, and of the private listener
	process        *os.Process
}

// start runs the gateway with a configuration file of this text, and waits
// until it listens. env is added to its environment. The test's end kills it.
func start(t *testing.T, yaml string, env ...string) *gateway {
	t.Helper()
	cmd := exec.Command(sluice, "-config", write(t, filepath.Join(t.TempDir(), "sluice.yaml"), yaml))
	cmd.Env = append(os.Environ(), "SLUICE_LISTEN=127.0.0.1:0", "SLUICE_ADMIN_LISTEN=127.0.0.1:0")
	cmd.Env = append(cmd.Env, env...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	g := &gateway{process: cmd.Process}
	log := bufio.NewScanner(stderr)
	var seen []string
	for g.admin == "" && log.Scan() {
		seen = append(seen, log.Text())
		var line struct{ Msg, Addr string }
		json.Unmarshal(log.Bytes(), &line) // what is no JSON is not waited for
		switch line.Msg {
		case "listening":
			g.address = line.Addr
		case "admin listening":
			g.admin = line.Addr
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		io.Copy(io.Discard, stderr)
		cmd.Wait()
	}()
	t.Cleanup(func() {
		cmd.Process.Kill() // an error only says that it has ended
		<-ended
	})
	if g.admin == "" {
		t.Fatalf("the gateway does not listen:\n%s", strings.Join(seen, "\n"))
	}
	return g
}

// connect connects a client that the test's end cuts off.
func (g *gateway) connect(t *testing.T, hub string) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+g.address+"/client/hubs/"+hub, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseNow() })
	return conn
}

// send sends a message, and does not wait for an answer.
func send(t *testing.T, conn *websocket.Conn, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// backend answers every event with this status, and consents to be sent them.
func backend(t *testing.T, status int) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions {
			w.Header().Set("WebHook-Allowed-Origin", "*")
			return
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	return server
}

// get returns a page.
func get(t *testing.T, url string) string {
	t.Helper()
	page, err := fetch(url)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func fetch(url string) (string, error) {
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", url, response.Status)
	}
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// await asks until it is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	tries := time.NewTicker(50 * time.Millisecond)
	defer tries.Stop()
	late := time.After(patience)
	for !so() {
		select {
		case <-tries.C:
		case <-late:
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}
