package gateway

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// What may import what. netpoll, session and metrics are leaves: they know no
// sibling. Everything of the product may know them, and within the product
// nobody but the node and the command knows the gateway itself.
func TestImportsFollowTheCard(t *testing.T) {
	allowed := map[string][]string{
		"sluice":                                        {"sluice/gateway", "sluice/gateway/..."},
		"sluice/netpoll":                                {},
		"sluice/netpoll/netpolltest":                    {"sluice/netpoll"},
		"sluice/gateway/golden":                         {},
		"sluice/session":                                {},
		"sluice/metrics":                                {},
		"sluice/gateway":                                {"sluice/gateway/...", "sluice/metrics", "sluice/netpoll", "sluice/session"},
		"sluice/gateway/admin":                          {"sluice/gateway/delivery"},
		"sluice/gateway/auth":                           {"sluice/gateway/name"},
		"sluice/gateway/config":                         {"sluice/gateway/auth", "sluice/gateway/name"},
		"sluice/gateway/descriptors":                    {"sluice/gateway/config"},
		"sluice/gateway/dial":                           {},
		"sluice/gateway/doctor":                         {"sluice/netpoll"},
		"sluice/gateway/engine":                         {"sluice/gateway/engine/transport", "sluice/gateway/handshake", "sluice/gateway/ordered", "sluice/metrics", "sluice/netpoll", "sluice/session"},
		"sluice/gateway/engine/transport":               {"sluice/netpoll", "sluice/session"},
		"sluice/gateway/engine/transport/transporttest": {"sluice/gateway/engine/transport", "sluice/netpoll", "sluice/session"},
		"sluice/gateway/gatewaytest":                    {"sluice/gateway/config"},
		"sluice/gateway/handshake":                      {},
		"sluice/gateway/dataplane":                      {"sluice/gateway/delivery", "sluice/gateway/name"},
		"sluice/gateway/delivery":                       {},
		"sluice/gateway/mutation":                       {"sluice/gateway/gatewaytest"},
		"sluice/gateway/name":                           {},
		"sluice/gateway/ordered":                        {},
		"sluice/gateway/node":                           {"sluice/gateway", "sluice/gateway/...", "sluice/metrics", "sluice/netpoll", "sluice/session"},
		"sluice/gateway/notify":                         {},
		"sluice/gateway/dataplane/dataplanetest":        {"sluice/gateway/delivery"},
		"sluice/gateway/plainhttp":                      {"sluice/gateway/handshake", "sluice/metrics"},
		"sluice/gateway/remote":                         {"sluice/gateway/auth", "sluice/gateway/config", "sluice/gateway/delivery"},
		"sluice/gateway/route":                          {"sluice/gateway/handshake"},
		"sluice/gateway/trace":                          {},
		"sluice/gateway/trace/tracetest":                {},
		"sluice/gateway/upstream":                       {"sluice/gateway/config", "sluice/gateway/delivery", "sluice/gateway/trace", "sluice/metrics", "sluice/session"},
		"sluice/gateway/upstream/echo":                  {"sluice/gateway/delivery", "sluice/gateway/upstream"},
		"sluice/gateway/upstream/upstreamtest":          {"sluice/gateway/upstream", "sluice/metrics"},
		"sluice/gateway/upstream/webhook":               {"sluice/gateway/config", "sluice/gateway/delivery", "sluice/gateway/name", "sluice/gateway/upstream", "sluice/netpoll", "sluice/session"},
	}
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "sluice/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		rules, ruled := allowed[p.ImportPath]
		if !ruled {
			if strings.HasPrefix(p.ImportPath, "sluice/gateway/") && !strings.HasSuffix(p.ImportPath, "/e2e") {
				t.Errorf("no rule for %s: add one", p.ImportPath)
			}
			continue
		}
		seen++
		for _, path := range p.Imports {
			if strings.HasPrefix(path, "sluice") && !slices.ContainsFunc(rules, func(rule string) bool {
				below, many := strings.CutSuffix(rule, "...")
				return path == rule || many && strings.HasPrefix(path, below)
			}) {
				t.Errorf("%s must not import %s", p.ImportPath, path)
			}
		}
	}
	if seen != len(allowed) {
		t.Errorf("%d of %d packages were found", seen, len(allowed))
	}
}
