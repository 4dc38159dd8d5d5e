package gateway

import (
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"sluice/gateway/config"
)

type upstreamSettings = config.Upstream

// backendFaults are the ways of a backend to fail, and one that does not.
func backendFaults() []*backendFault {
	return []*backendFault{
		{name: "healthy", spares: true},
		{name: "slow", pause: upTo(50 * time.Millisecond), spares: true},

		{name: "refuses", beside: refuses, settings: breaks},
		{name: "outage", beside: outage, settings: despairs},
		{name: "killed_workers", pause: upTo(20 * time.Millisecond), beside: killsSome},
		{name: "closes_idle", rest: upTo(20 * time.Millisecond)},
		{name: "closes_idle_repeated", rest: upTo(20 * time.Millisecond), spares: true,
			settings: func(u *upstreamSettings) { u.RepeatReset = true }},
		{name: "resets_unread", unread: resetIt},
		{name: "closes_unread", unread: hangUp},
		{name: "resets_read", acts: true, answer: func(c *net.TCPConn, _ *heardEvent) { resetIt(c) }},
		{name: "closes_read", acts: true, answer: func(c *net.TCPConn, _ *heardEvent) { hangUp(c) }},

		{name: "times_out", acts: true, answer: hangs, settings: hurries},
		{name: "dribbles", acts: true, answer: dribbles, settings: hurries},
		{name: "half_an_answer", acts: true, answer: says("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nhalf")},
		{name: "too_long", acts: true, settings: short, answer: func(c *net.TCPConn, _ *heardEvent) {
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", 64<<10)
			io.WriteString(c, strings.Repeat("x", 64<<10))
		}},
		{name: "chunk_extensions", acts: true, settings: short, answer: chunkExtensions},
		{name: "second_answer", acts: true, keeps: true, strange: true, answer: answersTwice},
		{name: "nonsense", acts: true, answer: says("SSH-2.0-OpenSSH_9.9\r\n\r\n")},
		{name: "gzip", acts: true, keeps: true, answer: says("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n\x1f\x8b")},

		{name: "s201", acts: true, keeps: true, answer: status(201)},
		{name: "s302", keeps: true, answer: status(302, "Location: /elsewhere")},
		{name: "s403", keeps: true, answer: status(403)},
		{name: "s408", keeps: true, answer: status(408)},
		{name: "s429", keeps: true, answer: status(429)},
		{name: "s429_retry_after", keeps: true, answer: status(429, "Retry-After: 1")},
		{name: "s500", keeps: true, answer: status(500)},
		{name: "s502", keeps: true, answer: status(502)},
		{name: "s503", keeps: true, answer: status(503), settings: breaks},
		{name: "s504", keeps: true, doubt: true, answer: status(504)},
	}
}

// breaks has a circuit breaker that opens, where others have one that does not.
func breaks(u *upstreamSettings) {
	u.Breaker = config.Breaker{Window: config.Duration(time.Second), Attempts: 20, Failures: 30, Probe: milliseconds(50)}
	u.ConnectBudget = config.Duration(time.Second)
	u.Budget = max(u.Budget, config.Duration(*ledgerTime/2)) // disconnected events have more than all the time of the fault
}

// despairs is breaks with a budget that is shorter than an outage, if that is
// long; disconnected events have as long as all of the fault.
func despairs(u *upstreamSettings) {
	breaks(u)
	u.Budget = config.Duration(max(*ledgerTime/4, time.Second/2))
}

// hurries gives up soon.
func hurries(u *upstreamSettings) { u.Timeout = milliseconds(250) }

// short takes only short answers.
func short(u *upstreamSettings) { u.Response = 4 * config.KiB }

// refuses is a backend that listens half of the time.
func refuses(b *faulty) {
	b.deafen()
	time.Sleep(30 * time.Millisecond)
	b.reopen()
	time.Sleep(30 * time.Millisecond)
}

// outage is a backend that is gone for a while, with all its connections.
func outage(b *faulty) {
	time.Sleep(*ledgerTime / 4)
	b.vanish()
	time.Sleep(*ledgerTime / 3)
	b.reopen()
	time.Sleep(*ledgerTime / 4)
}

// reopen is listen, as soon as the kernel lets it.
func (b *faulty) reopen() {
	eventually(b.t, "the backend listens again", func() bool { return b.listen() == nil })
}

// killsSome is a backend whose processes are killed.
func killsSome(b *faulty) {
	b.kill(0.5)
	time.Sleep(20 * time.Millisecond)
}

// hangs answers nothing until the other side gives up.
func hangs(c *net.TCPConn, _ *heardEvent) { io.Copy(io.Discard, c) }

// dribbles has no end.
func dribbles(c *net.TCPConn, _ *heardEvent) {
	_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n")
	for ; err == nil; time.Sleep(10 * time.Millisecond) {
		_, err = c.Write([]byte("x"))
	}
}

// chunkExtensions are longer than all that may be in an answer.
func chunkExtensions(c *net.TCPConn, _ *heardEvent) {
	_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n1;x=")
	for range 64 {
		if err != nil {
			return
		}
		_, err = io.WriteString(c, strings.Repeat("y", 16<<10))
	}
}

// answersTwice sends another answer in a segment of its own, which nobody has
// asked for.
func answersTwice(c *net.TCPConn, e *heardEvent) {
	io.WriteString(c, goodAnswer(e))
	time.Sleep(time.Millisecond)
	says("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\nstranger")(c, e)
}
