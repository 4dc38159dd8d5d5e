package netpoll

import (
	"net/netip"
	"time"
)

// System is the operating system as one loop sees it: the sockets of its connections, a poller, a doorbell, a tick and a
// clock. [NewSystem] returns the real one; package netpolltest has one in memory, whose time is virtual and whose
// order of events a seed decides.
//
// All but Wake and Now belong to the loop's goroutine, which is the one that callbacks run on, and to whoever makes the loop before
// the first callback.
type System interface {
	// Read, Write, Writev, CloseWrite, Close and Reset are what the methods of [Conn] are.
	Read(c Conn, p []byte) (int, error)
	Write(c Conn, p []byte) (int, error)
	Writev(c Conn, bufs [][]byte) (int, error)
	CloseWrite(c Conn) error
	Close(c *Conn) error
	Reset(c *Conn) error
	// Connect is what the function of that name is, and Failure what the method of [Conn] is.
	Connect(addr netip.AddrPort) (Conn, error)
	Failure(c Conn) error

	// Add, Mod and Del are what the methods of [Poller] are.
	Add(fd int, ev Event, cb func(Event)) error
	Mod(fd int, ev Event) error
	Del(fd int) error

	// OnWake has the loop call cb after Wake. Several calls of Wake may become one of cb, which comes after the last.
	OnWake(cb func()) error
	// Wake is for any goroutine, until Shut is called.
	Wake()
	// OnTick has the loop call cb every period; due says how many periods have ended since the last call, at least 1.
	OnTick(period time.Duration, cb func(due uint64)) error
	// Now is the loop's clock: monotonic, from some moment on. Any goroutine may read it.
	Now() time.Duration

	// StopTicking takes the tick out of the poller, and Mute the doorbell: both must be before Shut.
	StopTicking()
	Mute()
	// Shut ends the loop and gives its descriptors back, when the last callback has returned. Nothing may be in the poller
	// any more. It is idempotent, and never called from a callback.
	Shut() error
}
