package checks

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
)

const folder = "../helm/sluice"

// installations are values that people set. Together they render everything.
var installations = map[string]string{
	"defaults": ``,
	"everything": `
replicaCount: 3
existingSecret: sluice-keys
env: [{name: GOGC, value: "50"}]
image: {repository: registry.example.com/sluice, digest: "sha256:0123456789012345678901234567890123456789012345678901234567890123"}
imagePullSecrets: [{name: registry}]
priorityClassName: system-cluster-critical
nodeSelector: {kubernetes.io/arch: amd64}
tolerations: [{key: gateway, operator: Exists}]
podAnnotations: {example.com/team: edge}
podLabels: {team: edge}
service: {type: LoadBalancer, externalTrafficPolicy: Local, annotations: {example.com/idle-timeout: "3600"}, loadBalancerClass: example.com/nlb}
ingress: {enabled: true, className: nginx, host: ws.example.org, tlsSecret: ws-tls, paths: [/client/hubs/, /chat]}
autoscaling: {enabled: true}
networkPolicy:
  clients: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ingress-nginx}}}]
  egress: [{to: [{podSelector: {matchLabels: {app: backend}}}], ports: [{protocol: TCP, port: 3000}]}]
serviceMonitor: {enabled: true, labels: {release: prometheus}}
prometheusRule: {enabled: true, runbooks: "https://runbooks.example.org/sluice/"}
grafanaDashboard: {enabled: true}
serviceAccount: {annotations: {example.com/role: gateway}}
config:
  drain: {timeout: 5m30s, window: 4m}
  hubs: {chat: {upstream: {url: "http://backend:3000/events"}}}
`,
	"least": `
preStopSeconds: 0
sysctls: []
topologySpreadConstraints: []
headlessService: {enabled: false}
networkPolicy: {enabled: false}
podDisruptionBudget: {enabled: false}
`,
}

