package admin

import (
	"bufio"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

// usage is the memory of the process and what the kernel holds for it, in bytes.
// What connections cost is told from the growth since there were none.
type usage struct {
	User       int64 `json:"user"`       // anonymous resident memory
	UserGrowth int64 `json:"userGrowth"` // since the start
	Kernel     int64 `json:"kernel"`
	Growth     int64 `json:"kernelGrowth"`
	// Source says what Kernel is: "cgroup", all that the kernel charges to the
	// control group of the process; "buffers", where there is none, the socket
	// buffers of the network namespace, without the sockets themselves; or "".
	Source string `json:"kernelSource"`
}

// memory reads usages. Any goroutine may ask it.
type memory struct {
	root  fs.FS // of the file system
	start usage
}

// newMemory takes what is used now as the start.
func newMemory(root fs.FS) *memory {
	m := &memory{root: root}
	m.start = m.usage()
	return m
}

func (m *memory) usage() usage {
	u := usage{User: m.lookup("proc/self/status", "RssAnon:") * 1024}
	u.Kernel, u.Source = m.kernel()
	u.UserGrowth = max(0, u.User-m.start.User)
	if u.Source == m.start.Source {
		u.Growth = max(0, u.Kernel-m.start.Kernel)
	}
	return u
}

// kernel reads the control group's own account (cgroups(7), version 2) or, where
// there is none, sockstat (proc_net(5)).
func (m *memory) kernel() (bytes int64, source string) {
	if group := m.group(); group != "" {
		stat := path.Join("sys/fs/cgroup", group, "memory.stat")
		if kernel := m.lookup(stat, "kernel"); kernel > 0 {
			return kernel + m.lookup(stat, "sock"), "cgroup"
		}
	}
	var pages int64
	found := false
	m.lines("proc/net/sockstat", func(fields []string) {
		for i := 1; i+1 < len(fields) && fields[0] == "TCP:"; i += 2 {
			if fields[i] == "mem" {
				pages, _ = strconv.ParseInt(fields[i+1], 10, 64)
				found = true
			}
		}
	})
	if !found {
		return 0, ""
	}
	return pages * int64(os.Getpagesize()), "buffers"
}

// group returns the path of the process's control group, "" if it is in none of
// version 2.
func (m *memory) group() (group string) {
	m.lines("proc/self/cgroup", func(fields []string) {
		if p, ok := strings.CutPrefix(fields[0], "0::"); ok {
			group = p
		}
	})
	return group
}

// lookup returns the number behind a key that begins a line, 0 if there is none.
func (m *memory) lookup(name, key string) (n int64) {
	m.lines(name, func(fields []string) {
		if fields[0] == key && len(fields) > 1 {
			n, _ = strconv.ParseInt(fields[1], 10, 64)
		}
	})
	return n
}

// lines calls each with the fields of every line that is not empty.
func (m *memory) lines(name string, each func(fields []string)) {
	f, err := m.root.Open(name)
	if err != nil {
		return
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if fields := strings.Fields(s.Text()); len(fields) > 0 {
			each(fields)
		}
	}
}
