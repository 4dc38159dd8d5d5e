package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"sluice/gateway/gatewaytest"

	"github.com/coder/websocket"
)

// proxied is what nginx's documentation says for WebSockets, with connections
// to the upstream that are kept alive. It listens on a socket in the folder.
const proxied = `
daemon off;
worker_processes 1;
pid %[1]s/pid;
events {}
http {
  access_log off;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  map $http_upgrade $connection_upgrade {
    default upgrade;
    ''      '';
  }
  upstream gateway {
    server %[2]s;
    keepalive 1;
  }
  server {
    listen unix:%[1]s/socket;
    location / {
      proxy_pass http://gateway;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
    }
  }
}
`

// startNginx puts nginx in front of the gateway and returns a client whose
// every connection goes there, whatever the host of a URL is.
func startNginx(t *testing.T, g *gatewaytest.Command) *http.Client {
	t.Helper()
	nginx := gatewaytest.Program(t, "nginx")
	folder, err := os.MkdirTemp("", "nginx-") // short: a socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil { // the worker is another user
		t.Fatal(err)
	}
	file := filepath.Join(folder, "nginx.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, proxied, folder, g.Address), 0o644); err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	cmd := exec.Command(nginx, "-p", folder, "-c", file, "-e", "stderr")
	cmd.Stderr = &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if t.Failed() {
			t.Logf("nginx said:\n%s", &output)
		}
	})
	socket := filepath.Join(folder, "socket")
	awaitSocket(t, socket)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// awaitSocket returns once somebody accepts at a path.
func awaitSocket(t *testing.T, path string) {
	t.Helper()
	tries := time.NewTicker(10 * time.Millisecond)
	defer tries.Stop()
	late := time.After(gatewaytest.Patience)
	for {
		conn, err := net.Dial("unix", path)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-tries.C:
		case <-late:
			t.Fatalf("nothing listens: %v", err)
		}
	}
}

func TestAnUpgradeBehindAPlainRequestOnTheSameConnectionOfNginxIsServed(t *testing.T) {
	g := gatewaytest.Launch(t, "")
	client := startNginx(t, g)
	for range 3 {
		response, err := client.Get("http://gateway.example/api/health")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Fatalf("health through nginx: %s", response.Status)
		}
	}

	ctx, cancel := context.WithTimeout(t.Context(), gatewaytest.Patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://gateway.example/", &websocket.DialOptions{
		HTTPClient: client,
		HTTPHeader: http.Header{"Origin": {"http://gateway.example"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	for i := range 10 {
		gatewaytest.Echo(t, conn, fmt.Sprintf("through nginx %d", i))
	}
	g.AwaitMetric(t, "sluice_connections", 1)
	g.AwaitMetric(t, "sluice_handshakes_total", 1, "result=ok") // counters follow at the next tick
	if accepted := g.Metric(t, "sluice_connections_accepted_total"); accepted != 1 {
		t.Errorf("nginx made %v connections, want the plain requests and the upgrade on one", accepted)
	}
	if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Errorf("close through nginx: %v", err)
	}
	g.AwaitMetric(t, "sluice_connections", 0)
}
