package deploy_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sluice/gateway/gatewaytest"

	"github.com/coder/websocket"
)

// prometheus runs a server with the rules, quicker ones: an alert that waits for
// minutes would be waited for by the test.
func prometheus(t *testing.T, target string, flags ...string) (address string) {
	t.Helper()
	server := gatewaytest.Program(t, "prometheus")
	folder := t.TempDir()
	runbooks, err := filepath.Abs("runbooks")
	if err != nil {
		t.Fatal(err)
	}
	quick := strings.NewReplacer("[1m]", "[4s]", "[2m]", "[8s]", "[5m]", "[15s]", "[10m]", "[15s]",
		"for: 15s", "for: 1s", "for: 1m", "for: 1s", "for: 2m", "for: 1s", "for: 5m", "for: 1s", "for: 10m", "for: 1s")
	write(t, filepath.Join(folder, "rules.yaml"), quick.Replace(read(t, "prometheus/rules.yaml")))
	write(t, filepath.Join(folder, "prometheus.yaml"), fmt.Sprintf(`
global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}
rule_files: [rules.yaml]
scrape_configs: [{job_name: sluice, static_configs: [{targets: [%q]}]}]
`, target))
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = probe.Addr().String()
	probe.Close()

	cmd := exec.Command(server, append(flags, "--config.file="+folder+"/prometheus.yaml", "--storage.tsdb.path="+folder+"/data",
		"--web.listen-address="+address, "--web.user-assets="+filepath.Dir(runbooks), "--log.level=error")...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	gatewaytest.Eventually(t, "prometheus is ready", func() bool {
		_, err := fetch("http://" + address + "/-/ready")
		return err == nil
	})
	return address
}

// awaitAlert waits until an alert fires, and looks whether its runbook is there.
func awaitAlert(t *testing.T, address, name string) {
	t.Helper()
	gatewaytest.Eventually(t, name, func() bool {
		var answer struct {
			Data struct {
				Alerts []struct {
					State               string
					Labels, Annotations map[string]string
				}
			}
		}
		if err := json.Unmarshal([]byte(get(t, "http://"+address+"/api/v1/alerts")), &answer); err != nil {
			t.Fatal(err)
		}
		for _, a := range answer.Data.Alerts {
			if a.Labels["alertname"] != name || a.State != "firing" {
				continue
			}
			_, path, _ := strings.Cut(a.Annotations["runbook_url"], "/user/")
			if page := get(t, "http://"+address+"/user/"+path); !strings.HasPrefix(page, "# "+name+"\n") {
				t.Errorf("the runbook of %s begins with %.40q", name, page)
			}
			return true
		}
		return false
	})
}

func TestAlertsFireWhenItHappens(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Launch(t, fmt.Sprintf(`
drain: {delay: 0s, window: 10m, timeout: 20m}
limits: {queue_age: 500ms}
hubs:
  default: {upstream: {url: "echo:"}, anonymous: true}
  chat:
    anonymous: true
    upstream: {url: %q, events: ["*"], budget: 30s, breaker: {attempts: 2, window: 5s}}
`, backend(t, 503).URL))
	p := prometheus(t, g.Admin)
	gatewaytest.Eventually(t, "a first scrape", func() bool {
		return strings.Contains(get(t, "http://"+p+"/api/v1/query?query=sluice_connections"), `"hub":"chat"`)
	})

	// Prometheus has seen the counters before they move.
	for range 15 {
		flood(t, connect(t, g, "default"))
	}
	awaitAlert(t, p, "SluiceSlowConsumers")

	for range 3 {
		gatewaytest.Send(t, connect(t, g, "chat"), websocket.MessageText, "hello")
	}
	awaitAlert(t, p, "SluiceUpstreamBreakerOpen")

	g.Signal(t, syscall.SIGTERM)
	awaitAlert(t, p, "SluiceDrainStuck")

	g.Signal(t, syscall.SIGKILL)
	awaitAlert(t, p, "SluiceDown")
}

// flood sends more than fits into the buffers on the way back, and reads
// nothing, until the gateway or the test has had enough.
func flood(t *testing.T, conn *websocket.Conn) {
	t.Helper()
	done := make(chan struct{})
	t.Cleanup(func() { <-done })
	go func() {
		defer close(done)
		message := make([]byte, 256<<10)
		for conn.Write(t.Context(), websocket.MessageBinary, message) == nil {
		}
	}()
}
