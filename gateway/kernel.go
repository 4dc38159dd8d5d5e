package gateway

import (
	"crypto/rand"
	"net/netip"
	"time"

	"sluice/gateway/plainhttp"
	"sluice/netpoll"
)

// kernel is what a node asks of the machine. What a loop asks of it afterwards
// goes by its [netpoll.System].
type kernel interface {
	// listen opens a listener for each of n loops, or returns those that were
	// handed in, which all loops share; at least one.
	listen(addr string, n int, o netpoll.Options) ([]listener, error)
	// system starts a loop. fatal is told when it is dead.
	system(fatal func(error)) (netpoll.System, error)
	reserve() (reserve, error)
	// http makes what serves plain HTTP beside the loops.
	http(o plainhttp.Options) httpServer
	// descriptors returns how many there may be, and makes that as many as it can.
	descriptors() (uint64, error)
	// random fills p with what nobody can guess.
	random(p []byte) error
	// wall is the time of day, which may jump: for what others have written, as
	// the end of a token, and for what others read. All else goes by a loop's
	// clock.
	wall() time.Time
}

// listener is [netpoll.Listener], or one in memory.
type listener interface {
	netpoll.Acceptor
	FD() int
	Addr() netip.AddrPort
	Inherited() bool
	Quiesce() error
	Close() error
}

// reserve is [netpoll.Reserve], or one in memory.
type reserve interface {
	Accept(l netpoll.Acceptor) (netpoll.Conn, error)
	Refuse(l netpoll.Acceptor, response []byte) error
	Refill() error
	Close() error
}

// linux is the machine that the process runs on.
type linux struct{}

func (linux) listen(addr string, n int, o netpoll.Options) ([]listener, error) {
	opened, err := netpoll.Inherited(o)
	if err == nil && len(opened) == 0 {
		opened, err = netpoll.Listen(addr, n, o)
	}
	if err != nil {
		return nil, err
	}
	listeners := make([]listener, len(opened))
	for i, l := range opened {
		listeners[i] = l
	}
	return listeners, nil
}

func (linux) system(fatal func(error)) (netpoll.System, error) { return netpoll.NewSystem(fatal) }

func (linux) reserve() (reserve, error) { return netpoll.NewReserve() }

func (linux) http(o plainhttp.Options) httpServer { return plainhttp.New(o) }

func (linux) descriptors() (uint64, error) { return netpoll.RaiseDescriptorLimit() }

func (linux) random(p []byte) error {
	_, err := rand.Read(p)
	return err
}

func (linux) wall() time.Time { return time.Now() }
