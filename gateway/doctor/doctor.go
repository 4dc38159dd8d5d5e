// Package doctor looks at the host and says how many connections it holds: what
// the kernel, the container and the Go runtime allow, which of it binds first,
// and how to raise that.
//
// [Run] prints the report of "sluice doctor". [MemoryLimit] is the one figure
// of it that the gateway itself starts with. The package only reads files below
// /proc and /sys, all of them through an [fs.FS]; what is missing is unknown.
package doctor

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"

	"sluice/netpoll"
)

// Options are what a report assumes. The zero Options look at this host, with
// the figures measured for an idle connection.
type Options struct {
	Want int // connections the configuration asks for; 0: none in particular

	UserBytes   int // the gateway's memory for an idle connection; 0: 300
	KernelBytes int // the kernel's memory for its socket; 0: 3850
	BaseBytes   int // the gateway's memory without connections; 0: 64 MiB
	Reserve     int // descriptors that are not connections; 0: 64
	BusyPercent int // connections with bytes in the kernel's buffers at a time; 0: 10

	Root        fs.FS                                 // holds proc and sys; nil: that of this host
	Descriptors func() (soft, hard uint64, err error) // nil: netpoll.DescriptorLimit
	Getenv      func(string) string                   // nil: os.Getenv
	Processors  int                                   // 0: runtime.GOMAXPROCS
}

func (o *Options) complete() {
	positive := func(n *int, standard int) {
		if *n <= 0 {
			*n = standard
		}
	}
	positive(&o.UserBytes, 300)
	positive(&o.KernelBytes, 3850)
	positive(&o.BaseBytes, 64<<20)
	positive(&o.Reserve, 64)
	positive(&o.BusyPercent, 10)
	positive(&o.Processors, runtime.GOMAXPROCS(0))
	if o.Root == nil {
		o.Root = os.DirFS("/")
	}
	if o.Descriptors == nil {
		o.Descriptors = netpoll.DescriptorLimit
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
}

// Run writes the report to w. It returns an error if w fails, or if the host
// does not hold o.Want connections.
func Run(w io.Writer, o Options) error {
	o.complete()
	h := examine(&o)
	bs := bounds(h, &o)
	least, known := first(bs)

	var out bytes.Buffer
	h.print(&out)
	fmt.Fprintf(&out, "\nConnections this host holds, at %v B of the gateway's memory and %v B of the kernel's each\n",
		exactly(int64(o.UserBytes)), exactly(int64(o.KernelBytes)))
	table(&out, func(row func(cells ...string)) {
		for _, b := range bs {
			if b.most.known {
				row(b.name, b.most.String(), b.how)
			} else {
				row(b.name, b.most.String(), "")
			}
		}
	})
	if known {
		fmt.Fprintf(&out, "\nBinds first: %s, at %v connections\n  To raise it: %s\n", least.name, least.most, least.raise)
	} else {
		fmt.Fprint(&out, "\nBinds first: unknown\n")
	}
	short := known && int64(o.Want) > least.most.value
	switch {
	case short:
		fmt.Fprintf(&out, "\nWanted: %v connections, which is too many\n", exactly(int64(o.Want)))
	case o.Want > 0 && known:
		fmt.Fprintf(&out, "\nWanted: %v connections, which is fine\n", exactly(int64(o.Want)))
	}
	h.advise(&out, &o)

	if _, err := w.Write(out.Bytes()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if short {
		return fmt.Errorf("this host holds %v connections, not the %v wanted; %s binds first", least.most, exactly(int64(o.Want)), least.name)
	}
	return nil
}

func (h *host) print(out *bytes.Buffer) {
	fmt.Fprint(out, "Host\n")
	table(out, func(row func(cells ...string)) {
		row("descriptors", fmt.Sprintf("%v soft, %v hard", h.soft, h.hard))
		row("fs.file-max", fmt.Sprintf("%v, %v in use", h.fileMax, h.filesOpen))
		row("fs.nr_open", h.nrOpen.String())
		row("net.core.somaxconn", h.somaxconn.String())
		row("net.ipv4.tcp_max_syn_backlog", h.synBacklog.String())
		row("net.core.netdev_max_backlog", h.netdevBacklog.String())
		row("net.ipv4.ip_local_port_range", fmt.Sprintf("%s to %s", h.portLow.plain(), h.portHigh.plain()))
		row("net.ipv4.tcp_mem", fmt.Sprintf("%v, %v, %v pages; %v in use", h.tcpMem[0], h.tcpMem[1], h.tcpMem[2], h.tcpPages))
		row("net.ipv4.tcp_rmem", fmt.Sprintf("%v, %v, %v B", h.rmem[0], h.rmem[1], h.rmem[2]))
		row("net.ipv4.tcp_wmem", fmt.Sprintf("%v, %v, %v B", h.wmem[0], h.wmem[1], h.wmem[2]))
		if h.conntrackMax.known {
			row("nf_conntrack_max", fmt.Sprintf("%v, %v in use", h.conntrackMax, h.conntracks))
		}
		row("memory", fmt.Sprintf("%s, %s available", amount(h.memory), amount(h.available)))
		if h.group.bytes.known {
			row("cgroup memory", fmt.Sprintf("%s (%s), %s in use", amount(h.group.bytes), h.group.source, amount(h.group.used)))
		} else {
			row("cgroup memory", "no limit")
		}
		switch {
		case h.goLimit.known:
			row("GOMEMLIMIT", amount(h.goLimit))
		case h.goLimitText == "":
			row("GOMEMLIMIT", "not set")
		default:
			row("GOMEMLIMIT", h.goLimitText)
		}
		row("GOMAXPROCS", strconv.Itoa(h.processors))
		if h.quota.known {
			row("CPU quota", fmt.Sprintf("%.1f processors", float64(h.quota.value)/1000))
		} else {
			row("CPU quota", "none")
		}
	})
}

// advise says what does not bound the number of connections and still hurts.
func (h *host) advise(out *bytes.Buffer, o *Options) {
	var notes []string
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	const backlog = 4096
	if h.somaxconn.known && h.somaxconn.value < backlog {
		note("net.core.somaxconn is %v: a storm of reconnects overflows the listener's queue; set %d or more.", h.somaxconn, backlog)
	}
	if h.synBacklog.known && h.synBacklog.value < backlog {
		note("net.ipv4.tcp_max_syn_backlog is %v: a storm of reconnects falls back to SYN cookies; set %d or more.", h.synBacklog, backlog)
	}
	if h.portLow.known && h.portHigh.known {
		note("Through a proxy with one address, at most %v connections reach one address and port of the gateway (net.ipv4.ip_local_port_range of the proxy, if it is set as here); give it more addresses or the gateway more ports.",
			exactly(max(0, h.portHigh.value-h.portLow.value+1)))
	}
	if h.quota.known && h.quota.value < int64(h.processors)*1000 {
		note("The CPU quota (%.1f) is below GOMAXPROCS (%d): the kernel will stop every loop in mid-period; lower GOMAXPROCS or raise the quota.", float64(h.quota.value)/1000, h.processors)
	}
	if len(notes) == 0 {
		return
	}
	fmt.Fprint(out, "\nNotes\n")
	for _, n := range notes {
		fmt.Fprintf(out, "  %s\n", n)
	}
}

// table prints rows in aligned columns.
func table(out io.Writer, fill func(row func(cells ...string))) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fill(func(cells ...string) {
		fmt.Fprintf(t, "  %s\n", strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	})
	t.Flush() // A bytes.Buffer does not fail.
}
