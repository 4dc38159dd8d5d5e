package session

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

func TestReaderStopsAMillionEmptyFragments(t *testing.T) {
	var r Reader
	c := testContext()
	l := &Limits{Message: 1 << 20, Fragments: 1024}
	sent := append(frame(Server, beginText, ""), bytes.Repeat(frame(Server, resume, ""), 1_000_000)...)
	in, n, err := r.Next(c, l, sent, true)
	if err != ErrFragments || in.Kind != None || n > 1025*6 {
		t.Fatalf("kind %d after %d bytes, %v", in.Kind, n, err)
	}
}

func TestReaderStoresNothingOfAMessageThatWillBeTooBig(t *testing.T) {
	for _, first := range []byte{finText, beginText, finBinary | rsv1Bit} {
		var r Reader
		r.Init(Server, true)
		c := testContext()
		header := frame(Server, first, strings.Repeat("x", 70_000))[:maxHeader]
		var err error
		for _, b := range header {
			if _, _, err = r.Next(c, &Limits{Message: 69_999, Fragments: 8}, []byte{b}, true); err != nil {
				break
			}
		}
		if err != ErrMessageTooBig || r.Buffered() > partialSize {
			t.Fatalf("first byte %#x: %v, %d bytes held", first, err, r.Buffered())
		}
	}
}

func TestReaderHoldsInProportionToWhatCame(t *testing.T) {
	const size = 1 << 20
	l := &Limits{Message: size, Fragments: 1024}
	message := strings.Repeat("0123456789abcdef", size/16)
	fragments := frame(Server, beginText, message[:1024])
	for rest := message[1024:]; len(rest) > 0; rest = rest[1024:] {
		first := resume
		if len(rest) == 1024 {
			first = endMessage
		}
		fragments = append(fragments, frame(Server, first, rest[:1024])...)
	}
	for name, sent := range map[string][]byte{"one frame": frame(Server, finText, message), "1,024 fragments": fragments} {
		var r Reader
		c := testContext()
		came := 0
		for len(sent) > 0 {
			n := min(1000, len(sent))
			in, _, err := r.Next(c, l, bytes.Clone(sent[:n]), true)
			if err != nil {
				t.Fatal(err)
			}
			came += n
			sent = sent[n:]
			if most := partialSize + pageSize + 2*came; r.Buffered() > most {
				t.Fatalf("%s: holds %d bytes for %d that came", name, r.Buffered(), came)
			}
			if len(sent) == 0 && (in.Kind != Message || string(in.Payload) != message) {
				t.Fatalf("%s: not the message: kind %d, %d bytes", name, in.Kind, len(in.Payload))
			}
		}
		if r.Buffered() > partialSize+size {
			t.Errorf("%s: %d bytes for a message of %d", name, r.Buffered(), size)
		}
	}
}

func TestReaderSurvivesAnExhaustedBudget(t *testing.T) {
	sent := stream(
		frame(Server, finPing, "abc"),
		frame(Server, beginText, strings.Repeat("x", 300)),
		frame(Server, endMessage, strings.Repeat("x", 3000)),
		frame(Server, finText|rsv1Bit, helloDeflated),
	)
	refused, passed := 0, 0
	for limit := int64(0); limit < 80<<10; limit += 512 {
		var r Reader
		r.Init(Server, true)
		c := NewContext(NewPool(NewBudget(limit)))
		_, err := feed(t, &r, c, &testLimits, bytewise(sent)...)
		switch err {
		case nil:
			passed++
		case ErrBudget:
			refused++
		default:
			t.Fatalf("budget of %d: %v", limit, err)
		}
		r.Release(c)
		if used := c.Pool.budget.Used(); used != 0 {
			t.Fatalf("budget of %d: %d bytes are lost", limit, used)
		}
	}
	if refused == 0 || passed == 0 {
		t.Fatalf("%d refused, %d passed: the test reaches one side only", refused, passed)
	}
}

func TestWholeFramesNeedNoBuffer(t *testing.T) {
	var r Reader
	c := NewContext(NewPool(NewBudget(0)))
	sent := stream(frame(Server, finText, "text"), frame(Server, finBinary, strings.Repeat("x", 70_000)),
		frame(Server, finPing, "ping"), frame(Server, finClose, "\x03\xe8bye"))
	got, err := feed(t, &r, c, &testLimits, sent)
	if err != nil || len(got) != 4 {
		t.Fatalf("found %d, %v", len(got), err)
	}
}

func TestEchoOfWholeFramesAllocatesNothing(t *testing.T) {
	var r Reader
	c := testContext()
	sent := stream(frame(Server, finText, strings.Repeat("x", 128)), frame(Server, finPing, "p"), frame(Server, finBinary, strings.Repeat("x", 4096)))
	p, out := make([]byte, len(sent)), make([]byte, 0, 2*len(sent))
	if allocs := testing.AllocsPerRun(100, func() { out = echo(t, &r, c, out[:0], p[:copy(p, sent)]) }); allocs != 0 {
		t.Fatalf("%v allocations", allocs)
	}
	want := stream(frame(Client, finText, strings.Repeat("x", 128)), frame(Client, finPong, "p"), frame(Client, finBinary, strings.Repeat("x", 4096)))
	if !bytes.Equal(out, want) {
		t.Fatalf("echoed %d bytes, want %d", len(out), len(want))
	}
}

func TestEchoOfSplitFramesAllocatesNothing(t *testing.T) {
	var r Reader
	r.Init(Server, true)
	c := testContext()
	sent := stream(frame(Server, beginText, strings.Repeat("x", 300)), frame(Server, finPing, "p"), frame(Server, endMessage, "y"), frame(Server, finText|rsv1Bit, helloDeflated))
	p, out := make([]byte, len(sent)), make([]byte, 0, 2*len(sent))
	if allocs := testing.AllocsPerRun(100, func() {
		out = out[:0]
		copy(p, sent)
		for i := range p {
			out = echo(t, &r, c, out, p[i:i+1])
		}
	}); allocs != 0 {
		t.Fatalf("%v allocations", allocs)
	}
	want := stream(frame(Client, finPong, "p"), frame(Client, finText, strings.Repeat("x", 300)+"y"), frame(Client, finText, "Hello"))
	if !bytes.Equal(out, want) {
		t.Fatalf("echoed %d bytes, want %d", len(out), len(want))
	}
}

// echo answers everything in p.
func echo(t testing.TB, r *Reader, c *Context, out, p []byte) []byte {
	for {
		in, n, err := r.Next(c, &testLimits, p, true)
		if err != nil {
			t.Fatal(err)
		}
		p = p[n:]
		switch in.Kind {
		case None:
			return out
		case Message:
			out = AppendFrame(out, in.Op, in.Payload)
		case Ping:
			out = AppendFrame(out, ws.OpPong, in.Payload)
		}
	}
}

func TestContextKeepsABoundedNumberOfPartials(t *testing.T) {
	c := testContext()
	readers := make([]Reader, 2*maxFreePartials)
	for i := range readers {
		if _, _, err := readers[i].Next(c, &testLimits, []byte{finText}, true); err != nil {
			t.Fatal(err)
		}
	}
	if used := c.Pool.budget.Used(); used != int64(len(readers)*partialSize) {
		t.Fatalf("%d readers with a byte each are charged with %d", len(readers), used)
	}
	for i := range readers {
		readers[i].Release(c)
	}
	kept := 0
	for a := c.free; a != nil; a = a.next {
		kept++
	}
	if kept != maxFreePartials || c.nfree != kept {
		t.Fatalf("keeps %d, counts %d, want %d", kept, c.nfree, maxFreePartials)
	}
}
