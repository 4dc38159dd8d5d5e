package doctor

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"sluice/gateway/golden"
	"sluice/netpoll"
)

// server is a host with nothing to complain of, except its 20,000 descriptors.
func server() map[string]string {
	return map[string]string{
		"/proc/sys/fs/file-max":                      "9223372036854775807",
		"/proc/sys/fs/file-nr":                       "1024\t0\t9223372036854775807",
		"/proc/sys/fs/nr_open":                       "1048576",
		"/proc/sys/net/core/somaxconn":               "4096",
		"/proc/sys/net/core/netdev_max_backlog":      "1000",
		"/proc/sys/net/ipv4/tcp_max_syn_backlog":     "4096",
		"/proc/sys/net/ipv4/ip_local_port_range":     "32768\t60999",
		"/proc/sys/net/ipv4/tcp_mem":                 "187767\t250357\t375534",
		"/proc/sys/net/ipv4/tcp_rmem":                "4096\t131072\t6291456",
		"/proc/sys/net/ipv4/tcp_wmem":                "4096\t16384\t4194304",
		"/proc/sys/net/netfilter/nf_conntrack_max":   "262144",
		"/proc/sys/net/netfilter/nf_conntrack_count": "144",
		"/proc/net/sockstat":                         "sockets: used 290\nTCP: inuse 10 orphan 0 tw 4 alloc 12 mem 34\nUDP: inuse 1 mem 9",
		"/proc/meminfo":                              "MemTotal:       16384000 kB\nMemFree:         1024 kB\nMemAvailable:   12288000 kB",
	}
}

func fixed(soft, hard uint64) func() (uint64, uint64, error) {
	return func() (uint64, uint64, error) { return soft, hard, nil }
}

