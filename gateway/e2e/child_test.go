package e2e_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// modules returns the folder of Node's packages: that of .ci/node, or of the
// folder that E2E_NODE_PATH names.
func modules(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("E2E_NODE_PATH")
	if folder == "" {
		folder = filepath.Join(root, ".ci", "node")
	}
	path, err := filepath.Abs(filepath.Join(folder, "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		missing(t, "no packages of Node: npm ci --prefix .ci/node installs them")
	}
	return path
}

// attach starts a program that tells what it does, and ends it with the test. A
// failed test shows what it said.
func attach(t *testing.T, cmd *exec.Cmd) *journal {
	t.Helper()
	log := newJournal()
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go reap(cmd, log, output, exited)
	t.Cleanup(func() {
		cmd.Process.Kill() // an error only says that it has ended
		<-exited
		if t.Failed() {
			t.Logf("%s:\n%s", cmd, log.text())
		}
	})
	return log
}

// reap reads to the end, then waits for the process.
func reap(cmd *exec.Cmd, log *journal, output io.Reader, exited chan<- struct{}) {
	log.read(output)
	cmd.Wait()
	close(exited)
}
