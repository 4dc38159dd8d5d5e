package session

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/gobwas/ws"
)

// An outline finds what a reader finds in the same bytes, however they come and
// wherever it begins, and leaves them alone.
func TestAnOutlineFindsWhatAReaderFinds(t *testing.T) {
	mask := [4]byte{1, 2, 3, 4}
	frame := func(first byte, payload string) []byte {
		f := AppendMasked(nil, ws.OpText, []byte(payload), mask)
		f[0] = first
		return f
	}
	long := string(bytes.Repeat([]byte("x"), 70_000))
	var stream []byte
	for _, f := range [][]byte{
		frame(0x81, "one"), frame(0x82, ""), frame(0x89, "ping"), frame(0x01, "fi"), frame(0x8a, ""),
		frame(0x00, "rs"), frame(0x80, "t"), frame(0x82, long), frame(0x02, ""), frame(0x80, ""),
		frame(0x88, "\x0f\xa0bye"), frame(0x81, "behind the end"),
	} {
		stream = append(stream, f...)
	}
	const messages = 5
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		c := NewContext(NewPool(NewBudget(1 << 20)))
		var reader Reader
		reader.Init(Server, false)
		at, before := r.IntN(len(stream)), 0
		if r.IntN(2) == 0 {
			at = r.IntN(60)
		}
		taken := bytes.Clone(stream[:at])
		for len(taken) > 0 {
			in, n, err := reader.Next(c, &Limits{Message: 1 << 20, Fragments: 100}, taken, true)
			if err != nil {
				t.Fatal(err)
			}
			if in.Kind == Message {
				before++
			}
			if taken = taken[n:]; in.Kind == Close {
				at = 0
			}
		}
		if at == 0 {
			continue
		}
		o := reader.Outline()
		rest := bytes.Clone(stream[at:])
		for p := rest; len(p) > 0; {
			n := min(len(p), 1+r.IntN(1+r.IntN(30_000)))
			o.Read(p[:n])
			p = p[n:]
		}
		if !bytes.Equal(rest, stream[at:]) {
			t.Fatal("the bytes have changed")
		}
		if before+o.Messages != messages || !o.Closed || o.Code != 4000 || o.Err != nil {
			t.Fatalf("from %d on: %d and %d messages, closed %v with %d, %v", at, before, o.Messages, o.Closed, o.Code, o.Err)
		}
	}
}

// What a reader refuses an outline refuses, too.
func TestAnOutlineEndsAtWhatIsNoFrame(t *testing.T) {
	var reader Reader
	reader.Init(Server, false)
	o := reader.Outline()
	o.Read([]byte{0x81, 0x80, 1, 2, 3, 4, 0xff, 0xff, 0x81, 0x80, 1, 2, 3, 4})
	if o.Messages != 1 || o.Err != ErrRSV {
		t.Errorf("%d messages, %v", o.Messages, o.Err)
	}
	o = reader.Outline()
	o.Read(AppendMasked(nil, ws.OpClose, []byte{3}, [4]byte{}))
	if o.Closed || o.Err != ErrClosePayload {
		t.Errorf("closed %v, %v", o.Closed, o.Err)
	}
}
