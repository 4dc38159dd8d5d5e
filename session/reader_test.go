package session

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/gobwas/ws"
	"pgregory.net/rapid"
)

// input is an Input that outlives the buffer of its payload.
type input struct {
	Kind    Kind
	Op      ws.OpCode
	Payload string
	Code    ws.StatusCode
}

func (in input) String() string {
	return fmt.Sprintf("{kind %d, opcode %d, code %d, %d bytes %.40q}", in.Kind, in.Op, in.Code, len(in.Payload), in.Payload)
}

func testContext() *Context { return NewContext(NewPool(NewBudget(64 << 20))) }

var testLimits = Limits{Message: 1 << 20, Fragments: 8}

// feed offers pieces to r as a loop would, each until nothing is left of it,
// and returns what r has found. It fails the test when r breaks its promises
// about progress and memory.
func feed(t rapid.TB, r *Reader, c *Context, l *Limits, pieces ...[]byte) ([]input, error) {
	t.Helper()
	var found []input
	for _, piece := range pieces {
		p := bytes.Clone(piece)
		for {
			in, n, err := r.Next(c, l, p, true)
			if n < 0 || n > len(p) {
				t.Fatalf("took %d of %d bytes", n, len(p))
			}
			if err != nil {
				return found, err
			}
			if used := c.Pool.budget.Used(); used != int64(r.Buffered()) {
				t.Fatalf("charged with %d bytes, says %d", used, r.Buffered())
			}
			if in.Kind == None {
				if n != len(p) {
					t.Fatalf("took %d of %d bytes and found nothing", n, len(p))
				}
				break
			}
			found = append(found, input{in.Kind, in.Op, string(in.Payload), in.Code})
			p = p[n:]
		}
		if used := c.Pool.budget.Used(); !r.Partial() && used != 0 {
			t.Fatalf("idle, but holds %d bytes", used)
		}
	}
	return found, nil
}

// bytewise splits p into single bytes.
func bytewise(p []byte) [][]byte { return slices.Collect(slices.Chunk(p, 1)) }

// frame builds a frame as role expects it. first is its first byte.
func frame(role Role, first byte, payload string) []byte {
	if role == Client {
		return append(appendHeader(nil, first, 0, len(payload)), payload...)
	}
	p := AppendMasked(nil, ws.OpText, []byte(payload), [4]byte{0x9d, 0x02, 0xf3, 0x44})
	p[0] = first
	return p
}

// stream joins frames.
func stream(frames ...[]byte) []byte { return slices.Concat(frames...) }

const (
	finText     = finBit | byte(ws.OpText)
	finBinary   = finBit | byte(ws.OpBinary)
	endMessage  = finBit | byte(ws.OpContinuation)
	finClose    = finBit | byte(ws.OpClose)
	finPing     = finBit | byte(ws.OpPing)
	finPong     = finBit | byte(ws.OpPong)
	beginText   = byte(ws.OpText)
	beginBinary = byte(ws.OpBinary)
	resume      = byte(ws.OpContinuation)
)

// helloDeflated is "Hello" as RFC 7692 §7.2.3.1 compresses it.
const helloDeflated = "\xf2\x48\xcd\xc9\xc9\x07\x00"

