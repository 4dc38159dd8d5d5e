// Package checks holds what is checked of deploy/ with the libraries of those
// who will read it: Helm, BuildKit and Compose. They are a module of their own,
// because the gateway's should not know them.
package checks

import (
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// sluice is the built command, which judges rendered configurations.
var sluice string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	log.SetOutput(io.Discard) // Helm tells of each symbolic link
	folder, err := os.MkdirTemp("", "sluice-checks-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	sluice = filepath.Join(folder, "sluice")
	build := exec.Command("go", "build", "-o", sluice, ".")
	build.Dir = "../.."
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the command: %v\n%s", err, output)
		return 1
	}
	return m.Run()
}

// accepted fails the test unless the gateway would run with the file.
func accepted(t *testing.T, file string) {
	t.Helper()
	if output, err := exec.Command(sluice, "check", file).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", file, err, output)
	}
}

// missing skips the test, or fails it in CI.
func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}
