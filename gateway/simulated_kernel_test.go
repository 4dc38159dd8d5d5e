package gateway

import (
	"context"
	"time"

	"sluice/gateway/auth"
	"sluice/gateway/plainhttp"
	"sluice/netpoll"
	"sluice/netpoll/netpolltest"
)

// simulated is a machine in memory.
type simulated struct {
	world *netpolltest.World
	// limit is how many descriptors the node believes to have.
	limit uint64
}

func (k *simulated) listen(_ string, n int, _ netpoll.Options) (all []listener, err error) {
	for range n {
		l, err := k.world.Listen()
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

func (k *simulated) system(func(error)) (netpoll.System, error) { return k.world.System(), nil }
func (k *simulated) reserve() (reserve, error)                  { return k.world.Reserve(), nil }
func (k *simulated) hashing() uint64                            { return 1 }
func (k *simulated) wall() time.Time                            { return k.world.Wall() }
func (k *simulated) workers() workers                           { return &simulatedWorkers{world: k.world} }
func (k *simulated) http(o plainhttp.Options) httpServer        { return plainhttp.New(o) }
func (k *simulated) descriptors() (uint64, error)               { return max(k.limit, 20_000), nil }

func (k *simulated) random(p []byte) error {
	for i := range p {
		p[i] = byte(k.world.Rand().Uint32())
	}
	return nil
}

func (k *simulated) later(_ context.Context, d time.Duration, f func()) { k.world.After(d, f) }

func (k *simulated) verifier(o auth.ClientsOptions, previous verifier) (verifier, error) {
	return linux{}.verifier(o, previous)
}

// simulatedWorkers call what they are given after a while.
type simulatedWorkers struct {
	world *netpolltest.World
	count int64
}

func (w *simulatedWorkers) try(f func()) bool {
	if w.count == besideMost {
		return false
	}
	w.count++
	w.world.After(time.Duration(w.world.Rand().IntN(300))*time.Millisecond, func() {
		w.count--
		f()
	})
	return true
}

func (w *simulatedWorkers) underWay() int64 { return w.count }

func (w *simulatedWorkers) close() {}
