// Package k6_test runs the k6 scripts: against the built gateway, where they
// must succeed, and against servers with a fault, which they must find. k6 is
// the program that $K6 names, or the one in PATH.
package k6_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	root = "../.." // the module's folder as seen from this one

	// patience bounds every wait for a child process.
	patience = time.Minute
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

// run builds the command, puts its folder first in PATH, and runs the tests.
func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "sluice-k6-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	if err := build(filepath.Join(folder, "sluice")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	os.Setenv("PATH", folder+string(os.PathListSeparator)+os.Getenv("PATH"))
	return m.Run()
}

func build(target string) error {
	if err := lookAtSources(); err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-o", target, ".")
	cmd.Dir = root
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the command: %w\n%s", err, output)
	}
	return nil
}

// lookAtSources looks at every file that the children read, because the go
// command keeps a test's result while no file changes that the test itself has
// looked at.
func lookAtSources() error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && path != root || entry.Name() == "node_modules"):
			return filepath.SkipDir
		case filepath.Ext(path) == ".go", filepath.Ext(path) == ".js", entry.Name() == "go.sum":
			_, err = os.Stat(path)
			return err
		}
		return nil
	})
}
