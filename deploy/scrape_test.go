package deploy_test

import (
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"sluice/gateway/gatewaytest"
	"sluice/metrics"
)

// scrape is what a gateway exports that has done everything once: for each
// series name the values of each label.
type scrape map[string]map[string][]string

var (
	series  = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? `)
	matcher = regexp.MustCompile(`(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
)

func parse(exposition string) scrape {
	s := scrape{}
	for line := range strings.Lines(exposition) {
		m := series.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if s[m[1]] == nil {
			s[m[1]] = map[string][]string{}
		}
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			s[m[1]][l[1]] = append(s[m[1]][l[1]], l[3])
		}
	}
	return s
}

// scraped runs a gateway with an echo and a webhook until every metric has been
// seen that there is.
func scraped(t *testing.T) scrape {
	t.Helper()
	g := gatewaytest.Launch(t, fmt.Sprintf(`
hubs:
  default: {upstream: {url: "echo:"}, anonymous: true}
  chat: {upstream: {url: %q}, anonymous: true}
`, backend(t, 204).URL))
	gatewaytest.Send(t, connect(t, g, "chat"), websocket.MessageText, "hello")
	if err := connect(t, g, "default").Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Fatal(err)
	}
	var s scrape
	gatewaytest.Eventually(t, "a message to the backend, and a connection that ends", func() bool {
		s = parse(get(t, "http://"+g.Admin+"/metrics"))
		return slices.Contains(s["sluice_upstream_requests_total"]["event"], "message") && s["sluice_connections_closed_total"] != nil
	})
	return s
}

// rare are the values of labels that a scrape has only once they have occurred.
var rare = map[string][]string{
	"sluice_connections_closed_total": {metrics.ReasonHeartbeat.String(), metrics.ReasonSlowConsumerAge.String()},
	"sluice_upstream_requests_total":  {metrics.OutcomeOK.String(), metrics.OutcomeCanceled.String()},
}

var (
	name = regexp.MustCompile(`\b(?:sluice|process|go)_[a-z0-9_]+\b|\b(?:instance|hub):[a-z0-9_:]+\b`)
	// What stands in braces behind a name.
	selector = regexp.MustCompile(`\b((?:sluice|process|go)_[a-z0-9_]+)\{([^}]*)\}`)
)

// check compares the metrics, labels and values of an expression with s.
func (s scrape) check(t *testing.T, where, expr string) {
	t.Helper()
	for _, n := range name.FindAllString(expr, -1) {
		if s[n] == nil {
			t.Errorf("%s: there is no %s", where, n)
		}
	}
	for _, m := range selector.FindAllStringSubmatch(expr, -1) {
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			s.label(t, where, m[1], l[1], l[3])
		}
	}
}

func (s scrape) label(t *testing.T, where, metric, label, values string) {
	t.Helper()
	switch label {
	case "job", "instance", "namespace", "pod": // Prometheus adds them
		return
	}
	known, ok := s[metric][label]
	if !ok {
		t.Errorf("%s: %s has no label %s", where, metric, label)
		return
	}
	for value := range strings.SplitSeq(values, "|") {
		if !strings.ContainsAny(value, "$.*…") && !slices.Contains(known, value) && !slices.Contains(rare[metric], value) {
			t.Errorf("%s: %s of %s is never %s", where, label, metric, value)
		}
	}
}

func TestEveryMetricThatIsUsedExists(t *testing.T) {
	s := scraped(t)
	s.families()
	groups := rules(t)
	for _, r := range groups {
		if r.Record != "" {
			s[r.Record] = map[string][]string{}
		}
	}
	for _, r := range groups {
		s.check(t, r.Record+r.Alert, r.Expr)
	}
	for title, exprs := range dashboard(t).exprs() {
		for _, expr := range exprs {
			s.check(t, title, expr)
		}
	}
	for _, page := range pages(t) {
		s.check(t, page, read(t, page))
	}
}

// families adds the histograms by the names that they have as native ones, and
// in prose.
func (s scrape) families() {
	for n, labels := range maps.Clone(s) {
		if family, ok := strings.CutSuffix(n, "_bucket"); ok {
			s[family] = labels
		}
	}
}

// pages are all Markdown files of the folder.
func pages(t *testing.T) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && entry.Name() == "node_modules" {
			return filepath.SkipDir
		}
		if filepath.Ext(path) == ".md" {
			list = append(list, path)
		}
		return err
	})
	if err != nil || len(list) < 20 {
		t.Fatalf("%d pages, %v", len(list), err)
	}
	return list
}

// What the tests above rest on: a name that is wrong is found.
func TestAWrongNameIsFound(t *testing.T) {
	s := scrape{"sluice_a": {"reason": {"x", "y"}}}
	for _, expr := range []string{`sluice_b`, `rate(sluice_a_total[5m])`, `sluice_a{raison="x"}`, `sluice_a{reason=~"x|z"}`, `instance:sluice_a:sum`} {
		probe := &testing.T{}
		if s.check(probe, "", expr); !probe.Failed() {
			t.Errorf("%s passes", expr)
		}
	}
	probe := &testing.T{}
	if s.check(probe, "", `sum without (reason) (rate(sluice_a{job="j",reason=~"x|y"}[5m])) / sluice_a{reason=~"$r"}`); probe.Failed() {
		t.Errorf("what is right fails; known are %v", slices.Collect(maps.Keys(s)))
	}
}
