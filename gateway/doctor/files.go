package doctor

import (
	"bytes"
	"io/fs"
	"math"
	"path"
	"strings"
)

// fields returns the numbers in a file that holds nothing else, such as most of
// /proc/sys. name is an absolute path.
func fields(root fs.FS, name string) []number {
	var ns []number
	for f := range strings.FieldsSeq(read(root, name)) {
		ns = append(ns, parse(f))
	}
	return ns
}

// field returns the i-th number of a file.
func field(root fs.FS, name string, i int) number {
	if ns := fields(root, name); i < len(ns) {
		return ns[i]
	}
	return number{}
}

// read returns a file's content, "" if it cannot be read.
func read(root fs.FS, name string) string {
	data, err := fs.ReadFile(root, strings.TrimPrefix(path.Clean(name), "/"))
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(data))
}

// meminfo returns a line of proc_meminfo(5) in bytes.
func meminfo(root fs.FS, name string) number {
	for line := range strings.Lines(read(root, "/proc/meminfo")) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != name+":" {
			continue
		}
		n := parse(f[1])
		if len(f) > 2 && f[2] == "kB" {
			n.value = min(n.value, math.MaxInt64/1024) * 1024
		}
		return n
	}
	return number{}
}

// tcpPages returns the pages that TCP buffers take now, from /proc/net/sockstat.
func tcpPages(root fs.FS) number {
	for line := range strings.Lines(read(root, "/proc/net/sockstat")) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != "TCP:" {
			continue
		}
		for i := 1; i+1 < len(f); i += 2 {
			if f[i] == "mem" {
				return parse(f[i+1])
			}
		}
	}
	return number{}
}
