package admin

import (
	"os"
	"testing"
	"testing/fstest"
)

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

func TestMemoryIsReadWhereTheKernelTellsIt(t *testing.T) {
	page := int64(os.Getpagesize())
	status := file("Name:\tsluice\nVmRSS:\t  9000 kB\nRssAnon:\t    5000 kB\nRssFile:\t 4000 kB\n")
	sockets := file("sockets: used 10\nTCP: inuse 4 orphan 0 tw 0 alloc 5 mem 7\nUDP: inuse 0 mem 3\n")
	for name, c := range map[string]struct {
		root fstest.MapFS
		want usage
	}{
		"control group": {
			fstest.MapFS{
				"proc/self/status":          status,
				"proc/self/cgroup":          file("0::/system.slice/sluice.service\n"),
				"proc/net/sockstat":         sockets,
				"sys/fs/cgroup/memory.stat": file("kernel 1\nsock 1\n"),
				"sys/fs/cgroup/system.slice/sluice.service/memory.stat": file("anon 5\nkernel 3000\nkernel_stack 9\nsock 40\n"),
			},
			usage{User: 5000 * 1024, Kernel: 3040, Source: "cgroup"},
		},
		"container": {
			fstest.MapFS{
				"proc/self/status":          status,
				"proc/self/cgroup":          file("0::/\n"),
				"sys/fs/cgroup/memory.stat": file("kernel 3000\nsock 40\n"),
			},
			usage{User: 5000 * 1024, Kernel: 3040, Source: "cgroup"},
		},
		"version 1": {
			fstest.MapFS{
				"proc/self/status":  status,
				"proc/self/cgroup":  file("4:memory:/a\n0::/\n"),
				"proc/net/sockstat": sockets,
			},
			usage{User: 5000 * 1024, Kernel: 7 * page, Source: "buffers"},
		},
		"nothing": {fstest.MapFS{}, usage{}},
	} {
		if got := (&memory{root: c.root}).usage(); withoutGrowth(got) != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func withoutGrowth(u usage) usage {
	u.UserGrowth, u.Growth = 0, 0
	return u
}

func TestGrowthIsWhatCameSinceTheStart(t *testing.T) {
	root := fstest.MapFS{
		"proc/self/status":  file("RssAnon: 5000 kB\n"),
		"proc/net/sockstat": file("TCP: inuse 4 mem 1\n"),
	}
	m := newMemory(root)
	root["proc/self/status"] = file("RssAnon: 5600 kB\n")
	root["proc/net/sockstat"] = file("TCP: inuse 4 mem 3\n")
	if u := m.usage(); u.UserGrowth != 600*1024 || u.Growth != 2*int64(os.Getpagesize()) {
		t.Errorf("grown by %d and %d", u.UserGrowth, u.Growth)
	}
	root["proc/self/status"] = file("RssAnon: 100 kB\n")
	root["proc/self/cgroup"] = file("0::/\n")
	root["sys/fs/cgroup/memory.stat"] = file("kernel 1000000\n")
	if u := m.usage(); u.UserGrowth != 0 || u.Growth != 0 {
		t.Errorf("less memory, or another account of it, is a growth by %d and %d", u.UserGrowth, u.Growth)
	}
}
