package doctor

import (
	"io/fs"
	"os"
	"strconv"
	"testing"
	"testing/fstest"
)

// tree is a fake root: file contents by absolute path.
func tree(files map[string]string) fs.FS {
	root := fstest.MapFS{}
	for name, content := range files {
		root[name[1:]] = &fstest.MapFile{Data: []byte(content + "\n")}
	}
	return root
}

const (
	mountedV2 = "25 1 0:24 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw"
	mountedV1 = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n" +
		"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n" +
		"35 31 0:32 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory"
	unlimitedV1 = "9223372036854771712"
)

func TestMemoryLimitIsTheLeastThatApplies(t *testing.T) {
	const total = "MemTotal:        1024 kB\nMemFree:          12 kB"
	for _, test := range []struct {
		name   string
		files  map[string]string
		bytes  int64
		source string
	}{
		{"nothing can be read", nil, 0, ""},
		{"a host without cgroups", map[string]string{"/proc/meminfo": total}, 1 << 20, "MemTotal"},
		{"a container of version 2", map[string]string{
			"/proc/meminfo": total, "/proc/self/cgroup": "0::/", "/proc/self/mountinfo": mountedV2,
			"/sys/fs/cgroup/memory.max": "524288", "/sys/fs/cgroup/memory.high": "max",
		}, 512 << 10, "/sys/fs/cgroup/memory.max"},
		{"a parent is tighter", map[string]string{
			"/proc/meminfo": total, "/proc/self/cgroup": "0::/system.slice/sluice.service", "/proc/self/mountinfo": mountedV2,
			"/sys/fs/cgroup/system.slice/sluice.service/memory.max": "524288",
			"/sys/fs/cgroup/system.slice/memory.max":                "262144",
		}, 256 << 10, "/sys/fs/cgroup/system.slice/memory.max"},
		{"throttled before it is killed", map[string]string{
			"/proc/meminfo": total, "/proc/self/cgroup": "0::/a", "/proc/self/mountinfo": mountedV2,
			"/sys/fs/cgroup/a/memory.max": "524288", "/sys/fs/cgroup/a/memory.high": "400000",
		}, 400000, "/sys/fs/cgroup/a/memory.high"},
		{"no limit in version 2", map[string]string{
			"/proc/meminfo": total, "/proc/self/cgroup": "0::/a", "/proc/self/mountinfo": mountedV2,
			"/sys/fs/cgroup/a/memory.max": "max",
		}, 1 << 20, "MemTotal"},
		{"the group has more than the host", map[string]string{
			"/proc/meminfo": total, "/proc/self/cgroup": "0::/a", "/proc/self/mountinfo": mountedV2,
			"/sys/fs/cgroup/a/memory.max": "4194304",
		}, 1 << 20, "MemTotal"},
		{"version 1", map[string]string{
			"/proc/meminfo": total, "/proc/self/cgroup": "4:memory:/a/b\n1:cpu,cpuacct:/", "/proc/self/mountinfo": mountedV1,
			"/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": unlimitedV1,
			"/sys/fs/cgroup/memory/a/memory.limit_in_bytes":   "300000",
			"/sys/fs/cgroup/memory/memory.limit_in_bytes":     unlimitedV1,
		}, 300000, "/sys/fs/cgroup/memory/a/memory.limit_in_bytes"},
		{"version 1 in a container, with the path of the host", map[string]string{
			"/proc/meminfo": total, "/proc/self/cgroup": "4:memory:/docker/abc",
			"/proc/self/mountinfo":                        "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory",
			"/sys/fs/cgroup/memory/memory.limit_in_bytes": "300000",
		}, 300000, "/sys/fs/cgroup/memory/memory.limit_in_bytes"},
		{"both versions, memory in version 1", map[string]string{
			"/proc/meminfo": total, "/proc/self/cgroup": "4:memory:/a\n0::/",
			"/proc/self/mountinfo":                          mountedV1 + "\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
			"/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "300000",
		}, 300000, "/sys/fs/cgroup/memory/a/memory.limit_in_bytes"},
		{"a path from outside the cgroup namespace", map[string]string{
			"/proc/meminfo": total, "/proc/self/cgroup": "0::/../../other", "/proc/self/mountinfo": mountedV2,
			"/sys/fs/cgroup/memory.max": "300000",
		}, 300000, "/sys/fs/cgroup/memory.max"},
		{"only the cgroup can be read", map[string]string{
			"/proc/self/cgroup": "0::/", "/proc/self/mountinfo": mountedV2, "/sys/fs/cgroup/memory.max": "300000",
		}, 300000, "/sys/fs/cgroup/memory.max"},
		{"not mounted", map[string]string{"/proc/meminfo": total, "/proc/self/cgroup": "0::/a\n4:memory:/a"}, 1 << 20, "MemTotal"},
		{"garbage", map[string]string{
			"/proc/meminfo": "MemTotal:\nMemTotal: much kB\n:", "/proc/self/cgroup": "x\n::\n0::/", "/proc/self/mountinfo": "x - y\n - \n" + mountedV2,
			"/sys/fs/cgroup/memory.max": "-7",
		}, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			bytes, source := MemoryLimit(tree(test.files))
			if bytes != test.bytes || source != test.source {
				t.Errorf("%d of %q, want %d of %q", bytes, source, test.bytes, test.source)
			}
		})
	}
}

