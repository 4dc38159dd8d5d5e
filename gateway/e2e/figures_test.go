package e2e_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// metric scrapes and sums the series of a counter or gauge whose labels contain
// all of these, as in event="message".
func (g *gateway) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	_, exposition := get(t, "http://"+g.admin+"/metrics")
	var sum float64
	for line := range strings.Lines(exposition) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		family, set, _ := strings.Cut(series, "{")
		if family != name || !containsAll(set, labels) {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sum += v
	}
	return sum
}

func containsAll(s string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(s, part) {
			return false
		}
	}
	return true
}

// awaitMetric scrapes until the metric has this value: what is shown may be as
// old as a tick of the loops.
func (g *gateway) awaitMetric(t *testing.T, name string, want float64, labels ...string) {
	t.Helper()
	var got float64
	await(t, func() string { return fmt.Sprintf("%s%q is %v, want %v", name, labels, got, want) }, func() bool {
		got = g.metric(t, name, labels...)
		return got == want
	})
}

// await asks every 20 ms until it is so, and fails with what it says otherwise.
func await(t *testing.T, otherwise func() string, so func() bool) {
	t.Helper()
	tries := time.NewTicker(20 * time.Millisecond)
	defer tries.Stop()
	late := time.After(patience)
	for !so() {
		select {
		case <-tries.C:
		case <-late:
			t.Fatal(otherwise())
		}
	}
}

// resident is the memory of the gateway that is in RAM, in bytes
// (proc_pid_status(5), VmRSS).
func (g *gateway) resident(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if value, found := strings.CutPrefix(line, "VmRSS:"); found {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			return kib << 10
		}
	}
	t.Fatalf("no VmRSS in\n%s", status)
	return 0
}

// roomier is a bound on memory for a gateway that may have the race detector,
// which multiplies it by up to ten.
func roomier(bytes int64) int64 {
	if raceEnabled {
		return 10 * bytes
	}
	return bytes
}
