package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mapCount is the bound on the mappings of a process (proc_sys_vm(5)). A guest that exceeds it dies
// without a word.
const mapCount = "/proc/sys/vm/max_map_count"

// raiseMapCount lets processes have want mappings until restore.
func raiseMapCount(want int) (restore func() error, err error) {
	was, err := os.ReadFile(mapCount)
	if err != nil {
		return nil, err
	}
	now, err := strconv.Atoi(strings.TrimSpace(string(was)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", mapCount, err)
	}
	if now >= want {
		return func() error { return nil }, nil
	}
	if err := os.WriteFile(mapCount, []byte(strconv.Itoa(want)), 0); err != nil {
		return nil, fmt.Errorf("so many connections need vm.max_map_count = %d, which is %d: run as root, or set it: %w", want, now, err)
	}
	return func() error { return os.WriteFile(mapCount, was, 0) }, nil
}

// pin keeps a process that has just been started, and what it starts, on one processor. A guest has only
// one, but takes turns with its own processes on the host at each system call, which costs several times
// as much from one processor to another. It is no loss where it is not allowed.
func pin(pid int) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(pid, &set) != nil {
		return
	}
	for cpu := 0; set.Count() > 1; cpu++ {
		set.Clear(cpu)
	}
	unix.SchedSetaffinity(pid, &set)
}

// machine says what this process runs on.
func machine() (string, error) {
	cpus, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "", err
	}
	model := "unknown processor"
	for line := range strings.Lines(string(cpus)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("uname: %w", err)
	}
	return fmt.Sprintf("%s, %d CPU, Linux %s", model, runtime.NumCPU(), unix.ByteSliceToString(u.Release[:])), nil
}
