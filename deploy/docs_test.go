package deploy_test

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sluice/gateway/config"
	"sluice/gateway/golden"
)

const chart = "helm/sluice/README.md"

// The chart's values hold the whole configuration: all of it is in its README.
func TestTheChartExplainsEveryKeyOfTheConfiguration(t *testing.T) {
	golden.CheckSection(t, chart, "reference", []byte(config.Reference()))
}

// keys are those of the configuration, with * for names that are chosen.
func keys() map[string]bool {
	known := map[string]bool{}
	chosen := regexp.MustCompile(`<\w+>`)
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(config.Reference(), -1) {
		key := chosen.ReplaceAllString(m[1], "*")
		for ; key != ""; _, key, _ = strings.Cut(key, ".") { // upstream.url is hubs.*.upstream.url
			known[key] = true
		}
	}
	return known
}

func TestTheDocumentationNamesKeysThatExist(t *testing.T) {
	known := keys()
	mentioned := regexp.MustCompile("`((?:hubs\\.\\*|admin|drain|heartbeat|limits|upstream|breaker|log)\\.[a-z_.*]+)")
	seen := 0
	for _, page := range pages(t) {
		for _, m := range mentioned.FindAllStringSubmatch(read(t, page), -1) {
			if seen++; !known[m[1]] {
				t.Errorf("%s: there is no %s", page, m[1])
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d keys are mentioned", seen)
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:\s]*)(#[^)\s]*)?\)`)
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			target := page
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(page), m[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", page, err)
			} else if m[2] != "" && !anchors(read(t, target))[m[2]] {
				t.Errorf("%s: no %s in %s", page, m[2], target)
			}
		}
	}
}

// anchors are those of a page's headings.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		anchor := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all["#"+strings.ReplaceAll(anchor, " ", "-")] = true
	}
	return all
}

// Whatever names the port of a node means the one that it has by default.
func TestThePortsThatAreNamedAreTheDefaults(t *testing.T) {
	known := map[string]string{"443": "a proxy", "3000": "the example's backend", "3001": "Grafana", "4318": "a collector of traces", "9091": "Prometheus"}
	for _, address := range []string{config.DefaultListen, config.DefaultAdmin} {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		known[port] = "a node"
	}
	named := regexp.MustCompile(`(?:\d+\.\d+\.\d+\.\d+|localhost|NODE|\[::1?\]):(\d{2,})\b` +
		`|(?:[sd]port |sport = :|EXPOSE |ListenStream=|port_value: |clients: |admin: )(\d+)`)
	seen := 0
	for _, of := range []string{
		"../README.md", "Dockerfile", "*.yaml", "*.md", "docs/*", "runbooks/*", "proxies/*", "systemd/*", "prometheus/*.yaml", "compose/*.yaml",
		"example/*.yaml", "example/*/*.go", "example/*/*.mjs", "helm/sluice/values.yaml", "helm/sluice/README.md", "console/README.md",
		"../loadtest/main.go", "../loadtest/k6/*.md", "../loadtest/k6/*.js", "../loadtest/k6/lib/*.js", "../gateway/dial/options.go",
	} {
		files, err := filepath.Glob(of)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", of, len(files), err)
		}
		for _, file := range files {
			for _, m := range named.FindAllStringSubmatch(read(t, file), -1) {
				if seen++; known[m[1]+m[2]] == "" {
					t.Errorf("%s: nobody listens at %s", file, m[0])
				}
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d ports are named", seen)
	}
}