func TestReaderFindsWhatWasSent(t *testing.T) {
	long := strings.Repeat("0123456789", 7000)
	for _, test := range []struct {
		name    string
		deflate bool
		frames  func(f func(first byte, payload string) []byte) []byte
		want    []input
	}{
		{"nothing", false,
			func(f func(byte, string) []byte) []byte { return nil }, nil},
		{"text", false,
			func(f func(byte, string) []byte) []byte { return f(finText, "Hello κόσμε") },
			[]input{{Message, ws.OpText, "Hello κόσμε", 0}}},
		{"binary that is no text", false,
			func(f func(byte, string) []byte) []byte { return f(finBinary, "\xff\xfe") },
			[]input{{Message, ws.OpBinary, "\xff\xfe", 0}}},
		{"empty messages", false,
			func(f func(byte, string) []byte) []byte { return stream(f(finText, ""), f(finBinary, "")) },
			[]input{{Message, ws.OpText, "", 0}, {Message, ws.OpBinary, "", 0}}},
		{"every form of length", false,
			func(f func(byte, string) []byte) []byte {
				return stream(f(finText, long[:125]), f(finText, long[:126]), f(finText, long[:65535]), f(finText, long[:65536]))
			},
			[]input{{Message, ws.OpText, long[:125], 0}, {Message, ws.OpText, long[:126], 0},
				{Message, ws.OpText, long[:65535], 0}, {Message, ws.OpText, long[:65536], 0}}},
		{"fragments with control frames between them", false,
			func(f func(byte, string) []byte) []byte {
				return stream(f(beginText, "Hel"), f(finPing, "are you there"), f(resume, "l"), f(finPong, ""), f(resume, ""), f(endMessage, "o"))
			},
			[]input{{Ping, 0, "are you there", 0}, {Pong, 0, "", 0}, {Message, ws.OpText, "Hello", 0}}},
		{"a message of empty fragments", false,
			func(f func(byte, string) []byte) []byte {
				return stream(f(beginBinary, ""), f(resume, ""), f(endMessage, ""))
			},
			[]input{{Message, ws.OpBinary, "", 0}}},
		{"a character split over fragments", false,
			func(f func(byte, string) []byte) []byte {
				return stream(f(beginText, "\xf0\x9f"), f(resume, "\x98"), f(endMessage, "\x80"))
			},
			[]input{{Message, ws.OpText, "😀", 0}}},
		{"control frames of the greatest length", false,
			func(f func(byte, string) []byte) []byte {
				return stream(f(finPing, long[:125]), f(finPong, long[:125]))
			},
			[]input{{Ping, 0, long[:125], 0}, {Pong, 0, long[:125], 0}}},
		{"close without payload", false,
			func(f func(byte, string) []byte) []byte { return f(finClose, "") },
			[]input{{Close, 0, "", 1005}}},
		{"close with code and reason in the middle of a message", false,
			func(f func(byte, string) []byte) []byte {
				return stream(f(beginText, "Hel"), f(finClose, "\x03\xe9going"))
			},
			[]input{{Close, 0, "going", 1001}}},
		{"compressed", true,
			func(f func(byte, string) []byte) []byte {
				return stream(f(finText|rsv1Bit, helloDeflated), f(finBinary|rsv1Bit, helloDeflated))
			},
			[]input{{Message, ws.OpText, "Hello", 0}, {Message, ws.OpBinary, "Hello", 0}}},
		{"compressed in fragments", true,
			func(f func(byte, string) []byte) []byte {
				return stream(f(beginText|rsv1Bit, helloDeflated[:3]), f(finPing, "p"), f(endMessage, helloDeflated[3:]))
			},
			[]input{{Ping, 0, "p", 0}, {Message, ws.OpText, "Hello", 0}}},
		{"uncompressed among compressed", true,
			func(f func(byte, string) []byte) []byte {
				return stream(f(finText|rsv1Bit, helloDeflated), f(finText, "plain"), f(beginText, "pl"), f(endMessage, "ain"))
			},
			[]input{{Message, ws.OpText, "Hello", 0}, {Message, ws.OpText, "plain", 0}, {Message, ws.OpText, "plain", 0}}},
		{"compressed and empty", true, // RFC 7692 §7.2.3.6
			func(f func(byte, string) []byte) []byte { return f(finText|rsv1Bit, "\x00") },
			[]input{{Message, ws.OpText, "", 0}}},
	} {
		for _, role := range []Role{Server, Client} {
			sent := test.frames(func(first byte, payload string) []byte { return frame(role, first, payload) })
			for how, pieces := range map[string][][]byte{"whole": {sent}, "bytewise": bytewise(sent)} {
				t.Run(fmt.Sprintf("%s/role=%d/%s", test.name, role, how), func(t *testing.T) {
					var r Reader
					r.Init(role, test.deflate)
					got, err := feed(t, &r, testContext(), &testLimits, pieces...)
					if err != nil || !slices.Equal(got, test.want) {
						t.Fatalf("found %v, %v", got, err)
					}
				})
			}
		}
	}
}

