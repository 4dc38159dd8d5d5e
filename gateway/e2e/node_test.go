package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"sluice/gateway/gatewaytest"
)

// foreign is the hub that clients of other makes try.
const foreign = `
hubs:
  default:
    paths: ["/"]
    upstream: {url: "echo:"}
    anonymous: true
    deflate: true
    subprotocols: [chat.v1, chat.v2]
    origins: [%q]
`

// node runs a script of testdata, which must exit with 0.
func node(t *testing.T, script string, args ...string) {
	t.Helper()
	executable := gatewaytest.Program(t, "node")
	packages := modules(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, executable, append([]string{filepath.Join("testdata", script)}, args...)...)
	cmd.Env = append(os.Environ(), "NODE_PATH="+packages)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s %q: %v\n%s", script, args, err, output)
	}
}

func TestTheClientOfNodeIsServed(t *testing.T) {
	g := gatewaytest.Launch(t, fmt.Sprintf(foreign, "https://app.example"))
	for _, scenario := range []string{
		"plain", "deflate", "fragments", "ping", "close", "toobig", "subprotocol", "origin",
	} {
		t.Run(scenario, func(t *testing.T) { node(t, "client.js", scenario, g.URL()) })
	}
}

func TestAPageOfAListedOriginIsServedAndAnyOtherRefused(t *testing.T) {
	chromium := gatewaytest.Program(t, "chromium")
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>page</title>")
	})
	allowed, refused := httptest.NewServer(page), httptest.NewServer(page)
	defer allowed.Close()
	defer refused.Close()
	g := gatewaytest.Launch(t, fmt.Sprintf(foreign, allowed.URL))
	node(t, "browser.js", chromium, g.URL(), allowed.URL, refused.URL)
}
