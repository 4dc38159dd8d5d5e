// Package e2e_test drives the built command from outside, as its users do: by
// signals and exit statuses, by Node and a browser, behind nginx. Foreign
// programs that are missing make a test skip, except in CI, where they fail it.
package e2e_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// root is the module's folder as seen from this one.
const root = "../.."

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

// run builds the command, puts its folder first in PATH, and runs the tests.
func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "sluice-e2e-")
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

// build makes the command, with the race detector where this test has it.
func build(target string) error {
	if err := touchSources(); err != nil {
		return err
	}
	args := []string{"build", "-o", target}
	if raceEnabled {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, ".")...)
	cmd.Dir = root
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the command: %w\n%s", err, output)
	}
	return nil
}

// touchSources looks at every source file of the module. The go command keeps a
// test's result while no file changes that the test has looked at; what a child
// process reads it cannot know.
func touchSources() error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && path != root || entry.Name() == "node_modules"):
			return filepath.SkipDir
		case filepath.Ext(path) == ".go", entry.Name() == "go.sum":
			_, err = os.Stat(path)
			return err
		}
		return nil
	})
}

// program returns the path of a foreign program of the test.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath(filepath.Join("/usr/sbin", name))
	}
	if err != nil {
		missing(t, name+" is not installed")
	}
	return path
}

// missing skips the test, or fails it in CI.
func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}
