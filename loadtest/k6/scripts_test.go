package k6_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// thresholdsCrossed is the exit status of k6 when thresholds were.
const thresholdsCrossed = 99

func TestScriptsPassOnTheGateway(t *testing.T) {
	k6 := program(t)
	url := startGateway(t)
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
	url := strings.Replace(startGateway(t), "//", "//name:hush@", 1) + "?access_token=hush"
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
	if err == nil {
		return path
	}
	const install = "go install go.k6.io/k6@v1.8.1 installs it; K6 or PATH must lead to it"
	if os.Getenv("CI") == "true" {
		t.Fatalf("no k6: %v; %s", err, install)
	}
	t.Skipf("no k6: %v; %s", err, install)
	return ""
}

// startGateway runs the gateway with its defaults on a free port, to the end of
// the test, and returns its URL.
func startGateway(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("sluice")
	cmd.Env = append(os.Environ(), "SLUICE_LISTEN=127.0.0.1:0", "SLUICE_ADMIN_LISTEN=off")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	address := make(chan string, 1)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		defer close(address)
		readLog(io.TeeReader(stderr, &log), address)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill() // an error only says that it has ended
		<-drained
		cmd.Wait()
		if t.Failed() {
			t.Logf("log of the gateway:\n%s", log.String())
		}
	})
	select {
	case a, ok := <-address:
		if !ok {
			t.Fatal("the gateway ended before it listened")
		}
		return "ws://" + a + "/"
	case <-time.After(patience):
		t.Fatal("the gateway does not listen")
		return ""
	}
}

// readLog reads the gateway's log to its end, and sends the address at which it
// listens.
func readLog(log io.Reader, address chan<- string) {
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var line struct{ Msg, Addr string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			address <- line.Addr
		}
	}
}
