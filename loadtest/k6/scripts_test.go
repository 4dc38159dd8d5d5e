package k6_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/gateway/gatewaytest"
)

// patience bounds a run of k6.
const patience = time.Minute

// thresholdsCrossed is the exit status of k6 when thresholds were.
const thresholdsCrossed = 99

func TestScriptsPassOnTheGateway(t *testing.T) {
	k6 := program(t)
	url := gatewaytest.Launch(t, "").URL()
	scripts, err := filepath.Glob("*.js")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(scripts, "smoke.js") {
		t.Fatalf("the scripts are %q, without smoke.js", scripts)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(script, ".js"), func(t *testing.T) {
			t.Parallel()
			// That latency is as it should be is not for a busy machine to judge.
			report := runScript(t, k6, script, "URL="+url,
				"CONNECTIONS=10", "DURATION=1s", "RATE=20", "P99=5000", "CONNECT_P99=5000")
			if report.status != 0 {
				t.Errorf("status %d, thresholds crossed %q\n%s", report.status, report.crossed, report.output)
			}
		})
	}
}

func TestSecretsOfTheURLStayOutOfTheOutputs(t *testing.T) {
	k6 := program(t)
	url := strings.Replace(gatewaytest.Launch(t, "").URL(), "//", "//name:hush@", 1) + "?access_token=hush"
	points := filepath.Join(t.TempDir(), "points.json")
	t.Setenv("K6_OUT", "json="+points)
	if report := runScript(t, k6, "smoke.js", "URL="+url, "DURATION=100ms"); strings.Contains(report.output, "hush") {
		t.Errorf("a secret is printed:\n%s", report.output)
	}
	data, err := os.ReadFile(points)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(data, []byte("ws_connecting")) || bytes.Contains(data, []byte("hush")) {
		t.Errorf("nothing or a secret is written:\n%s", data)
	}
}

// report is what a run of k6 said.
type report struct {
	status  int
	crossed []string // metrics whose thresholds were, sorted
	output  string
}

var crossedLine = regexp.MustCompile(`thresholds on metrics '([^']*)' have been crossed`)

// runScript runs a script with these variables. It sends nothing anywhere but
// to the script's target.
func runScript(t *testing.T, k6, script string, variables ...string) report {
	t.Helper()
	args := []string{"run", "--quiet", "--no-color", "--no-usage-report", "--include-system-env-vars=false", "--address="}
	for _, v := range variables {
		args = append(args, "--env", v)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, k6, append(args, script)...)
	output, err := cmd.CombinedOutput()
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) || ctx.Err() != nil {
		t.Fatalf("%s: %v\n%s", script, err, output)
	}
	r := report{status: cmd.ProcessState.ExitCode(), output: string(output)}
	if m := crossedLine.FindStringSubmatch(r.output); m != nil {
		r.crossed = strings.Split(m[1], ", ")
		slices.Sort(r.crossed)
	}
	return r
}

// program returns k6's path. Where it is missing the test is skipped, and in CI
// it fails.
func program(t *testing.T) string {
	t.Helper()
	name := os.Getenv("K6")
	if name == "" {
		name = "k6"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		gatewaytest.Missing(t, fmt.Sprintf("no k6: %v; go install go.k6.io/k6@v1.8.1 installs it; K6 or PATH must lead to it", err))
	}
	return path
}
