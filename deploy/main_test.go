// Package deploy_test checks what this folder says against the gateway and with
// the programs that will read it. Programs that are missing make a test skip,
// except in CI, where they fail it. What needs large libraries is in checks/.
package deploy_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// root is the module's folder as seen from this one.
const root = ".."

// patience is how long a test waits for what takes no time on an idle machine.
const patience = 30 * time.Second

// sluice is the built command.
var sluice string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	folder, err := os.MkdirTemp("", "sluice-deploy-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	sluice = filepath.Join(folder, "sluice")
	if err := build(sluice); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status := m.Run()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

func build(target string) error {
	if err := touch(); err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-o", target, ".")
	cmd.Dir = root
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the command: %w\n%s", err, output)
	}
	return nil
}

// touch looks at every file that a child process may read. The go command keeps
// a test's result while no file changes that the test itself has looked at.
func touch() error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && path != root || entry.Name() == "node_modules"):
			return filepath.SkipDir
		case !entry.IsDir():
			_, err = os.Stat(path)
		}
		return err
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

// must runs a program that has to succeed, and returns what it says.
func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	output, err := exec.Command(program(t, name), args...).CombinedOutput()
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
