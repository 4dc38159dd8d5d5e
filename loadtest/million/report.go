package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// A message is what the guest tells the host, as a line of JSON.
type message struct {
	Progress string  `json:",omitempty"`
	Error    string  `json:",omitempty"` // why there will be no report
	Report   *report `json:",omitempty"`
}

// A report is what a run has measured.
type report struct {
	Machine string
	Samples []sample
	Stages  []stage
	Lost    int    // connections that ended when they should not have
	Why     string // the first of them did
}

// A sample is one reading of memory, in bytes.
type sample struct {
	When      string
	Conns     int
	Private   int64 // of the gateway, shared with nobody
	Spare     int64 // of that, freed and not yet given back
	Resident  int64 // of the gateway, its program included
	Kernel    int64 // slabs and TCP buffers, for both ends of the connections
	Available int64 // what the guest could still give to processes
}

// A stage is one thing that all connections did.
type stage struct {
	Name string
	Ops  int           // connections opened, messages echoed, pings answered, connections closed
	Wall time.Duration // without the readings in between
	CPU  time.Duration // of the gateway
}

// Between these two numbers of connections the cost of one is what others are held against. What the
// process needs anyway does not count in a slope.
const (
	referenceFrom = 6_000
	referenceTo   = 18_000
)

// perConn is what a connection costs between two samples.
func perConn(from, to sample, bytes func(sample) int64) float64 {
	return float64(bytes(to)-bytes(from)) / float64(to.Conns-from.Conns)
}

func user(s sample) int64   { return s.Private - s.Spare }
func kernel(s sample) int64 { return s.Kernel }

// at returns the first sample with so many connections.
func (r *report) at(conns int) (sample, bool) {
	i := slices.IndexFunc(r.Samples, func(s sample) bool { return s.Conns == conns })
	if i < 0 {
		return sample{}, false
	}
	return r.Samples[i], true
}

func (r *report) write(w io.Writer) error {
	fmt.Fprintf(w, "%s\n\n", r.Machine)
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tconnections\tprivate, MiB\tof it spare\tB each\tresident, MiB\tkernel, both ends, MiB\tB each\tavailable, MiB\t")
	empty, first := r.Samples[0], r.Samples[1]
	for _, s := range r.Samples {
		inUser, inKernel := "", ""
		if s.Conns > empty.Conns {
			inKernel = fmt.Sprintf("%.0f", perConn(empty, s, kernel))
		}
		if s.Conns > first.Conns {
			inUser = fmt.Sprintf("%.0f", perConn(first, s, user))
		}
		fmt.Fprintf(t, "%s\t%d\t%.1f\t%.1f\t%s\t%.1f\t%.1f\t%s\t%.0f\t\n",
			s.When, s.Conns, mib(s.Private), mib(s.Spare), inUser, mib(s.Resident), mib(s.Kernel), inKernel, mib(s.Available))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\toperations\tseconds\tgateway's CPU, s\tµs each\t")
	for _, s := range r.Stages {
		each := ""
		if s.Ops > 0 {
			each = fmt.Sprintf("%.1f", float64(s.CPU.Nanoseconds())/1e3/float64(s.Ops))
		}
		fmt.Fprintf(t, "%s\t%d\t%.1f\t%.2f\t%s\t\n", s.Name, s.Ops, s.Wall.Seconds(), s.CPU.Seconds(), each)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if reference, end, ok := r.costs(); ok {
		fmt.Fprintf(w, "\nA connection costs the gateway %.0f B from %d to %d of them, and %.0f B from %d to the end: %+.1f %%.\n",
			reference, referenceFrom, referenceTo, end, referenceFrom, 100*(end/reference-1))
	}
	return nil
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// costs returns what a connection costs the gateway between the numbers of the reference, and between the
// first of them and the end. There is nothing to compare in a run that does not go beyond them.
func (r *report) costs() (reference, end float64, ok bool) {
	from, few := r.at(referenceFrom)
	to, some := r.at(referenceTo)
	last := r.Samples[len(r.Samples)-1]
	if !few || !some || last.Conns <= referenceTo {
		return 0, 0, false
	}
	return perConn(from, to, user), perConn(from, last, user), true
}

// tolerance is by how much a connection may cost more than the reference.
const tolerance = 0.1

// verdict is nil if no connection was lost and each cost what it may.
func (r *report) verdict() error {
	if r.Lost > 0 {
		return fmt.Errorf("%d connections were lost, the first because of: %s", r.Lost, r.Why)
	}
	if reference, end, ok := r.costs(); ok && end > (1+tolerance)*reference {
		return fmt.Errorf("a connection costs the gateway over %.0f %% more than with %d of them", 100*tolerance, referenceTo)
	}
	return nil
}