func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for _, p := range pairs {
			if value, ok := strings.CutPrefix(p, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

func TestReports(t *testing.T) {
	container := server()
	container["/proc/self/cgroup"] = "0::/"
	container["/proc/self/mountinfo"] = mountedV2
	container["/sys/fs/cgroup/memory.max"] = "536870912"
	container["/sys/fs/cgroup/memory.current"] = "31457280"
	container["/sys/fs/cgroup/cpu.max"] = "150000 100000"
	container["/proc/sys/net/core/somaxconn"] = "128"
	container["/proc/sys/net/ipv4/tcp_max_syn_backlog"] = "512"
	for _, name := range []string{"nf_conntrack_max", "nf_conntrack_count"} {
		delete(container, "/proc/sys/net/netfilter/"+name)
	}

	for _, test := range []struct {
		name    string
		options Options
		err     string
	}{
		{"server", Options{Root: tree(server()), Descriptors: fixed(20000, 20000), Want: 19936}, ""},
		{"container", Options{Root: tree(container), Descriptors: fixed(1<<20, 1<<20), Getenv: environment("GOMEMLIMIT=100MiB"), Want: 200000},
			"this host holds 113,195 connections, not the 200,000 wanted; cgroup memory binds first"},
		{"unknown", Options{Root: fstest.MapFS{}, Want: 1000000,
			Descriptors: func() (uint64, uint64, error) { return 0, 0, errors.New("no such limit") }}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.options.Getenv == nil {
				test.options.Getenv = environment()
			}
			test.options.Processors = 2
			var out bytes.Buffer
			err := Run(&out, test.options)
			if got := text(err); got != test.err {
				t.Errorf("error %q, want %q", got, test.err)
			}
			golden.Check(t, filepath.Join("testdata", test.name+".golden"), out.Bytes())
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Each resource in turn is made the scarcest, and must be the one that is named.
func TestTheScarcestResourceBindsFirst(t *testing.T) {
	for _, test := range []struct {
		name  string
		alter func(files map[string]string, o *Options)
		most  int64
	}{
		{"descriptors", func(_ map[string]string, o *Options) { o.Descriptors = fixed(1064, 4096) }, 1000},
		{"fs.file-max", func(f map[string]string, _ *Options) {
			f["/proc/sys/fs/file-max"], f["/proc/sys/fs/file-nr"] = "3000", "1000 0 3000"
		}, 2000},
		{"host memory", func(f map[string]string, o *Options) {
			f["/proc/meminfo"] = "MemTotal: 200000 kB\nMemAvailable: 66536 kB"
			o.BaseBytes, o.UserBytes, o.KernelBytes = 64<<20, 24, 1000
		}, 1000},
		{"cgroup memory", func(f map[string]string, o *Options) {
			f["/proc/self/cgroup"], f["/proc/self/mountinfo"] = "0::/", mountedV2
			f["/sys/fs/cgroup/memory.max"] = "5150000"
			o.BaseBytes = 1000000
		}, 1000},
		{"GOMEMLIMIT", func(_ map[string]string, o *Options) {
			o.Getenv, o.BaseBytes = environment("GOMEMLIMIT=1300000"), 1000000
		}, 1000},
		{"net.ipv4.tcp_mem", func(f map[string]string, o *Options) {
			f["/proc/sys/net/ipv4/tcp_mem"], o.BusyPercent = "1 2 534", 50
		}, 1000},
		{"conntrack", func(f map[string]string, _ *Options) { f["/proc/sys/net/netfilter/nf_conntrack_max"] = "1144" }, 1000},
	} {
		t.Run(test.name, func(t *testing.T) {
			files, o := server(), Options{Descriptors: fixed(1<<40, 1<<40), Getenv: environment()}
			test.alter(files, &o)
			o.Root = tree(files)
			o.complete()
			got, ok := first(bounds(examine(&o), &o))
			if !ok || got.name != test.name || got.most != exactly(test.most) {
				t.Errorf("%s at %v, want %s at %d", got.name, got.most, test.name, test.most)
			}
			for want, wrong := range map[int64]bool{test.most: false, test.most + 1: true} {
				o.Want = int(want)
				if err := Run(new(bytes.Buffer), o); (err != nil) != wrong {
					t.Errorf("wanted %d: %v", want, err)
				}
			}
		})
	}
}

func TestConntrackWithoutALimitDoesNotBind(t *testing.T) {
	files := server()
	files["/proc/sys/net/netfilter/nf_conntrack_max"] = "0"
	o := Options{Root: tree(files), Descriptors: fixed(1064, 1064), Getenv: environment(), Want: 1000}
	if err := Run(new(bytes.Buffer), o); err != nil {
		t.Error(err)
	}
}

func TestThisHostHasAReport(t *testing.T) {
	var out bytes.Buffer
	if err := Run(&out, Options{}); err != nil {
		t.Fatal(err)
	}
	soft, _, err := netpoll.DescriptorLimit()
	if err != nil {
		t.Fatal(err)
	}
	if want := exactly(int64(soft)).String() + " soft"; !strings.Contains(out.String(), want) || strings.Contains(out.String(), "Binds first: unknown") {
		t.Errorf("no %q, or nothing known:\n%s", want, out.String())
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestAReportThatCannotBeWrittenIsAnError(t *testing.T) {
	if err := Run(brokenPipe{}, Options{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v", err)
	}
}

func TestGOMEMLIMITIsReadAsTheRuntimeReadsIt(t *testing.T) {
	for s, want := range map[string]number{
		"": {}, "off": {}, "1G": {}, "-1": {}, "1.5GiB": {}, "MiB": {}, "9223372036854775808": {}, "8388608TiB": {},
		"0": exactly(0), "1024": exactly(1024), "7B": exactly(7), "64KiB": exactly(64 << 10), "2GiB": exactly(2 << 30), "3TiB": exactly(3 << 40),
	} {
		if got := goMemory(s); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
}

func TestNumbersPrintReadably(t *testing.T) {
	for want, got := range map[string]string{
		"0": exactly(0).String(), "999": exactly(999).String(), "1,000": exactly(1000).String(), "12,345,678": exactly(12345678).String(),
		"unknown": number{}.String(), "unlimited": parse("18446744073709551615").String(),
		"0 B": amount(exactly(0)), "1.5 KiB": amount(exactly(1536)), "12.34 GiB": amount(exactly(13250000000)), "unlimited ": amount(exactly(unlimited)) + " ",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
