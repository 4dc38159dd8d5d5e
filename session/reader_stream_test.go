package session

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"pgregory.net/rapid"
)

// conversation is what a peer says: the bytes, and what a reader has to find
// in them.
type conversation struct {
	sent []byte
	want []input
}

// drawConversation makes up whole messages in random frames, with control
// frames between them, as a peer of a reader of the given role sends them.
func drawConversation(t *rapid.T, role Role, deflate bool) conversation {
	var said conversation
	d := NewDeflater()
	send := func(first byte, payload string) {
		said.sent = append(said.sent, frame(role, first, payload)...)
	}
	control := func() {
		payload := rapid.StringN(0, 30, maxControl-2).Draw(t, "control")
		switch rapid.SampledFrom([]Kind{Ping, Pong, Close}).Draw(t, "kind") {
		case Ping:
			send(finPing, payload)
			said.want = append(said.want, input{Kind: Ping, Payload: payload})
		case Pong:
			send(finPong, payload)
			said.want = append(said.want, input{Kind: Pong, Payload: payload})
		case Close: // a loop would stop here; the reader does not care
			code := rapid.Uint16Range(3000, 4999).Draw(t, "code")
			send(finClose, string(binary.BigEndian.AppendUint16(nil, code))+payload)
			said.want = append(said.want, input{Kind: Close, Code: ws.StatusCode(code), Payload: payload})
		}
	}
	for range rapid.IntRange(1, 5).Draw(t, "messages") {
		op, message := ws.OpText, rapid.String().Draw(t, "text")
		if rapid.Bool().Draw(t, "binary") {
			op, message = ws.OpBinary, string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		}
		message = strings.Repeat(message, rapid.SampledFrom([]int{1, 1, 1, 10, 1000}).Draw(t, "copies"))
		payload, first := message, byte(op)
		if deflate {
			var n int
			framed := d.AppendFrame(nil, op, []byte(message), rapid.IntRange(8, 15).Draw(t, "window"))
			if framed[0]&rsv1Bit != 0 {
				first |= rsv1Bit
				n = 2 // bytes of its header
				if framed[1] >= length16 {
					n = HeaderSize(len(framed) - 4)
				}
				payload = string(framed[n:])
			}
		}
		for range rapid.IntRange(0, testLimits.Fragments-1).Draw(t, "fragments") {
			n := rapid.IntRange(0, len(payload)).Draw(t, "fragment")
			send(first, payload[:n])
			payload, first = payload[n:], resume
			if rapid.Bool().Draw(t, "interleave") {
				control()
			}
		}
		send(first|finBit, payload)
		said.want = append(said.want, input{Kind: Message, Op: op, Payload: message})
		if rapid.Bool().Draw(t, "between") {
			control()
		}
	}
	return said
}

// drawSplit cuts p into pieces, many of them short.
func drawSplit(t *rapid.T, p []byte) (pieces [][]byte) {
	longest := rapid.SampledFrom([]int{1, 3, 20, 1000, 100_000}).Draw(t, "longest piece")
	for len(p) > 0 {
		n := rapid.IntRange(0, min(longest, len(p))).Draw(t, "piece")
		pieces = append(pieces, p[:n])
		p = p[n:]
	}
	return pieces
}

func TestReaderFindsTheSameHoweverTheStreamIsSplit(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		role := rapid.SampledFrom([]Role{Server, Client}).Draw(rt, "role")
		deflate := rapid.Bool().Draw(rt, "deflate")
		said := drawConversation(rt, role, deflate)
		var r Reader
		r.Init(role, deflate)
		c := testContext()
		got, err := feed(rt, &r, c, &testLimits, drawSplit(rt, said.sent)...)
		if err != nil || !slices.Equal(got, said.want) {
			rt.Fatalf("found %v, %v; want %v", got, err, said.want)
		}
		if r.Partial() {
			rt.Fatal("waits for more than was sent")
		}
	})
}

// FuzzReader checks that bytes from anybody, in whatever pieces, give the same
// inputs and the same error as in one piece, and that no buffer is lost.
func FuzzReader(f *testing.F) {
	for _, p := range [][]byte{
		frame(Server, finText, "Hello"),
		stream(frame(Server, beginText, "Hel"), frame(Server, finPing, "p"), frame(Server, endMessage, "lo")),
		stream(frame(Server, finText|rsv1Bit, helloDeflated), frame(Server, finClose, "\x03\xe8")),
		frame(Server, finBinary, string(make([]byte, 300))),
		{finText, maskBit | length64, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4},
		frame(Client, finText, "Hello"),
	} {
		f.Add(p, uint16(3), true)
		f.Add(p, uint16(1), false)
	}
	limits := &Limits{Message: 4096, Fragments: 4}
	f.Fuzz(func(t *testing.T, p []byte, size uint16, deflate bool) {
		for _, role := range []Role{Server, Client} {
			read := func(pieces ...[]byte) ([]input, error) {
				var r Reader
				r.Init(role, deflate)
				c := testContext()
				found, err := feed(t, &r, c, limits, pieces...)
				r.Release(c)
				if used := c.Pool.budget.Used(); used != 0 {
					t.Fatalf("%d bytes are lost", used)
				}
				return found, err
			}
			whole, wholeErr := read(p)
			split, splitErr := read(slices.Collect(slices.Chunk(bytes.Clone(p), max(1, int(size))))...)
			if wholeErr != splitErr || !slices.Equal(whole, split) {
				t.Fatalf("role %d: whole %v, %v; in pieces of %d %v, %v", role, whole, wholeErr, size, split, splitErr)
			}
			for _, in := range whole {
				if in.Kind == Message && len(in.Payload) > limits.Message {
					t.Fatalf("role %d: a message of %d bytes", role, len(in.Payload))
				}
			}
		}
	})
}