func TestReaderRefuses(t *testing.T) {
	limits := &Limits{Message: 10, Fragments: 3}
	client := func(first byte, payload string) []byte { return frame(Server, first, payload) }
	header := func(b ...byte) []byte { return b }
	for _, test := range []struct {
		name    string
		role    Role
		deflate bool
		sent    []byte
		want    *Error
	}{
		{"unmasked from a client", Server, false, header(finText, 1, 'a'), ErrMask},
		{"masked from a server", Client, false, client(finText, "a"), ErrMask},
		{"RSV1 without the extension", Server, false, client(finText|rsv1Bit, helloDeflated), ErrRSV},
		{"RSV2", Server, true, client(finText|0x20, ""), ErrRSV},
		{"RSV3", Server, true, client(finText|0x10, ""), ErrRSV},
		{"RSV1 on a ping", Server, true, client(finPing|rsv1Bit, ""), ErrRSV},
		{"RSV1 on a continuation", Server, true, stream(client(beginText|rsv1Bit, "a"), client(endMessage|rsv1Bit, "")), ErrRSV},
		{"opcode 3", Server, false, client(finBit|3, ""), ErrOpCode},
		{"opcode 7", Server, false, client(finBit|7, ""), ErrOpCode},
		{"opcode 11", Server, false, client(finBit|11, ""), ErrOpCode},
		{"opcode 15", Server, false, client(finBit|15, ""), ErrOpCode},
		{"fragmented ping", Server, false, client(byte(ws.OpPing), ""), ErrControlFragmented},
		{"fragmented close", Server, false, client(byte(ws.OpClose), ""), ErrControlFragmented},
		{"long ping", Server, false, client(finPing, strings.Repeat("a", 126)), ErrControlTooLong},
		{"very long close", Server, false, header(finClose, maskBit|length64), ErrControlTooLong},
		{"continuation of nothing", Server, false, client(endMessage, ""), ErrContinuation},
		{"continuation after the end", Server, false, stream(client(beginText, "a"), client(endMessage, "b"), client(endMessage, "c")), ErrContinuation},
		{"text in a message", Server, false, stream(client(beginText, "a"), client(finText, "b")), ErrInterleaved},
		{"binary in a message", Server, false, stream(client(beginBinary, "a"), client(beginBinary, "b")), ErrInterleaved},
		{"125 in 16 bits", Server, false, header(finText, maskBit|length16, 0, 125), ErrLengthNotMinimal},
		{"5 in 16 bits, whole", Server, false, header(finText, maskBit|length16, 0, 5, 0, 0, 0, 0, 'H', 'e', 'l', 'l', 'o'), ErrLengthNotMinimal},
		{"0 in 16 bits", Server, false, header(finText, maskBit|length16, 0, 0), ErrLengthNotMinimal},
		{"65535 in 64 bits", Server, false, header(finText, maskBit|length64, 0, 0, 0, 0, 0, 0, 0xff, 0xff), ErrLengthNotMinimal},
		{"length 2^63", Server, false, header(finText, maskBit|length64, 0x80, 0, 0, 0, 0, 0, 0, 0), ErrLengthTooLarge},
		{"length 2^64-1", Server, false, header(finText, maskBit|length64, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), ErrLengthTooLarge},
		{"length 2^63-1", Server, false, header(finText, maskBit|length64, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4), ErrMessageTooBig},
		{"length 2^63-1 from a server", Client, false, header(finText, length64, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), ErrMessageTooBig},
		{"message over the limit", Server, false, client(finText, "12345678901"), ErrMessageTooBig},
		{"fragments over the limit", Server, false, stream(client(beginText, "123456"), client(endMessage, "78901")), ErrMessageTooBig},
		{"continuation of length 2^63-1", Server, false, stream(client(beginText, "1"), header(endMessage, maskBit|length64, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4)), ErrMessageTooBig},
		{"compressed bytes over the limit", Server, true, client(finText|rsv1Bit, "12345678901"), ErrMessageTooBig},
		{"too many fragments", Server, false, stream(client(beginText, ""), client(resume, ""), client(resume, ""), client(endMessage, "")), ErrFragments},
		{"text that is not UTF-8", Server, false, client(finText, "a\xff"), ErrUTF8},
		{"text that ends in a character", Server, false, client(finText, "a\xe2\x82"), ErrUTF8},
		{"fragments that end in a character", Server, false, stream(client(beginText, "a\xe2"), client(endMessage, "\x82")), ErrUTF8},
		{"fragments that are not UTF-8", Server, false, stream(client(beginText, "a\xe2"), client(endMessage, "a")), ErrUTF8},
		{"compressed text that is not UTF-8", Server, true, client(finText|rsv1Bit, "\xfa\x0f\x00"), ErrUTF8},
		{"compressed garbage", Server, true, client(finText|rsv1Bit, "\xff\xff"), ErrInflate},
		{"close with half a code", Server, false, client(finClose, "\x03"), ErrClosePayload},
		{"close with code 1005", Server, false, client(finClose, "\x03\xed"), ErrCloseCode},
		{"close whose reason is not UTF-8", Server, false, client(finClose, "\x03\xe8\xff"), ErrCloseUTF8},
	} {
		for how, pieces := range map[string][][]byte{"whole": {test.sent}, "bytewise": bytewise(test.sent)} {
			t.Run(test.name+"/"+how, func(t *testing.T) {
				var r Reader
				r.Init(test.role, test.deflate)
				c := testContext()
				found, err := feed(t, &r, c, limits, pieces...)
				if err != test.want {
					t.Fatalf("found %v, %v; want %v", found, err, test.want)
				}
				r.Release(c)
				if used := c.Pool.budget.Used(); used != 0 {
					t.Fatalf("%d bytes are held after Release", used)
				}
			})
		}
	}
}

