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
