package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets this binary be the processes that this program starts from its own executable.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{workerMode, backendServerMode, backendClientMode}, os.Args[1]) {
		if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	// The race detector would have each of those processes wait a second at its end.
	os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0")
	goleak.VerifyTestMain(m)
}

func TestCommandLineMistakesAreExplained(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"swim"}, `unknown mode "swim"`},
		{[]string{"echo", "now"}, `unexpected argument "now"`},
		{[]string{"echo", "-url", "wss://127.0.0.1/"}, "no ws:// URL"},
		{[]string{"echo", "-pid", "none", "-header", "nonsense"}, `a header is one line`},
		{[]string{"echo", "-pid", "12,x"}, `"x" is no process id`},
		{[]string{"idle", "-url", "ws://127.0.0.1:1/", "-from", "9", "-conns", "9", "-pid", "1"}, "-from 9 must be below -conns 9"},
		{[]string{"idle", "-url", "ws://127.0.0.1:1/", "-pid", "none"}, "without the server's process"},
		{[]string{"echo", "-url", "ws://127.0.0.1:1/"}, "nothing listens on 127.0.0.1:1"},
		{[]string{"compare", "-modes", "echo,swim"}, `unknown "swim"; there are idle,`},
		{[]string{"compare", "-peers", "nobody"}, `unknown "nobody"; there are sluice,`},
		{[]string{"compare", "-rounds", "0"}, "-rounds must be at least 1"},
		{[]string{"compare", "now"}, `unexpected argument "now"`},
		{[]string{"curve", "-rounds", "0"}, "-rounds must be at least 1"},
		{[]string{"curve", "-active", "0"}, "-active must be at least 1"},
		{[]string{"curve", "-rate", "0"}, "-rate must be above 0"},
		{[]string{"curve", "-idle", "900,many"}, `"many" is no number`},
		{[]string{"curve", "-peers", "nobody"}, `unknown "nobody"; there are sluice,`},
		{[]string{"curve", "now"}, `unexpected argument "now"`},
		{[]string{"backend", "-rounds", "0"}, "-rounds must be at least 1"},
		{[]string{"backend", "now"}, `unexpected argument "now"`},
	} {
		var stderr bytes.Buffer
		err := run(t.Context(), tt.args, nil, &stderr, &stderr)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: error %v, want one with %q", tt.args, err, tt.want)
		}
	}
}

func TestUsageNamesEveryMode(t *testing.T) {
	var stderr bytes.Buffer
	if err := run(t.Context(), nil, nil, &stderr, &stderr); err != flag.ErrHelp {
		t.Fatalf("error %v, want the one for help", err)
	}
	for _, m := range modes() {
		if !strings.Contains(stderr.String(), "\n  "+m.name+" ") {
			t.Errorf("usage does not name %q:\n%s", m.name, &stderr)
		}
	}
}

func TestResultIsWrittenAsTextAndJSON(t *testing.T) {
	url := serveEcho(t, 0)
	file := filepath.Join(t.TempDir(), "result.json")
	var stdout, stderr bytes.Buffer
	args := []string{"echo", "-url", url, "-conns", "5", "-size", "10", "-warmup", "10ms", "-duration", "50ms", "-json", file}
	if err := run(t.Context(), args, nil, &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r Result
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	if r.Mode != "echo" || r.Connections != 5 || r.Operations == 0 || r.Latency == nil || r.ServerCPU <= 0 {
		t.Errorf("unexpected result %s", b)
	}
	for _, want := range []string{"messages", "server CPU", "round trip", "p99.9", "generator"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &stdout)
		}
	}
	if stderr.Len() > 0 {
		t.Errorf("progress on what is no terminal: %q", &stderr)
	}
}
