package session_test

import (
	"fmt"

	"github.com/gobwas/ws"

	"sluice/session"
)

// A server reads what came with one read: two messages and a ping between them.
func ExampleReader() {
	var received []byte
	for _, f := range []ws.Frame{
		ws.NewTextFrame([]byte("hello")),
		ws.NewPingFrame([]byte("are you there?")),
		ws.NewTextFrame([]byte("world")),
	} {
		received = append(received, ws.MustCompileFrame(ws.MaskFrame(f))...)
	}

	loop := session.NewContext(session.NewPool(session.NewBudget(1 << 20)))
	limits := session.Limits{Message: 1 << 20, Fragments: 1024}
	var r session.Reader
	defer r.Release(loop)
	for {
		in, n, err := r.Next(loop, &limits, received, true)
		if err != nil {
			fmt.Println(err)
			return
		}
		received = received[n:]
		switch in.Kind {
		case session.None: // more has to come
			return
		case session.Message:
			fmt.Printf("message %q\n", in.Payload)
		case session.Ping:
			fmt.Printf("ping %q\n", in.Payload)
		}
	}
	// Output:
	// message "hello"
	// ping "are you there?"
	// message "world"
}

// What a socket does not take waits in a queue, and leaves in pieces.
func ExampleQueue() {
	budget := session.NewBudget(1 << 20)
	pool := session.NewPool(budget)
	var q session.Queue
	frame := session.AppendFrame(nil, ws.OpText, []byte("hello"))
	if err := q.Append(pool, frame, 0, 0); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(q.Len(), "bytes wait")

	q.Advance(pool, 3) // the socket took three of them
	for _, piece := range q.Buffers(make([][]byte, 0, 8)) {
		fmt.Printf("next: %q\n", piece)
	}

	q.Advance(pool, q.Len())
	fmt.Println("empty:", q.Empty(), "charged:", budget.Used())
	// Output:
	// 7 bytes wait
	// next: "ello"
	// empty: true charged: 0
}
