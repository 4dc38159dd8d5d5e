package deploy_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// board is what matters of a Grafana dashboard.
type board struct {
	UID, Title string
	Panels     []struct {
		ID         int
		Type       string
		Title      string
		GridPos    struct{ X, Y, W, H int }
		Datasource struct{ UID string }
		Targets    []struct {
			Expr       string
			RefID      string
			Datasource struct{ UID string }
		}
	}
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
	Annotations struct{ List []struct{ Name, Expr string } }
}

func dashboard(t *testing.T) board {
	t.Helper()
	var b board
	if err := json.Unmarshal([]byte(read(t, "grafana/sluice.json")), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// exprs returns everything that the dashboard asks Prometheus, by what asks.
func (b board) exprs() map[string][]string {
	all := map[string][]string{}
	for _, p := range b.Panels {
		for _, target := range p.Targets {
			all[p.Title] = append(all[p.Title], target.Expr)
		}
	}
	for _, a := range b.Annotations.List {
		all[a.Name] = append(all[a.Name], a.Expr)
	}
	inner := regexp.MustCompile(`^label_values\((.*), \w+\)$`)
	for _, v := range b.Templating.List {
		if m := inner.FindStringSubmatch(v.Definition); m != nil {
			all["$"+v.Name] = append(all["$"+v.Name], m[1])
		}
	}
	return all
}

// variables puts values in the place of Grafana's variables.
var variables = strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$instance", ".*", "$hub", ".*")

func TestPrometheusUnderstandsWhatTheDashboardAsks(t *testing.T) {
	type record struct{ Record, Expr string }
	var list []record
	for _, exprs := range dashboard(t).exprs() {
		for _, expr := range exprs {
			expr = variables.Replace(expr)
			if strings.Contains(expr, "$") {
				t.Errorf("an unknown variable: %s", expr)
			}
			list = append(list, record{fmt.Sprintf("panel:%d", len(list)), expr})
		}
	}
	if len(list) < 50 {
		t.Errorf("only %d expressions", len(list))
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": list}}})
	if err != nil {
		t.Fatal(err)
	}
	must(t, "promtool", "check", "rules", write(t, filepath.Join(t.TempDir(), "dashboard.yaml"), string(text)))
}

func TestPanelsHaveTheirPlaceAndTheDataSourceThatIsChosen(t *testing.T) {
	b := dashboard(t)
	ids := map[int]bool{}
	taken := map[[2]int]string{}
	for _, p := range b.Panels {
		if ids[p.ID] {
			t.Errorf("%s: id %d is there twice", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s covers %q, or leaves the page, at %d, %d", p.Title, other, x, y)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("%s: %d targets, data source %s", p.Title, len(p.Targets), p.Datasource.UID)
		}
		refs := map[string]bool{}
		for _, target := range p.Targets {
			if refs[target.RefID] || target.Datasource.UID != "${datasource}" {
				t.Errorf("%s: target %s, data source %s", p.Title, target.RefID, target.Datasource.UID)
			}
			refs[target.RefID] = true
		}
	}
	if b.UID == "" || b.Title == "" {
		t.Error("no uid or title")
	}
}

// hubless are the panels that show the same whatever hub is selected, and why.
var hubless = map[string]string{
	"Of the limit":                "the limit is the node's",
	"Loop lag, p99":               "a loop serves all hubs",
	"Loop lag":                    "a loop serves all hubs",
	"Duration of handshakes":      "a histogram for each hub and loop would cost more than the rest of a hub",
	"How long connections lived":  "a histogram for each hub and loop would cost more than the rest of a hub",
	"Size of messages":            "a histogram for each hub and loop would cost more than the rest of a hub",
	"Push to socket":              "a histogram for each hub and loop would cost more than the rest of a hub",
	"Ping to pong":                "a histogram for each hub and loop would cost more than the rest of a hub",
	"Handshakes under way":        "most of them have not named their hub",
	"Left to drain":               "a node drains, not a hub",
	"Bytes that wait for clients": "the bound is the node's",
	"Buffers, of their limit":     "the bound is the node's",
	"Parked sessions":             "what parks them is counted by hub: events under way, bytes that wait",
	"Groups":                      "what groups cost is the node's",
	"Tokens refused":              "the data plane's are counted with them, and those of no hub",
	"Protocol errors":             "why connections ended is counted by hub, these are for whoever writes a client",
	"Processor time":              "of the process",
	"Memory":                      "of the process",
	"Memory per connection":       "of the process",
	"Descriptors":                 "of the process",
	"Goroutines":                  "of the process",
	"Accept errors":               "nobody knows which hub they wanted",
	"Bugs":                        "of the process",
	"Builds":                      "of the process",
}

func TestPanelsFollowTheHubThatIsSelected(t *testing.T) {
	const selected = `hub=~"$hub`
	follow, seen := 0, map[string]bool{}
	for _, p := range dashboard(t).Panels {
		if p.Type == "row" {
			continue
		}
		asking := 0
		for _, target := range p.Targets {
			if strings.Contains(target.Expr, selected) {
				asking++
			}
		}
		reason, excused := hubless[p.Title]
		switch {
		case excused && (reason == "" || asking == len(p.Targets)):
			t.Errorf("%s is excused (%q) and follows the selection", p.Title, reason)
		case asking == len(p.Targets):
			follow++
		case !excused:
			t.Errorf("%s does not follow the selection: %d of %d queries", p.Title, asking, len(p.Targets))
		}
		seen[p.Title] = true
	}
	for title := range hubless {
		if !seen[title] {
			t.Errorf("no panel is called %s", title)
		}
	}
	if follow < 24 {
		t.Errorf("only %d panels follow the selection", follow)
	}
}