func TestMemoryLimitOfThisHostIsFound(t *testing.T) {
	if bytes, source := MemoryLimit(os.DirFS("/")); bytes <= 0 || source == "" {
		t.Errorf("%d of %q", bytes, source)
	}
}

func TestCPUQuotaIsTheLeastOfTheGroupAndItsParents(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		want  number
	}{
		{"no cgroup", nil, number{}},
		{"none", map[string]string{"/proc/self/cgroup": "0::/a", "/proc/self/mountinfo": mountedV2, "/sys/fs/cgroup/a/cpu.max": "max 100000"}, number{}},
		{"one and a half", map[string]string{"/proc/self/cgroup": "0::/a", "/proc/self/mountinfo": mountedV2, "/sys/fs/cgroup/a/cpu.max": "150000 100000"}, exactly(1500)},
		{"the parent's", map[string]string{
			"/proc/self/cgroup": "0::/a/b", "/proc/self/mountinfo": mountedV2,
			"/sys/fs/cgroup/a/cpu.max": "50000 100000", "/sys/fs/cgroup/a/b/cpu.max": "150000 100000",
		}, exactly(500)},
		{"version 1", map[string]string{
			"/proc/self/cgroup": "1:cpu,cpuacct:/", "/proc/self/mountinfo": mountedV1,
			"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "400000", "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
		}, exactly(4000)},
		{"none in version 1", map[string]string{
			"/proc/self/cgroup": "1:cpu,cpuacct:/", "/proc/self/mountinfo": mountedV1,
			"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1", "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
		}, number{}},
		{"no period", map[string]string{"/proc/self/cgroup": "0::/a", "/proc/self/mountinfo": mountedV2, "/sys/fs/cgroup/a/cpu.max": "150000 0"}, number{}},
	} {
		if got := cpuQuota(tree(test.files)); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func FuzzMemoryLimit(f *testing.F) {
	f.Add("0::/a/b", mountedV2, "1048576", "MemTotal: 1024 kB")
	f.Add("4:memory:/a\n0::/", mountedV1, unlimitedV1, "MemTotal: 99999999999999999999 kB")
	f.Add("0::/../..", "1 1 0:1 /x /y rw - cgroup2 c rw", "max", "MemTotal:")
	f.Fuzz(func(t *testing.T, cgroup, mountinfo, limit, meminfo string) {
		bytes, source := MemoryLimit(tree(map[string]string{
			"/proc/self/cgroup": cgroup, "/proc/self/mountinfo": mountinfo, "/proc/meminfo": meminfo,
			"/sys/fs/cgroup/memory.max": limit, "/sys/fs/cgroup/memory/a/memory.limit_in_bytes": limit,
		}))
		if bytes < 0 || (source == "") && bytes != 0 {
			t.Errorf("%d of %q", bytes, source)
		}
		if n, err := strconv.ParseInt(limit, 10, 64); err == nil && n >= 0 && source != "" && source != "MemTotal" && bytes != n {
			t.Errorf("%s says %d, not %d", source, n, bytes)
		}
	})
}
