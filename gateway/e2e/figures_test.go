package e2e_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"sluice/gateway/gatewaytest"
)

// resident is the memory of the gateway that is in RAM, in bytes
// (proc_pid_status(5), VmRSS).
func resident(t *testing.T, g *gatewaytest.Command) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.Pid))
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
	if gatewaytest.Race {
		return 10 * bytes
	}
	return bytes
}
