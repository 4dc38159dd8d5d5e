package main

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

const tcpTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 71001 1 0 100 0 0 10 0
   1: 0100007F:1F90 0200007F:8000 01 00000000:00000000 00:00000000 00000000     0        0 71002 1 0 20 4 30 10 -1
   2: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 71003 1 0 100 0 0 10 0
   3: 0200007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 71004 1 0 100 0 0 10 0
   4: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 71005 1 0 100 0 0 10 0
`

const tcp6Table = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:1F92 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 72001 1 0 100 0 0 10 0
   1: 00000000000000000000000001000000:1F93 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 72002 1 0 100 0 0 10 0
`

func TestListenersAreThoseOfTheAddress(t *testing.T) {
	for _, tt := range []struct {
		table, addr string
		want        []string
	}{
		{tcpTable, "127.0.0.1:8080", []string{"71001", "71005"}}, // SO_REUSEPORT: several; not the connection
		{tcpTable, "127.0.0.2:8080", []string{"71004"}},
		{tcpTable, "127.0.0.1:8081", []string{"71003"}}, // by the wildcard
		{tcpTable, "127.0.0.1:8082", nil},
		{tcp6Table, "127.0.0.1:8082", []string{"72001"}}, // dual stack
		{tcp6Table, "[::1]:8083", []string{"72002"}},
	} {
		got, err := listeners(strings.NewReader(tt.table), netip.MustParseAddrPort(tt.addr))
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, %v; want %v", tt.addr, got, err, tt.want)
		}
	}
}

func TestListenersRefuseWhatIsNoTable(t *testing.T) {
	for _, table := range []string{"heading\nnonsense\n", strings.Replace(tcpTable, "0100007F:1F90 00000000", "xyz:1F90 00000000", 1)} {
		if got, err := listeners(strings.NewReader(table), netip.MustParseAddrPort("127.0.0.1:8080")); err == nil {
			t.Errorf("%v from %q", got, table)
		}
	}
}

func TestServerIsFoundByItsPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s, err := findServer(l.Addr().(*net.TCPAddr).AddrPort())
	if err != nil || !slices.Equal(s.pids, []int{os.Getpid()}) {
		t.Errorf("%v, %v; want this process, %d", s.pids, err, os.Getpid())
	}
}

func TestServerCPUIsThatOfAllItsThreads(t *testing.T) {
	self := server{[]int{os.Getpid()}}
	low := ownCPU()
	got, err := self.cpu()
	high := ownCPU()
	if err != nil || got < low || got > high {
		t.Errorf("%v, %v; want between %v and %v", got, err, low, high)
	}
	twice, err := server{[]int{os.Getpid(), os.Getpid()}}.cpu()
	if err != nil || twice < 2*high || twice > 2*high+2*time.Minute {
		t.Errorf("%v, %v for two processes; want at least %v", twice, err, 2*high)
	}
	if _, err := (server{[]int{1 << 22}}).cpu(); err == nil {
		t.Error("a process that cannot exist has a CPU clock")
	}
}

func TestPrivateBytesLeaveOutWhatIsShared(t *testing.T) {
	const rollup = `55eef5fc2000-7ffdc33f2000 ---p 00000000 00:00 0                          [rollup]
Rss:                1736 kB
Pss:                 339 kB
Shared_Clean:       1560 kB
Private_Clean:        60 kB
Private_Dirty:       116 kB
Referenced:         1736 kB
`
	if got, err := privateBytes(strings.NewReader(rollup)); err != nil || got != 176<<10 {
		t.Errorf("%d, %v; want %d", got, err, 176<<10)
	}
	for _, bad := range []string{"", "Private_Clean: 60 kB\n", strings.Replace(rollup, "116", "many", 1)} {
		if got, err := privateBytes(strings.NewReader(bad)); err == nil {
			t.Errorf("%d from %q", got, bad)
		}
	}
}

func TestMemoryGrowsWithWhatIsTouched(t *testing.T) {
	self := server{[]int{os.Getpid()}}
	before, err := self.memory()
	if err != nil {
		t.Fatal(err)
	}
	const size = 32 << 20
	b := make([]byte, size)
	for i := 0; i < len(b); i += os.Getpagesize() {
		b[i] = 1
	}
	after, err := self.memory()
	if err != nil || after-before < size/2 {
		t.Errorf("grew by %d, %v; %d were touched", after-before, err, len(b))
	}
}

func TestSlabBytesCountObjectsInUse(t *testing.T) {
	const slabs = `slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>
TCP                   26     39   2368   13    8 : tunables    0    0    0 : slabdata      2      2      0
filp                 714    800    192   21    1 : tunables    0    0    0 : slabdata     34     34      0
`
	if got, err := slabBytes(strings.NewReader(slabs)); err != nil || got != 26*2368+714*192 {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := slabBytes(strings.NewReader("TCP many 39 2368\n")); err == nil {
		t.Error("no error for what is no number")
	}
}

func TestTCPBytesAreThePagesOfItsBuffers(t *testing.T) {
	const sockstat = "sockets: used 16\nTCP: inuse 1 orphan 0 tw 1 alloc 1 mem 237\nUDP: inuse 0 mem 5\n"
	if got, err := tcpBytes(sockstat); err != nil || got != 237*int64(os.Getpagesize()) {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := tcpBytes("UDP: inuse 0 mem 5\n"); err == nil {
		t.Error("no error without a line for TCP")
	}
}
