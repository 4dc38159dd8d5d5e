package doctor

import "fmt"

// bound is one thing that limits the number of connections.
type bound struct {
	name  string
	most  number // connections
	how   string // how it is computed
	raise string // how to raise it
}

// bounds computes what each resource allows. h is what was read of the host.
func bounds(h *host, o *Options) []bound {
	each := int64(o.UserBytes) + int64(o.KernelBytes)
	base := exactly(int64(o.BaseBytes))
	bs := []bound{
		{
			name:  "descriptors",
			most:  h.soft.less(exactly(int64(o.Reserve))),
			how:   fmt.Sprintf("%v less %d for the node itself, plain HTTP and newcomers", h.soft, o.Reserve),
			raise: fmt.Sprintf("LimitNOFILE= in the systemd unit, --ulimit nofile= for a container, ulimit -n in a shell; at most fs.nr_open (%v)", h.nrOpen),
		},
		{
			name:  "fs.file-max",
			most:  h.fileMax.less(h.filesOpen),
			how:   fmt.Sprintf("%v for the whole host less %v in use", h.fileMax, h.filesOpen),
			raise: "sysctl fs.file-max",
		},
		{
			name:  "host memory",
			most:  h.available.less(base).over(each),
			how:   fmt.Sprintf("%s available less %s, over %v B", amount(h.available), amount(base), exactly(each)),
			raise: "more memory, or less beside the gateway",
		},
	}
	if h.group.bytes.known {
		bs = append(bs, bound{
			name:  "cgroup memory",
			most:  h.group.bytes.less(base).over(each),
			how:   fmt.Sprintf("%s less %s, over %v B: the kernel's socket memory is charged to the group too", amount(h.group.bytes), amount(base), exactly(each)),
			raise: fmt.Sprintf("MemoryMax= in the systemd unit, the memory limit of the container (%s)", h.group.source),
		})
	}
	if h.goLimit.known {
		bs = append(bs, bound{
			name:  "GOMEMLIMIT",
			most:  h.goLimit.less(base).over(int64(o.UserBytes)),
			how:   fmt.Sprintf("%s less %s, over %d B", amount(h.goLimit), amount(base), o.UserBytes),
			raise: "raise or unset GOMEMLIMIT; without it the gateway derives one from the memory limit",
		})
	}
	bs = append(bs, bound{
		name:  "net.ipv4.tcp_mem",
		most:  h.tcpMem[2].less(h.tcpPages).times(100).over(int64(o.BusyPercent)),
		how:   fmt.Sprintf("%v pages less %v in use, if %d %% of the connections have a page under way", h.tcpMem[2], h.tcpPages, o.BusyPercent),
		raise: "sysctl net.ipv4.tcp_mem (pages: low, pressure, high)",
	})
	if h.conntrackMax.known {
		bs = append(bs, bound{
			name:  "conntrack",
			most:  h.conntrackMax.less(h.conntracks),
			how:   fmt.Sprintf("%v tracked connections less %v in use, if the firewall tracks them", h.conntrackMax, h.conntracks),
			raise: "sysctl net.netfilter.nf_conntrack_max, or do not track the gateway's port",
		})
	}
	return bs
}

// first returns the bound that is reached before the others; false if none is known.
func first(bs []bound) (least bound, ok bool) {
	for _, b := range bs {
		if b.most.known && (!ok || b.most.value < least.most.value) {
			least, ok = b, true
		}
	}
	return least, ok
}