func values(t *testing.T, text string) map[string]any {
	t.Helper()
	v, err := chartutil.ReadValues([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// render returns the manifests of an installation by the template they are from.
func render(t *testing.T, text string) (map[string]string, error) {
	t.Helper()
	c := load(t)
	all, err := chartutil.ToRenderValues(c, values(t, text),
		chartutil.ReleaseOptions{Name: "ws", Namespace: "edge", Revision: 1, IsInstall: true},
		&chartutil.Capabilities{KubeVersion: chartutil.KubeVersion{Version: "v1.30.0", Major: "1", Minor: "30"}, APIVersions: chartutil.DefaultVersionSet})
	if err != nil {
		return nil, err
	}
	manifests, err := engine.Render(c, all)
	maps.DeleteFunc(manifests, func(name, text string) bool {
		return !strings.HasSuffix(name, ".yaml") || strings.TrimSpace(text) == ""
	})
	return manifests, err
}

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func rendered(t *testing.T, installation string) map[string]string {
	t.Helper()
	manifests, err := render(t, installations[installation])
	if err != nil {
		t.Fatal(err)
	}
	return manifests
}

// object is the first manifest of a template.
func object(t *testing.T, manifests map[string]string, template string) map[string]any {
	t.Helper()
	text, ok := manifests["sluice/templates/"+template+".yaml"]
	if !ok {
		t.Fatalf("no %s", template)
	}
	document, _, _ := strings.Cut(text, "\n---\n")
	return values(t, document)
}

// at walks into o: keys and indices.
func at(t *testing.T, o any, path ...any) any {
	t.Helper()
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := o.(map[string]any)
			o = m[step]
		case int:
			list, _ := o.([]any)
			if step >= len(list) {
				t.Fatalf("nothing at %v", path)
			}
			o = list[step]
		}
	}
	if o == nil {
		t.Fatalf("nothing at %v", path)
	}
	return o
}

func TestHelmLintsTheChart(t *testing.T) {
	for name, text := range installations {
		for _, m := range lint.All(folder, values(t, text), "edge", true).Messages {
			if m.Severity >= support.WarningSev {
				t.Errorf("%s: %v", name, m)
			}
		}
	}
}

func TestEveryTemplateIsRenderedBySomeInstallation(t *testing.T) {
	seen := map[string]bool{}
	for name := range installations {
		for template := range rendered(t, name) {
			seen[template] = true
		}
	}
	for _, template := range load(t).Templates {
		if name := "sluice/" + template.Name; strings.HasSuffix(name, ".yaml") && !seen[name] {
			t.Errorf("%s is never rendered", name)
		}
	}
}

func TestKubernetesTakesWhatIsRendered(t *testing.T) {
	program := os.Getenv("KUBECTL_VALIDATE")
	if program == "" {
		missing(t, "KUBECTL_VALIDATE does not name the program")
	}
	for name := range installations {
		t.Run(name, func(t *testing.T) {
			target := t.TempDir()
			for template, text := range rendered(t, name) {
				if err := os.WriteFile(filepath.Join(target, filepath.Base(template)), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			// Nothing of the environment, so that it finds no cluster to ask.
			cmd := exec.Command(program, "--version", "1.30", "--local-crds", operator(t), target)
			cmd.Env = []string{"HOME=" + t.TempDir(), "KUBECONFIG=" + os.DevNull}
			if output, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, output)
			}
		})
	}
}

// operator returns the folder of the custom resources of the Prometheus
// operator, which come with its module.
func operator(t *testing.T) string {
	t.Helper()
	output, err := exec.Command("go", "mod", "download", "-json", "github.com/prometheus-operator/prometheus-operator@v0.85.0").Output()
	var module struct{ Dir string }
	if err == nil {
		err = json.Unmarshal(output, &module)
	}
	if err != nil {
		t.Fatalf("the Prometheus operator's module: %v\n%s", err, output)
	}
	return filepath.Join(module.Dir, "example", "prometheus-operator-crd")
}

func TestTheGatewayTakesTheRenderedConfiguration(t *testing.T) {
	for name := range installations {
		text := at(t, object(t, rendered(t, name), "configmap"), "data", "sluice.yaml").(string)
		file := filepath.Join(t.TempDir(), "sluice.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		accepted(t, file)
	}
}

func TestTheGracePeriodIsOverTheWholeDrain(t *testing.T) {
	for installation, want := range map[string]float64{
		"defaults":   15 + 60 + 15,
		"everything": 15 + 330 + 15,
		"least":      60 + 15,
	} {
		d := object(t, rendered(t, installation), "deployment")
		if got := at(t, d, "spec", "template", "spec", "terminationGracePeriodSeconds"); got != want {
			t.Errorf("%s: %v s, want %v", installation, got, want)
		}
	}
	if _, err := render(t, `config: {drain: {timeout: soon}}`); err == nil {
		t.Error("a time-out that is none was rendered")
	}
}

func TestAChangeOfTheConfigurationRestartsThePods(t *testing.T) {
	sum := func(text string) any {
		manifests, err := render(t, text)
		if err != nil {
			t.Fatal(err)
		}
		return at(t, object(t, manifests, "deployment"), "spec", "template", "metadata", "annotations", "checksum/config")
	}
	if sum("") == sum("config: {log: {level: debug}}") {
		t.Error("the pods do not notice")
	}
}

func TestTheRunbooksAreWhereTheValuesSay(t *testing.T) {
	for _, group := range at(t, object(t, rendered(t, "everything"), "prometheusrule"), "spec", "groups").([]any) {
		for _, rule := range at(t, group, "rules").([]any) {
			rule := rule.(map[string]any)
			if rule["alert"] == nil {
				continue
			}
			want := "https://runbooks.example.org/sluice/" + rule["alert"].(string) + ".md"
			if got := at(t, rule, "annotations", "runbook_url"); got != want {
				t.Errorf("%v, want %s", got, want)
			}
		}
	}
}

func TestAMonitorWithoutItsServiceIsRefused(t *testing.T) {
	_, err := render(t, "serviceMonitor: {enabled: true}\nheadlessService: {enabled: false}")
	if err == nil || !strings.Contains(err.Error(), "headlessService") {
		t.Errorf("%v", err)
	}
}

func TestAValueThatIsNoneIsRefused(t *testing.T) {
	for _, text := range []string{"replicas: 3", "ports: {client: 80}", "image: {digest: latest}", "service: {type: Loadbalancer}"} {
		if _, err := render(t, text); err == nil {
			t.Errorf("%s was rendered", text)
		}
	}
}

func TestTheExampleOfTheReadmeIsTaken(t *testing.T) {
	_, rest, _ := strings.Cut(readme(t), "```yaml\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("there is none")
	}
	if _, err := render(t, example); err != nil {
		t.Error(err)
	}
}

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What the chart's README says of the values is every one of them.
func TestEveryValueIsExplained(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(folder, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	explained := readme(t)
	for _, name := range slices.Sorted(maps.Keys(values(t, string(text)))) {
		if !strings.Contains(explained, "`"+name+"`") {
			t.Errorf("the README does not say what %s is", name)
		}
	}
}
