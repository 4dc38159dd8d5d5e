package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// rule is one of Prometheus's, of either kind.
type rule struct {
	Record, Alert, Expr string
	For                 string
	Labels, Annotations map[string]string
}

// rules returns all of them.
func rules(t *testing.T) []rule {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal([]byte(read(t, "prometheus/rules.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	var list []rule
	for _, g := range file.Groups {
		list = append(list, g.Rules...)
	}
	return list
}

// alerts returns the alerts by their names.
func alerts(t *testing.T) map[string]rule {
	t.Helper()
	list := map[string]rule{}
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		if _, twice := list[r.Alert]; twice {
			t.Errorf("%s is there twice", r.Alert)
		}
		list[r.Alert] = r
	}
	return list
}

func TestPromtoolTakesTheRulesAndTheConfigurations(t *testing.T) {
	must(t, "promtool", "check", "rules", "--lint=all", "--lint-fatal", "prometheus/rules.yaml")
	must(t, "promtool", "check", "config", "prometheus/prometheus.yaml")

	// The demonstration mounts the rules beside its configuration.
	folder := t.TempDir()
	write(t, filepath.Join(folder, "rules.yaml"), read(t, "prometheus/rules.yaml"))
	must(t, "promtool", "check", "config", write(t, filepath.Join(folder, "prometheus.yaml"), read(t, "compose/prometheus.yaml")))
}

func TestAlertsAreQuietAndFireAsTheirUnitTestsSay(t *testing.T) {
	must(t, "promtool", "test", "rules", "prometheus/rules_test.yaml", "prometheus/rules_outage_test.yaml")
}

func TestEveryAlertHasAUnitTestOfBothStates(t *testing.T) {
	var file struct {
		Tests []struct {
			Alerts []struct {
				Name string           `yaml:"alertname"`
				Want []map[string]any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "prometheus/rules_test.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, a := range test.Alerts {
			fires[a.Name] = fires[a.Name] || len(a.Want) > 0
			quiet[a.Name] = quiet[a.Name] || len(a.Want) == 0
		}
	}
	for name := range alerts(t) {
		if !fires[name] || !quiet[name] {
			t.Errorf("%s: tested to fire %t, to be quiet %t", name, fires[name], quiet[name])
		}
	}
}

func TestEveryAlertSaysWhatWhomAndWhere(t *testing.T) {
	const folder = "{{ $externalURL }}/user/runbooks/"
	for name, a := range alerts(t) {
		if severity := a.Labels["severity"]; severity != "page" && severity != "ticket" {
			t.Errorf("%s: severity %q", name, severity)
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			t.Errorf("%s has no summary or no description", name)
		}
		if url := a.Annotations["runbook_url"]; url != folder+name+".md" {
			t.Errorf("%s: runbook_url %q", name, url)
		}
	}
}

func TestEveryAlertHasARunbookAndTheOtherWayRound(t *testing.T) {
	entries, err := os.ReadDir("runbooks")
	if err != nil {
		t.Fatal(err)
	}
	known := alerts(t)
	seen := map[string]bool{}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".md")
		if seen[name] = true; known[name].Alert == "" {
			t.Errorf("%s is for no alert", e.Name())
		}
	}
	for name := range known {
		if !seen[name] {
			t.Errorf("%s has no runbook", name)
		}
	}
}

func TestEveryRunbookSaysWhatItMeansAndWhatToDo(t *testing.T) {
	section := regexp.MustCompile(`(?m)^## (.+)$`)
	for name := range alerts(t) {
		text := read(t, filepath.Join("runbooks", name+".md"))
		if !strings.HasPrefix(text, "# "+name+"\n") {
			t.Errorf("%s: another title", name)
		}
		var titles []string
		for _, m := range section.FindAllStringSubmatch(text, -1) {
			titles = append(titles, m[1])
		}
		if got := strings.Join(titles, ", "); got != "Meaning, Impact, Diagnosis, Mitigation" {
			t.Errorf("%s: %s", name, got)
		}
	}
}
