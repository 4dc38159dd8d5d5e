package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestValuesAreFoundByName(t *testing.T) {
	const text = "Rss:               13604 kB\nPss:               13000 kB\nPrivate_Dirty:  7 kB\n"
	got, err := values(text, ":", "Private_Dirty", "Rss")
	if err != nil || !slices.Equal(got, []int64{7, 13604}) {
		t.Errorf("have %v, %v", got, err)
	}
	got, err = values("# HeapIdle = 3751936\n# HeapReleased = 99\n", " = ", "# HeapReleased", "# HeapIdle")
	if err != nil || !slices.Equal(got, []int64{99, 3751936}) {
		t.Errorf("have %v, %v", got, err)
	}
	got, err = values("limit 1.000001e+06\n", " ", "limit")
	if err != nil || !slices.Equal(got, []int64{1_000_001}) {
		t.Errorf("have %v, %v", got, err)
	}
	if _, err = values(text, ":", "Rss", "Swap"); err == nil || !strings.Contains(err.Error(), "want Rss, Swap, found 1") {
		t.Errorf("a name that is not there: %v", err)
	}
	if _, err = values("Rss: many kB\n", ":", "Rss"); err == nil {
		t.Error("a value that is no number passed")
	}
}

func TestSlabPagesCountWholeSlabs(t *testing.T) {
	const info = `slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>
TCP                20006  20006   2240   14    8 : tunables    0    0    0 : slabdata   1429   1429      0
filp               20001  20032    256   16    1 : tunables    0    0    0 : slabdata   1252   1252      0
`
	if got, err := slabPages(strings.NewReader(info)); err != nil || got != 1429*8+1252 {
		t.Errorf("have %d, %v", got, err)
	}
	if _, err := slabPages(strings.NewReader("TCP 1 2 3\n")); err == nil {
		t.Error("half a line passed")
	}
}

func TestTCPPagesAreThoseOfTCP(t *testing.T) {
	const stat = "sockets: used 8\nTCP: inuse 3 orphan 0 tw 0 alloc 3 mem 237\nUDP: inuse 0 mem 5\n"
	if got, err := tcpPages(stat); err != nil || got != 237 {
		t.Errorf("have %d, %v", got, err)
	}
	if _, err := tcpPages("UDP: inuse 0 mem 5\n"); err == nil {
		t.Error("UDP's memory passed for TCP's")
	}
}

func TestOwnMemoryIsRead(t *testing.T) {
	m, err := kilobytes("/proc/self/smaps_rollup", "Rss", "Private_Dirty")
	if err != nil || m[0] < m[1] || m[1] < 100<<10 {
		t.Errorf("have %v, %v", m, err)
	}
	if available, err := availableMemory(); err != nil || available < int64(os.Getpagesize()) {
		t.Errorf("have %d, %v available", available, err)
	}
}