func TestReaderFailsAtTheFirstByteThatIsWrong(t *testing.T) {
	for _, test := range []struct {
		name   string
		prefix []byte // all good
		wrong  byte
		want   *Error
	}{
		{"reserved opcode", nil, finBit | 5, ErrOpCode},
		{"missing mask", []byte{finText}, 5, ErrMask},
		{"long ping", []byte{finPing}, maskBit | length16, ErrControlTooLong},
		{"length not minimal", []byte{finText, maskBit | length16, 0}, 1, ErrLengthNotMinimal},
		{"impossible byte of a character", []byte{finText, maskBit | 50, 0, 0, 0, 0, 'a', 0xf4}, 0x90, ErrUTF8},
	} {
		var r Reader
		c := testContext()
		if _, err := feed(t, &r, c, &testLimits, bytewise(test.prefix)...); err != nil {
			t.Errorf("%s: fails before: %v", test.name, err)
		}
		if _, _, err := r.Next(c, &testLimits, []byte{test.wrong}, true); err != test.want {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

func TestReaderHoldsDataThatIsNotWanted(t *testing.T) {
	message := frame(Server, finText, "later")
	sent := stream(frame(Server, finPing, "1"), frame(Server, finPong, "2"), message)
	for split := range len(message) {
		var r Reader
		c := testContext()
		p := bytes.Clone(sent[:len(sent)-len(message)+split])
		var kinds []Kind
		for {
			in, n, err := r.Next(c, &testLimits, p, false)
			if err != nil {
				t.Fatal(err)
			}
			p = p[n:]
			kinds = append(kinds, in.Kind)
			if in.Kind == None || in.Kind == Held {
				break
			}
		}
		last := Held
		if split == 0 {
			last = None
		}
		if want := []Kind{Ping, Pong, last}; !slices.Equal(kinds, want) || len(p) != split {
			t.Fatalf("split at %d: %v, %d bytes left", split, kinds, len(p))
		}
		if r.Partial() || r.Buffered() != 0 {
			t.Fatalf("split at %d: holds %d bytes of what it must not touch", split, r.Buffered())
		}
		// Wanted now, it is found.
		got, err := feed(t, &r, c, &testLimits, p, message[split:])
		if want := []input{{Message, ws.OpText, "later", 0}}; err != nil || !slices.Equal(got, want) {
			t.Fatalf("split at %d: then %v, %v", split, got, err)
		}
	}
}

func TestReaderHoldsTheRestOfAMessageThatIsNotWantedAnyMore(t *testing.T) {
	sent := stream(frame(Server, beginText, "lat"), frame(Server, endMessage, "er"))
	for split := 1; split < len(sent); split++ {
		var r Reader
		c := testContext()
		if _, err := feed(t, &r, c, &testLimits, sent[:split]); err != nil {
			t.Fatal(err)
		}
		if in, n, err := r.Next(c, &testLimits, bytes.Clone(sent[split:]), false); in.Kind != Held || n != 0 || err != nil {
			t.Fatalf("split at %d: kind %d, took %d, %v", split, in.Kind, n, err)
		}
		got, err := feed(t, &r, c, &testLimits, sent[split:])
		if want := []input{{Message, ws.OpText, "later", 0}}; err != nil || !slices.Equal(got, want) {
			t.Fatalf("split at %d: then %v, %v", split, got, err)
		}
	}
}

func TestReaderTellsWhatIsUnfinished(t *testing.T) {
	var r Reader
	c := testContext()
	next := func(now Tick, p []byte) Kind {
		t.Helper()
		c.Now = now
		in, _, err := r.Next(c, &testLimits, bytes.Clone(p), true)
		if err != nil {
			t.Fatal(err)
		}
		return in.Kind
	}
	check := func(what string, partial bool, started Tick, announced int) {
		t.Helper()
		if r.Partial() != partial || partial && r.Started() != started || r.Announced() != announced {
			t.Errorf("%s: partial %v, started %d, announced %d; want %v, %d, %d",
				what, r.Partial(), r.Started(), r.Announced(), partial, started, announced)
		}
	}
	first, ping, last := frame(Server, beginText, "0123456789"), frame(Server, finPing, "abc"), frame(Server, endMessage, "xyz")

	check("new", false, 0, 0)
	next(10, first[:1])
	check("a byte of the header", true, 10, 0)
	next(11, first[1:9])
	check("three bytes of ten", true, 10, 7)
	next(12, first[9:])
	check("between fragments", true, 10, 0)
	next(13, ping[:8])
	check("within a ping", true, 10, 0)
	if next(14, ping[8:]) != Ping {
		t.Error("no ping")
	}
	check("after the ping", true, 10, 0)
	next(15, last[:6])
	check("before the payload", true, 10, 3)
	if next(16, last[6:]) != Message {
		t.Error("no message")
	}
	check("complete", false, 0, 0)
	next(17, nil)
	check("idle", false, 0, 0)
	next(18, ping[:7])
	check("within a ping of its own", true, 18, 0)
	next(19, ping[7:])
	check("after it", false, 0, 0)
}

func TestIdleReaderIsTwoWords(t *testing.T) {
	if size := unsafe.Sizeof(Reader{}); size > 16 {
		t.Errorf("%d bytes", size)
	}
	if size := unsafe.Sizeof(partial{}); size > partialSize {
		t.Errorf("a partial of %d bytes is charged as %d", size, partialSize)
	}
}
