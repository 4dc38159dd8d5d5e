package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A server is the processes under load, seen through the kernel's eyes.
type server struct{ pids []int }

// findServer returns the processes that hold a socket listening on addr or, in IPv4's and IPv6's
// absence, on all addresses.
func findServer(addr netip.AddrPort) (server, error) {
	inodes := make(map[string]bool)
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if errors.Is(err, fs.ErrNotExist) {
			continue // no such protocol here
		}
		if err != nil {
			return server{}, err
		}
		found, err := listeners(f, addr)
		f.Close()
		if err != nil {
			return server{}, fmt.Errorf("%s: %w", table, err)
		}
		for _, inode := range found {
			inodes["socket:["+inode+"]"] = true
		}
	}
	if len(inodes) == 0 {
		return server{}, fmt.Errorf("nothing listens on %s on this machine", addr)
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return server{}, err
	}
	var s server
	for _, fd := range fds {
		link, err := os.Readlink(fd)
		if err != nil || !inodes[link] {
			continue // closed meanwhile, or not ours to see
		}
		pid, err := strconv.Atoi(strings.Split(fd, "/")[2])
		if err == nil && !slices.Contains(s.pids, pid) {
			s.pids = append(s.pids, pid)
		}
	}
	if len(s.pids) == 0 {
		return server{}, fmt.Errorf("whoever listens on %s cannot be seen; name the process with -pid", addr)
	}
	return s, nil
}

// listeners reads a table as proc_net_tcp(5) describes it and returns the inodes of sockets that
// listen on addr or on the wildcard address of its port.
func listeners(r io.Reader, addr netip.AddrPort) ([]string, error) {
	const listening = "0A"
	var inodes []string
	lines := bufio.NewScanner(r)
	lines.Scan() // the heading
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 10 {
			return nil, fmt.Errorf("unexpected line %q", lines.Text())
		}
		if f[3] != listening {
			continue
		}
		local, err := parseLocal(f[1])
		if err != nil {
			return nil, err
		}
		if local.Port() == addr.Port() && (local.Addr() == addr.Addr() || local.Addr().IsUnspecified()) {
			inodes = append(inodes, f[9])
		}
	}
	return inodes, lines.Err()
}

// parseLocal reads ADDRESS:PORT, in which the address is 32-bit words in the machine's byte order.
func parseLocal(s string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for w := range slices.Chunk(b, 4) {
		slices.Reverse(w) // Linux on little-endian machines, which are all that this is run on
	}
	ip, ok := netip.AddrFromSlice(b)
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, fmt.Errorf("unexpected address %q", s)
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), nil
}

// cpu is the processor time that the server's processes have used. It reads their CPU clocks
// (clock_getcpuclockid(3)): nanoseconds over all threads, also those that have ended, which the
// schedstat files of the threads do not know any more.
func (s server) cpu() (time.Duration, error) {
	var sum time.Duration
	for _, pid := range s.pids {
		const schedulerClock = 2
		var ts unix.Timespec
		if err := unix.ClockGettime(^int32(pid)<<3|schedulerClock, &ts); err != nil {
			return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
		}
		sum += time.Duration(ts.Nano())
	}
	return sum, nil
}

// threads is how many threads the server's processes have.
func (s server) threads() (int, error) {
	sum := 0
	for _, pid := range s.pids {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			return 0, err
		}
		sum += len(tasks)
	}
	return sum, nil
}

// memory is what the server's processes occupy for themselves alone, in bytes.
func (s server) memory() (int64, error) {
	var sum int64
	for _, pid := range s.pids {
		f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, err
		}
		n, err := privateBytes(f)
		f.Close()
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// privateBytes reads a smaps_rollup (proc_pid_smaps(5)): the part of Rss that is shared with nobody.
func privateBytes(r io.Reader) (int64, error) {
	var sum int64
	found := 0
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		if name != "Private_Clean" && name != "Private_Dirty" {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("smaps_rollup: %w", err)
		}
		sum += kb << 10
		found++
	}
	if found != 2 {
		return 0, errors.New("smaps_rollup: no private memory in it")
	}
	return sum, lines.Err()
}

// kernelMemory is what the kernel's slabs and TCP buffers occupy on this machine, in bytes. It is 0
// where /proc/slabinfo may not be read.
func kernelMemory() (int64, error) {
	f, err := os.Open("/proc/slabinfo")
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	slabs, err := slabBytes(f)
	if err != nil {
		return 0, err
	}
	b, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return 0, err
	}
	buffers, err := tcpBytes(string(b))
	return slabs + buffers, err
}

// slabBytes sums the objects in use of all caches in a slabinfo(5).
func slabBytes(r io.Reader) (int64, error) {
	var sum int64
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 4 || f[0] == "slabinfo" || f[0] == "#" {
			continue
		}
		used, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("slabinfo: %w", err)
		}
		size, err := strconv.ParseInt(f[3], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("slabinfo: %w", err)
		}
		sum += used * size
	}
	return sum, lines.Err()
}

// tcpBytes reads the pages of TCP buffers from a sockstat: "TCP: inuse 1 … mem 237".
func tcpBytes(sockstat string) (int64, error) {
	for line := range strings.Lines(sockstat) {
		f := strings.Fields(line)
		if i := slices.Index(f, "mem"); len(f) > 0 && f[0] == "TCP:" && i > 0 && i+1 < len(f) {
			pages, err := strconv.ParseInt(f[i+1], 10, 64)
			return pages * int64(os.Getpagesize()), err
		}
	}
	return 0, errors.New("sockstat: no TCP memory in it")
}
