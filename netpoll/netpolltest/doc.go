// Package netpolltest is an operating system in memory, as net/http/httptest is a server: loops that are written against
// [netpoll.System] run on it without sockets, without goroutines and in virtual time.
//
// A [World] has descriptors, a clock, any number of loops ([World.System]), listeners and peers. Nothing happens by itself:
// [World.Step] lets one thing happen, which the seed chooses among all that could: a segment arrives, a loop collects
// its events, a loop runs the next callback of those that it has collected. So callbacks of several loops and the doings of peers are
// interleaved in orders that a real machine rarely shows, and the same seed shows the same order again, in any process. Time goes by
// between events and, with a [World.Cost], while a loop computes; [World.Stop] stops all loops, and [World.Jump] sets the time of day.
//
// What it keeps to of Linux: edge and level events, and Mod; data and the end of a stream as one event or as two; short
// reads and writes; events that were collected before Del and run after it; descriptors that are given out again, the lowest
// first; EMFILE; a reset that overtakes what was not read, and one that answers data to a peer who is gone; peers that stop
// reading, and peers that vanish without a word. Everything in this package belongs to one goroutine.
package netpolltest
