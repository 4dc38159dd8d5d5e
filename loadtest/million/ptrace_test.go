package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// compileC runs the compiler.
func compileC(t *testing.T, args ...string) {
	t.Helper()
	gcc, err := exec.LookPath(compiler)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	cmd := exec.Command(gcc, append([]string{"-Wall", "-Wextra", "-Werror", "-O2"}, args...)...)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
}

// traced builds a program of testdata, and runs it without and with the library.
func traced(t *testing.T, source string) (said string, without, with error) {
	t.Helper()
	dir := t.TempDir()
	program, library := filepath.Join(dir, "program"), filepath.Join(dir, "ptrace.so")
	compileC(t, "-o", program, filepath.Join("testdata", source))
	compileC(t, "-shared", "-fPIC", "-o", library, "ptrace/ptrace.c")

	plain, without := exec.Command(program).CombinedOutput()
	cmd := exec.Command(program)
	cmd.Env = []string{"LD_PRELOAD=" + library}
	output, with := cmd.CombinedOutput()
	t.Logf("with the library: %v %s", with, output)
	return string(plain), without, with
}

func TestShortXSAVEBufferIsCompleted(t *testing.T) {
	said, without, with := traced(t, "narrow.c")
	if exit, ok := errors.AsType[*exec.ExitError](without); ok && exit.ExitCode() == 77 {
		t.Skip("this processor's XSAVE area is short enough for anybody")
	}
	if without == nil || !strings.Contains(said, "writing a part: Bad address") {
		t.Errorf("without the library: %v, %q; want the kernel to refuse the short buffer", without, said)
	}
	if with != nil {
		t.Error("not completed")
	}
}

func TestHostsJobControlIsNoFaultOfTheGuest(t *testing.T) {
	said, without, with := traced(t, "stopped.c")
	if without == nil || !strings.Contains(said, "stopped with 19 and 19") {
		t.Errorf("without the library: %v, %q; want a stop to be reported", without, said)
	}
	if with != nil {
		t.Error("reported")
	}
}
