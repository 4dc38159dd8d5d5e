package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// takeSample reads what the process and the kernel occupy.
func takeSample(pid int) (s sample, err error) {
	rollup, err := kilobytes(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Rss", "Private_Clean", "Private_Dirty")
	if err != nil {
		return sample{}, err
	}
	s.Resident, s.Private = rollup[0], rollup[1]+rollup[2]
	if s.Kernel, err = kernelMemory(); err != nil {
		return sample{}, err
	}
	s.Available, err = availableMemory()
	return s, err
}

// availableMemory is MemAvailable of proc_meminfo(5), in bytes.
func availableMemory() (int64, error) {
	m, err := kilobytes("/proc/meminfo", "MemAvailable")
	if err != nil {
		return 0, err
	}
	return m[0], nil
}

// kilobytes reads the named lines, such as "Rss: 12 kB", of a file, and returns bytes.
func kilobytes(file string, names ...string) ([]int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	found, err := values(string(text), ":", names...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for i := range found {
		found[i] <<= 10
	}
	return found, nil
}

// values reads the numbers behind the named beginnings of lines and the separator. Each must be there.
func values(text, separator string, names ...string) ([]int64, error) {
	found := make([]int64, len(names))
	missing := len(names)
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), separator)
		i := slices.Index(names, name)
		if i < 0 {
			continue
		}
		// Metrics are floating-point numbers: a million is 1e+06.
		n, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(value, " kB")), 64)
		if err != nil {
			return nil, err
		}
		found[i] = int64(n)
		missing--
	}
	if missing != 0 {
		return nil, fmt.Errorf("want %s, found %d of them", strings.Join(names, ", "), len(names)-missing)
	}
	return found, nil
}

// kernelMemory is what the kernel's slabs and TCP buffers occupy, in bytes.
func kernelMemory() (int64, error) {
	slabs, err := os.Open("/proc/slabinfo")
	if err != nil {
		return 0, err
	}
	defer slabs.Close()
	pages, err := slabPages(slabs)
	if err != nil {
		return 0, fmt.Errorf("slabinfo: %w", err)
	}
	sockets, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return 0, err
	}
	buffers, err := tcpPages(string(sockets))
	if err != nil {
		return 0, fmt.Errorf("sockstat: %w", err)
	}
	return (pages + buffers) * int64(os.Getpagesize()), nil
}

// slabPages sums the pages of all caches in a slabinfo(5), those between objects included:
// "name … objsize objperslab pagesperslab : tunables … : slabdata active_slabs num_slabs sharedavail".
func slabPages(r io.Reader) (int64, error) {
	var sum int64
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) == 0 || f[0] == "slabinfo" || f[0] == "#" {
			continue
		}
		if len(f) < 15 {
			return 0, fmt.Errorf("unexpected line %q", lines.Text())
		}
		perSlab, err := strconv.ParseInt(f[5], 10, 64)
		if err != nil {
			return 0, err
		}
		slabs, err := strconv.ParseInt(f[14], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += slabs * perSlab
	}
	return sum, lines.Err()
}

// tcpPages reads the pages of TCP buffers from a sockstat: "TCP: inuse 1 … mem 237".
func tcpPages(sockstat string) (int64, error) {
	for line := range strings.Lines(sockstat) {
		f := strings.Fields(line)
		if i := slices.Index(f, "mem"); len(f) > 0 && f[0] == "TCP:" && i > 0 && i+1 < len(f) {
			return strconv.ParseInt(f[i+1], 10, 64)
		}
	}
	return 0, errors.New("no TCP memory in it")
}
