package gatewaytest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// Process is a program that runs until the end of the test at the latest.
type Process struct {
	*os.Process
	Log    *Journal      // all that it writes
	exited chan struct{} // closed after status is known
	status int
}

// Spawn starts a program. A failed test shows what it wrote, and a data race
// that the program's race detector has seen fails the test.
func Spawn(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &Process{Process: cmd.Process, Log: NewJournal(), exited: make(chan struct{})}
	go func() {
		p.Log.Collect(output)
		cmd.Wait()
		p.status = cmd.ProcessState.ExitCode()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.Kill() // an error only says that it has ended
		<-p.exited
		if text := p.Log.String(); strings.Contains(text, "DATA RACE") {
			t.Errorf("data race in %s:\n%s", cmd, text)
		} else if t.Failed() {
			t.Logf("%s:\n%s", cmd, text)
		}
	})
	return p
}

// Signal sends a signal.
func (p *Process) Signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := p.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// AwaitExit returns the exit status, -1 after a signal.
func (p *Process) AwaitExit(t testing.TB) int {
	t.Helper()
	select {
	case <-p.exited:
		return p.status
	case <-time.After(Patience):
		t.Fatalf("process %d did not exit", p.Pid)
		return 0
	}
}

// Command is the built command, which serves.
type Command struct {
	*Process
	Address string // host:port for clients
	Admin   string // host:port of the private listener
	File    string // its configuration
}

// Launch runs the command with a configuration file of this text, and waits
// until it listens. edits change how it is called.
func Launch(t testing.TB, yaml string, edits ...func(*exec.Cmd)) *Command {
	t.Helper()
	if err := touch(); err != nil {
		t.Fatal(err)
	}
	c := &Command{File: filepath.Join(t.TempDir(), "sluice.yaml")}
	c.Configure(t, yaml)
	cmd := exec.Command("sluice", "-config", c.File)
	cmd.Env = append(os.Environ(), "SLUICE_LISTEN=127.0.0.1:0", "SLUICE_ADMIN_LISTEN=127.0.0.1:0")
	for _, edit := range edits {
		edit(cmd)
	}
	c.Process = Spawn(t, cmd)
	c.Address = c.Log.Await(t, "listening").Text("addr")
	c.Admin = c.Log.Await(t, "admin listening").Text("addr")
	return c
}

// Configure writes the configuration file anew.
func (c *Command) Configure(t testing.TB, yaml string) {
	t.Helper()
	if err := os.WriteFile(c.File, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
}

// URL is where WebSocket clients connect.
func (c *Command) URL() string { return "ws://" + c.Address + "/" }

// Scrape takes the metrics, as a Prometheus does that knows native histograms.
func (c *Command) Scrape(t testing.TB) Scrape {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.Admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited")
	response, body, err := fetch(r)
	if err != nil {
		t.Fatal(err)
	}
	var s Scrape
	for d := expfmt.NewDecoder(bytes.NewReader(body), expfmt.ResponseFormat(response.Header)); ; {
		f := new(dto.MetricFamily)
		if err := d.Decode(f); errors.Is(err, io.EOF) {
			return s
		} else if err != nil {
			t.Fatal(err)
		}
		s = append(s, f)
	}
}

// Metric scrapes, and returns what [Scrape.Sum] does.
func (c *Command) Metric(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	return c.Scrape(t).Sum(name, labels...)
}

// AwaitMetric scrapes until the metric has this value: what is shown may be as
// old as a tick of the loops.
func (c *Command) AwaitMetric(t testing.TB, name string, want float64, labels ...string) {
	t.Helper()
	var got float64
	EventuallyOr(t, func() string { return fmt.Sprintf("%s%q is %v, want %v", name, labels, got, want) }, func() bool {
		got = c.Metric(t, name, labels...)
		return got == want
	})
}
