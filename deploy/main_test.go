// Package deploy_test checks what this folder says against the gateway and with
// the programs that will read it. Programs that are missing make a test skip,
// except in CI, where they fail it. What needs large libraries is in checks/.
package deploy_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"sluice/gateway/gatewaytest"
)

func TestMain(m *testing.M) { os.Exit(gatewaytest.Main(m)) }

// must runs a program that has to succeed, and returns what it says.
func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	output, err := exec.Command(gatewaytest.Program(t, name), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, output)
	}
	return string(output)
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, file, text string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
