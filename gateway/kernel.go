package gateway

import (
	"context"
	"crypto/rand"
	"time"

	"sluice/gateway/auth"
	"sluice/gateway/engine"
	"sluice/gateway/plainhttp"
	"sluice/netpoll"
)

// kernel is what a node asks of the machine. What a loop asks of it afterwards
// goes by its [netpoll.System].
type kernel interface {
	// listen opens a listener for each of n loops, or returns those that were
	// handed in, which all loops share; at least one.
	listen(addr string, n int, o netpoll.Options) ([]engine.Listener, error)
	// system starts a loop. fatal is told when it is dead.
	system(fatal func(error)) (netpoll.System, error)
	reserve() (engine.Reserve, error)
	// http makes what serves plain HTTP beside the loops.
	http(o plainhttp.Options) httpServer
	// descriptors returns how many there may be, and makes that as many as it can.
	descriptors() (uint64, error)
	// random fills p with what nobody can guess.
	random(p []byte) error
	// hashing is what the indexes of users and groups are seeded with; 0: each
	// with a seed of its own, which nobody can guess.
	hashing() uint64
	// wall is the time of day, which may jump: for what others have written, as
	// the end of a token, and for what others read. All else goes by a loop's
	// clock.
	wall() time.Time
	// workers run what would keep a loop waiting.
	workers() workers
	// verifier makes what verifies tokens; previous is what it replaces, or nil.
	verifier(o auth.ClientsOptions, previous verifier) (verifier, error)
	// later has f called, once, beside the loops: when d has passed, or ctx ends.
	later(ctx context.Context, d time.Duration, f func())
}

// workers are [beside], or what a simulation calls when it likes.
type workers interface {
	// try has f called beside the loops, unless too much is under way already.
	try(f func()) bool
	underWay() int64
	// close waits for what is under way, and refuses everything from now on.
	close()
}

// verifier is [auth.Clients], or one whose key sets a simulation knows.
type verifier interface {
	Way(token string) auth.Way
	Verify(token, host string, now time.Time) (*auth.Client, error)
	Await(token, host string, most int, then func(*auth.Client, error))
	Close()
}

// linux is the machine that the process runs on.
type linux struct{}

func (linux) listen(addr string, n int, o netpoll.Options) ([]engine.Listener, error) {
	opened, err := netpoll.Inherited(o)
	if err == nil && len(opened) == 0 {
		opened, err = netpoll.Listen(addr, n, o)
	}
	if err != nil {
		return nil, err
	}
	listeners := make([]engine.Listener, len(opened))
	for i, l := range opened {
		listeners[i] = l
	}
	return listeners, nil
}

func (linux) system(fatal func(error)) (netpoll.System, error) { return netpoll.NewSystem(fatal) }

func (linux) reserve() (engine.Reserve, error) { return netpoll.NewReserve() }

func (linux) http(o plainhttp.Options) httpServer { return plainhttp.New(o) }

func (linux) descriptors() (uint64, error) { return netpoll.RaiseDescriptorLimit() }

func (linux) random(p []byte) error {
	_, err := rand.Read(p)
	return err
}

func (linux) hashing() uint64 { return 0 }

func (linux) workers() workers { return new(beside) }

func (linux) verifier(o auth.ClientsOptions, previous verifier) (verifier, error) {
	o.Previous, _ = previous.(*auth.Clients)
	c, err := auth.NewClients(o)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (linux) later(ctx context.Context, d time.Duration, f func()) {
	go waitAndCall(ctx, d, f)
}

// waitAndCall is the goroutine of later, whose end f tells.
func waitAndCall(ctx context.Context, d time.Duration, f func()) {
	sleep(ctx, d)
	f()
}

func (linux) wall() time.Time { return time.Now() }

// sleep waits for d, and is false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// httpServer is who serves the requests that are not upgrades: [plainhttp.Server], or
// one in memory. It is given sockets by the loops, and gives them back.
type httpServer interface {
	// Serve serves until Shutdown or Close.
	Serve() error
	// Offer gives it a socket and what was read of it. It never blocks; false leaves
	// the socket with the caller.
	Offer(s plainhttp.Socket, read []byte) bool
	// Count is how many sockets it has.
	Count() int64
	// Shutdown lets what is under way finish, and reports whether it has cut off
	// anybody who was not to be.
	Shutdown(ctx context.Context) (cut bool)
	// Close cuts off what is there.
	Close()
}
