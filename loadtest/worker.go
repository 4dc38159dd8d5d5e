package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// An order is what a worker is told to do with its connections. It travels between processes as JSON.
type order struct {
	Do       action
	Conns    int           // connections to open
	Parallel int           // at most so many on their way at a time; 0: no bound
	Active   int           // connections that talk
	Rate     float64       // a second; 0: as fast as the answers come
	Size     int           // payload bytes
	For      time.Duration // how long new work is begun
	Say      string        // what one client says to set off a push
}

type action string

const (
	doConnect action = "connect" // open Conns more
	doDrop    action = "drop"    // reset all
	doReturn  action = "return"  // drop all and have as many back, however often they are turned away
	doHold    action = "hold"    // answer pings For a time
	doEcho    action = "echo"    // messages and their echoes on Active connections
	doPing    action = "ping"    // pings and their pongs, likewise
	doAwait   action = "await"   // one message of Size for each connection
	doVisit   action = "visit"   // connect, talk, leave
)

// grace is how long an order waits for answers after its time is over.
const grace = 10 * time.Second

// share returns the i-th of n workers' part of the order.
func (o order) share(i, n int) order {
	part := func(v int) int { return (i+1)*v/n - i*v/n }
	all := o
	o.Conns, o.Active, o.Parallel = part(o.Conns), part(o.Active), part(o.Parallel)
	if all.Parallel > 0 {
		o.Parallel = max(o.Parallel, 1) // 0 would be no bound
	}
	o.Rate /= float64(n)
	if i > 0 {
		o.Say = ""
	}
	return o
}

// A worker carries out orders, one at a time.
type worker interface {
	do(ctx context.Context, o order) (*tally, error)
	Close() error
}

// do carries out an order in the calling goroutine.
func (l *loop) do(ctx context.Context, o order) (*tally, error) {
	t := newTally()
	start, used := l.now(), ownCPU()
	err := l.obey(ctx, o, t, start)
	t.Wall = time.Duration(l.now() - start)
	t.CPU = ownCPU() - used
	return t, err
}

func (l *loop) obey(ctx context.Context, o order, t *tally, start int64) error {
	end := start + int64(o.For)
	var job task
	switch o.Do {
	case doConnect:
		job = &connecting{missing: o.Conns, parallel: o.Parallel, pace: newPace(start, o.Rate)}
		end = start + int64(time.Minute)
	case doDrop:
		t.Done = int64(len(l.open))
		l.leaveAll(true)
		return nil
	case doReturn:
		n := len(l.open)
		l.leaveAll(true)
		job = &connecting{missing: n, parallel: o.Parallel, pace: newPace(start, o.Rate), since: start, retry: true}
		end = start + int64(time.Minute)
	case doHold:
		job = &holding{end: end}
	case doEcho, doPing:
		conns := l.pick(o.Active)
		if len(conns) == 0 {
			return nil
		}
		op := ws.OpText
		if o.Do == doPing {
			op = ws.OpPing
		}
		job = newEchoing(conns, op, o.Size, o.Rate, start, end)
	case doAwait:
		job = &awaiting{say: o.Say, size: o.Size}
	case doVisit:
		job = newVisiting(o.Size, o.Parallel, o.Rate, start, end)
	default:
		return fmt.Errorf("unknown order %q", o.Do)
	}
	err := l.perform(ctx, job, t, end+int64(grace))
	if errors.Is(err, errLate) {
		t.fail("no answer in time", int64(job.pending()))
		l.giveUp()
		return nil
	}
	return err
}

// pick returns n open connections, spread evenly over all.
func (l *loop) pick(n int) []*conn {
	n = min(n, len(l.open))
	conns := make([]*conn, n)
	for i := range conns {
		conns[i] = l.open[i*len(l.open)/n]
	}
	return conns
}

// giveUp ends the connections that still wait, so that no late answer meets the next order.
func (l *loop) giveUp() {
	for _, c := range l.byFD {
		if c != nil && (!c.opened || len(c.due) > 0) {
			l.leave(c, true)
		}
	}
}

// ownCPU is the processor time that this process has used.
func ownCPU() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		panic(err) // cannot fail on Linux with a valid clock and address
	}
	return time.Duration(ts.Nano())
}

// A reply is a child process's answer to an order.
type reply struct {
	Tally *tally
	Error string
}

// serveOrders is a child process's life: it carries out the orders that come in, until they end.
func serveOrders(ctx context.Context, t target, in io.Reader, out io.Writer) error {
	l, err := newLoop(t)
	if err != nil {
		return err
	}
	defer l.Close()
	dec, enc := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var o order
		if err := dec.Decode(&o); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		var r reply
		if r.Tally, err = l.do(ctx, o); err != nil {
			r.Error = err.Error()
		}
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
}
