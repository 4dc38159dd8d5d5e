package doctor

import (
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"
)

// MemoryLimit returns how much memory the process may use, in bytes, and what
// says so: the least of the limits of its cgroup and that group's parents
// (memory.max and memory.high, or memory.limit_in_bytes in version 1; cgroups(7))
// and of the host's MemTotal. root holds proc and sys, as os.DirFS("/") does.
// Where nothing can be read it returns 0 and "".
func MemoryLimit(root fs.FS) (bytes int64, source string) {
	least := limit{bytes: meminfo(root, "MemTotal"), source: "MemTotal"}
	if group := groupMemory(root); group.bytes.known && (!least.bytes.known || group.bytes.value < least.bytes.value) {
		least = group
	}
	if !least.bytes.known {
		return 0, ""
	}
	return least.bytes.value, least.source
}

type limit struct {
	bytes  number
	source string
	used   number
}

// groupMemory returns the least memory limit of the process's cgroup and its
// parents, unknown if there is none.
func groupMemory(root fs.FS) limit {
	var least limit
	for _, g := range groups(root, "memory") {
		names, used := []string{"memory.max", "memory.high"}, "memory.current"
		if g.version == 1 {
			names, used = []string{"memory.limit_in_bytes"}, "memory.usage_in_bytes"
		}
		for dir := range g.upwards {
			for _, name := range names {
				file := path.Join(dir, name)
				n := field(root, file, 0) // "max" is no number, and no limit
				if !n.known || n.value >= unlimited {
					continue
				}
				if !least.bytes.known || n.value < least.bytes.value {
					least = limit{n, file, field(root, path.Join(dir, used), 0)}
				}
			}
		}
	}
	return least
}

// cpuQuota returns how many thousandths of a processor the process's cgroup and its parents
// leave it, unknown if they do not limit it.
func cpuQuota(root fs.FS) number {
	var least number
	for _, g := range groups(root, "cpu") {
		for dir := range g.upwards {
			var quota, period number
			if g.version == 1 {
				quota = field(root, path.Join(dir, "cpu.cfs_quota_us"), 0) // -1: no limit
				period = field(root, path.Join(dir, "cpu.cfs_period_us"), 0)
			} else {
				quota = field(root, path.Join(dir, "cpu.max"), 0)
				period = field(root, path.Join(dir, "cpu.max"), 1)
			}
			if !quota.known || period.value <= 0 || quota.value > math.MaxInt64/1000 {
				continue
			}
			if n := quota.value * 1000 / period.value; !least.known || n < least.value {
				least = exactly(n)
			}
		}
	}
	return least
}

// group is the cgroup of this process in one hierarchy.
type group struct {
	version int
	mount   string // where the hierarchy is mounted
	dir     string // the process's group in it
}

// upwards yields the group's directory and those of its parents that can be seen.
func (g group) upwards(yield func(dir string) bool) {
	for dir := g.dir; yield(dir) && dir != g.mount && dir != "/"; dir = path.Dir(dir) {
	}
}

// groups returns the process's group in version 2 and in the version 1 hierarchy
// of the controller, as far as they are mounted.
func groups(root fs.FS, controller string) []group {
	var gs []group
	for line := range strings.Lines(read(root, "/proc/self/cgroup")) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3) // id:controllers:path
		if len(parts) < 3 {
			continue
		}
		g := group{version: 1}
		switch {
		case parts[0] == "0" && parts[1] == "":
			g.version = 2
		case !slices.Contains(strings.Split(parts[1], ","), controller):
			continue
		}
		top, ok := "", false
		if g.mount, top, ok = mounted(root, g.version, controller); !ok {
			continue
		}
		// A container sees its group's path from the host, but mounted at the top.
		inside, below := strings.CutPrefix(parts[2], top)
		if !below {
			inside = ""
		}
		g.dir = path.Join(g.mount, path.Clean("/"+inside))
		gs = append(gs, g)
	}
	return gs
}

// mounted finds a cgroup hierarchy in /proc/self/mountinfo (proc_pid_mountinfo(5)):
// its mount point, and the group that is mounted there.
func mounted(root fs.FS, version int, controller string) (point, top string, ok bool) {
	for line := range strings.Lines(read(root, "/proc/self/mountinfo")) {
		mount, super, found := strings.Cut(line, " - ")
		m, s := strings.Fields(mount), strings.Fields(super)
		if !found || len(m) < 5 || len(s) < 3 {
			continue
		}
		if version == 2 && s[0] == "cgroup2" ||
			version == 1 && s[0] == "cgroup" && slices.Contains(strings.Split(s[2], ","), controller) {
			return path.Clean(m[4]), m[3], true
		}
	}
	return "", "", false
}
