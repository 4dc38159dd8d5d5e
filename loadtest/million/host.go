package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Programs that the host must have, and the Debian packages that they are in.
const (
	kernelProgram = "linux.uml"
	compiler      = "gcc"
)

// guestTmpfs is where user-mode Linux keeps the guest's memory, in a file without a name.
const guestTmpfs = "/dev/shm"

// host builds what the guest runs, boots it with so many MiB of memory, and returns its report.
// progress is told what happens meanwhile.
func host(ctx context.Context, conns, memory int, progress io.Writer) (_ *report, err error) {
	if err := missing(memory); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sluice-million-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := build(ctx, dir, progress); err != nil {
		return nil, err
	}
	restore, err := raiseMapCount(8 * conns)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, restore()) }()
	r, err := boot(ctx, dir, conns, memory, progress)
	if err != nil {
		return nil, err
	}
	here, err := machine()
	r.Machine = fmt.Sprintf("%s, in %s, on %s", runtime.Version(), r.Machine, here)
	return r, err
}

// missing says all that this machine lacks.
func missing(memory int) error {
	var errs []error
	for _, need := range []struct{ program, packages string }{
		{kernelProgram, "user-mode-linux"},
		{compiler, "gcc libc6-dev"},
	} {
		if _, err := exec.LookPath(need.program); err != nil {
			errs = append(errs, fmt.Errorf("%s is missing: apt-get install %s", need.program, need.packages))
		}
	}
	if runtime.GOARCH != "amd64" {
		errs = append(errs, errors.New("user-mode Linux needs an amd64 machine"))
	}
	available, err := availableMemory()
	if err != nil {
		errs = append(errs, err)
	} else if available>>20 < int64(memory) {
		errs = append(errs, fmt.Errorf("the guest wants %d MiB of memory and %d MiB are available: hold fewer connections, or lower -mem at the risk of the host's", memory, available>>20))
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(guestTmpfs, &fs); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", guestTmpfs, err))
	} else if free := int64(fs.Bavail) * fs.Bsize >> 20; free < int64(memory) {
		errs = append(errs, fmt.Errorf("the guest's %d MiB lie in %s, which has room for %d: mount -o remount,size=%dm %[2]s", memory, guestTmpfs, free, memory+1024))
	}
	return errors.Join(errs...)
}

//go:embed ptrace/ptrace.c
var ptraceSource []byte

// build makes the guest's root directory, and the library that its kernel is loaded with.
func build(ctx context.Context, dir string, progress io.Writer) error {
	module, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "sluice").Output()
	if err != nil {
		return fmt.Errorf("the guest's programs are built from source, inside the module: %w", err)
	}
	root := rootOf(dir)
	for _, sub := range []string{"dev", "proc"} {
		if err := os.MkdirAll(filepath.Join(root, sub), 0o755); err != nil {
			return err
		}
	}
	for program, source := range map[string]string{gatewayProgram: ".", initProgram: "./loadtest/million"} {
		cmd := exec.CommandContext(ctx, "go", "build", "-C", strings.TrimSpace(string(module)), "-o", filepath.Join(root, program), source)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // there is no libc in the guest
		cmd.Stderr = progress
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("building %s: %w", source, err)
		}
	}
	cmd := exec.CommandContext(ctx, compiler, "-O2", "-shared", "-fPIC", "-o", libraryOf(dir), "-xc", "-")
	cmd.Stdin = bytes.NewReader(ptraceSource)
	cmd.Stderr = progress
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building ptrace.c: %w", err)
	}
	return nil
}

func rootOf(dir string) string    { return filepath.Join(dir, "root") }
func libraryOf(dir string) string { return filepath.Join(dir, "ptrace.so") }

// boot runs the guest to its end.
func boot(ctx context.Context, dir string, conns, memory int, progress io.Writer) (*report, error) {
	messages, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer messages.Close()

	var console tail
	cmd := exec.CommandContext(ctx, kernelProgram,
		fmt.Sprintf("mem=%dM", memory),
		"rootfstype=hostfs", "rootflags="+rootOf(dir), "rw", "init=/"+initProgram,
		"uml_dir="+dir,
		"con0=null,fd:1", "con1=null,fd:3", "con=null",
		"--", guestMode, "-conns", strconv.Itoa(conns))
	cmd.Env = []string{"LD_PRELOAD=" + libraryOf(dir)}
	cmd.Stdout, cmd.Stderr = &console, &console
	cmd.ExtraFiles = []*os.File{out} // 3
	// Each of the guest's processes is one of the host's, and they survive the kernel's sudden death.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	group := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = group
	cmd.WaitDelay = 5 * time.Second
	err = cmd.Start()
	out.Close()
	if err != nil {
		return nil, err
	}
	pin(cmd.Process.Pid)
	end := make(chan heard, 1)
	go func() { end <- listen(messages, progress) }()
	err = cmd.Wait()
	group() // nobody is left as a rule
	h := <-end
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case h.err != nil:
		return nil, fmt.Errorf("%w\n%s", h.err, console.String())
	case h.report == nil:
		return nil, fmt.Errorf("the guest died (%v); the end of its console:\n%s", err, console.String())
	}
	return h.report, nil
}

// heard is what has come from the guest.
type heard struct {
	report *report
	err    error
}

// listen takes messages until no process of the guest is left.
func listen(r io.Reader, progress io.Writer) (h heard) {
	for dec := json.NewDecoder(r); ; {
		var m message
		switch err := dec.Decode(&m); {
		case err == io.EOF:
			return h
		case err != nil:
			return heard{err: fmt.Errorf("the guest's messages: %w", err)}
		case m.Error != "":
			h.err = errors.New(m.Error)
		case m.Report != nil:
			h.report = m.Report
		default:
			fmt.Fprintln(progress, m.Progress)
		}
	}
}

// tail keeps the end of what is written to it.
type tail struct{ end []byte }

func (t *tail) Write(p []byte) (int, error) {
	const most = 8 << 10
	t.end = append(t.end, p...)
	t.end = t.end[max(0, len(t.end)-most):]
	return len(p), nil
}

func (t *tail) String() string { return string(t.end) }
