package doctor

import (
	"io/fs"
	"math"
	"strconv"
	"strings"
)

// host is what could be read of the machine.
type host struct {
	soft, hard         number // descriptors of this process
	fileMax, filesOpen number // of the whole host
	nrOpen             number

	memory, available number // bytes
	group             limit
	goLimit           number
	goLimitText       string

	tcpMem                   [3]number // pages: low, pressure, high
	tcpPages                 number
	rmem, wmem               [3]number // bytes: least, default, most
	conntrackMax, conntracks number

	somaxconn, synBacklog, netdevBacklog number
	portLow, portHigh                    number

	processors int
	quota      number // thousandths of a processor
}

func examine(o *Options) *host {
	root := o.Root
	h := &host{
		fileMax:       field(root, "/proc/sys/fs/file-max", 0),
		filesOpen:     field(root, "/proc/sys/fs/file-nr", 0),
		nrOpen:        field(root, "/proc/sys/fs/nr_open", 0),
		memory:        meminfo(root, "MemTotal"),
		available:     meminfo(root, "MemAvailable"),
		group:         groupMemory(root),
		goLimitText:   o.Getenv("GOMEMLIMIT"),
		tcpMem:        triple(root, "/proc/sys/net/ipv4/tcp_mem"),
		tcpPages:      tcpPages(root),
		rmem:          triple(root, "/proc/sys/net/ipv4/tcp_rmem"),
		wmem:          triple(root, "/proc/sys/net/ipv4/tcp_wmem"),
		conntrackMax:  field(root, "/proc/sys/net/netfilter/nf_conntrack_max", 0),
		conntracks:    field(root, "/proc/sys/net/netfilter/nf_conntrack_count", 0),
		somaxconn:     field(root, "/proc/sys/net/core/somaxconn", 0),
		synBacklog:    field(root, "/proc/sys/net/ipv4/tcp_max_syn_backlog", 0),
		netdevBacklog: field(root, "/proc/sys/net/core/netdev_max_backlog", 0),
		portLow:       field(root, "/proc/sys/net/ipv4/ip_local_port_range", 0),
		portHigh:      field(root, "/proc/sys/net/ipv4/ip_local_port_range", 1),
		processors:    o.Processors,
		quota:         cpuQuota(root),
	}
	if h.conntrackMax.value == 0 {
		h.conntrackMax = number{} // The kernel takes 0 for no limit.
	}
	h.goLimit = goMemory(h.goLimitText)
	if soft, hard, err := o.Descriptors(); err == nil {
		h.soft, h.hard = exactly(int64(min(soft, math.MaxInt64))), exactly(int64(min(hard, math.MaxInt64)))
	}
	return h
}

func triple(root fs.FS, name string) (t [3]number) {
	copy(t[:], fields(root, name))
	return t
}

// goMemory parses GOMEMLIMIT as the Go runtime does: bytes with B, KiB, MiB, GiB
// or TiB; unknown for off and for what the runtime would refuse.
func goMemory(s string) number {
	shift := 0
	if rest, ok := strings.CutSuffix(s, "B"); ok {
		s = rest
		for i, unit := range [...]string{"Ki", "Mi", "Gi", "Ti"} {
			if rest, ok := strings.CutSuffix(s, unit); ok {
				s, shift = rest, 10*(i+1)
			}
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		return number{}
	}
	return exactly(n << shift)
}
