package session

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/gobwas/ws"
	"pgregory.net/rapid"
)

// A message that has waited too long is not sent any more, unless it was begun.
func TestQueueDropsWhatHasExpired(t *testing.T) {
	c := NewPool(NewBudget(1 << 20))
	for _, size := range []int{20, 90, 200} { // copied, or referenced; no header that reads as a letter
		testExpiry(t, c, func(fill byte) *Shared {
			return NewShared(AppendFrame(nil, ws.OpBinary, bytes.Repeat([]byte{fill}, size)), nil)
		})
	}
}

// testExpiry queues messages of one letter each.
func testExpiry(t *testing.T, c *Pool, frame func(byte) *Shared) {
	t.Helper()
	for name, tt := range map[string]struct {
		ttls []Tick // of messages a, b, c …, queued at tick 10
		sent int    // bytes of the first that are written
		at   Tick
		want string
	}{
		"none":             {[]Tick{0, 0}, 0, 100, "ab"},
		"not yet":          {[]Tick{5, 5}, 0, 14, "ab"},
		"both":             {[]Tick{5, 5}, 0, 15, ""},
		"the first":        {[]Tick{5, 0, 9}, 0, 15, "bc"},
		"the middle":       {[]Tick{0, 5, 0}, 0, 15, "ac"},
		"the last":         {[]Tick{0, 5}, 0, 15, "a"},
		"one under way":    {[]Tick{5, 5}, 1, 15, "a"},
		"different times":  {[]Tick{5, 50, 5, 50}, 0, 20, "bd"},
		"all but the last": {[]Tick{5, 5, 5, 0}, 0, 20, "d"},
	} {
		t.Run(name, func(t *testing.T) {
			var q Queue
			want := 0
			for i, ttl := range tt.ttls {
				s := frame('a' + byte(i))
				sent := 0
				if i == 0 {
					sent = tt.sent
				}
				if err := q.AppendShared(c, s, sent, 10, ttl); err != nil {
					t.Fatal(err)
				}
				s.Release()
			}
			if got := q.Expire(c, tt.at); got != len(tt.ttls)-len(tt.want) {
				t.Errorf("%d dropped", got)
			}
			got := ""
			for _, b := range q.Buffers(make([][]byte, 0, 8)) {
				want += len(b)
				for _, letter := range b {
					if 'a' <= letter && letter <= 'z' && !strings.HasSuffix(got, string(letter)) {
						got += string(letter)
					}
				}
			}
			if got != tt.want || q.Len() != want || q.Empty() != (tt.want == "") {
				t.Errorf("%q left, want %q; %d bytes, want %d", got, tt.want, q.Len(), want)
			}
			if err := q.AppendShared(c, frame('z'), 0, 20, 0); err != nil {
				t.Fatal(err)
			}
			q.Advance(c, q.Len())
			if !q.Empty() {
				t.Error("not empty after all was written")
			}
		})
	}
}

func TestQueueHas16Bytes(t *testing.T) {
	if got := unsafe.Sizeof(Queue{}); got != 16 {
		t.Errorf("%d bytes; each idle session has one", got)
	}
}

// frameOf returns a frame with n bytes of payload that differ from frame to
// frame.
func frameOf(n int, seed byte) []byte {
	pattern := []byte{seed, seed + 1, seed + 2, seed + 4, seed + 8, seed + 16, seed + 32}
	return AppendFrame(nil, ws.OpBinary, bytes.Repeat(pattern, n/len(pattern)+1)[:n])
}

// unsent returns all that waits in q.
func unsent(q *Queue) []byte {
	return bytes.Join(q.Buffers(make([][]byte, 0, 10_000)), nil)
}

func mustAppend(t *testing.T, q *Queue, c *Pool, p []byte, now Tick) {
	t.Helper()
	if err := q.Append(c, p, 0, now); err != nil {
		t.Fatal(err)
	}
}

func TestEmptyQueueOwnsNothing(t *testing.T) {
	b := NewBudget(1 << 20)
	c := NewPool(b)
	var q Queue
	mustAppend(t, &q, c, nil, 1)
	if err := q.Append(c, []byte("all written"), 11, 1); err != nil {
		t.Fatal(err)
	}
	if !q.Empty() || q.Len() != 0 || len(q.Buffers(make([][]byte, 0, 4))) != 0 || b.Used() != 0 {
		t.Errorf("queue %+v, %d bytes charged", q, b.Used())
	}
	q.Advance(c, 0)
	q.Cut(c)
	q.Reset(c)
	mustAppend(t, &q, c, frameOf(100_000, 0), 1)
	q.Advance(c, q.Len())
	if q != (Queue{}) || b.Used() != 0 {
		t.Errorf("after all is written: queue %+v, %d bytes charged", q, b.Used())
	}
}

func TestBuffersAreAsManyAsThereIsRoomFor(t *testing.T) {
	c := NewPool(NewBudget(1 << 20))
	var q Queue
	for tick := range Tick(5) {
		mustAppend(t, &q, c, frameOf(10, byte(tick)), tick)
	}
	all := q.Buffers(make([][]byte, 0, 64))
	if len(all) != 5 {
		t.Fatalf("%d buffers, want 5", len(all))
	}
	some := q.Buffers(append(make([][]byte, 0, 4), []byte("kept")))
	if len(some) != 4 || string(some[0]) != "kept" || !bytes.Equal(some[3], all[2]) {
		t.Errorf("buffers %q", some)
	}
}

func TestQueueWithoutABufferIsLeftAsItWas(t *testing.T) {
	b := NewBudget(70 << 10)
	c := NewPool(b)
	var q Queue
	mustAppend(t, &q, c, frameOf(100, 0), 1)
	before, used := unsent(&q), b.Used()
	// In the same tick, so that some of it would fit behind the first frame;
	// the first 64 KiB of it find a buffer, the rest does not.
	if err := q.Append(c, frameOf(80<<10, 1), 0, 1); !errors.Is(err, ErrQueueBudget) {
		t.Fatalf("error %v", err)
	}
	if !bytes.Equal(unsent(&q), before) || q.Len() != len(before) || b.Used() != used {
		t.Errorf("%d bytes wait, %d charged; want %d and %d", q.Len(), b.Used(), len(before), used)
	}
	b.SetLimit(0)
	small := NewShared(frameOf(10, 2), nil)
	if err := q.AppendShared(c, small, 0, 2, 0); !errors.Is(err, ErrQueueBudget) {
		t.Errorf("short shared frame: error %v", err)
	}
	large := NewShared(frameOf(1000, 3), nil)
	if err := q.AppendShared(c, large, 0, 2, 0); !errors.Is(err, ErrQueueBudget) {
		t.Errorf("not even an entry for a shared frame fits: error %v", err)
	}
	b.SetLimit(int64(used) + pieceSize)
	if err := q.AppendShared(c, large, 0, 2, 0); err != nil {
		t.Errorf("a shared frame that is not copied needs no buffer: %v", err)
	}
	q.Reset(c)
	if b.Used() != 0 {
		t.Errorf("%d bytes are still charged", b.Used())
	}
}

func TestBytesOfOneTickShareBuffersThatGrow(t *testing.T) {
	c := NewPool(NewBudget(1 << 20))
	var q Queue
	for range 2000 {
		mustAppend(t, &q, c, frameOf(98, 0), 7)
	}
	pieces := q.Buffers(make([][]byte, 0, 1000))
	if len(pieces) > 12 { // 256 B, doubling to 64 KiB, and then 64 KiB each
		t.Errorf("%d pieces for %d bytes", len(pieces), q.Len())
	}
	if first, last := cap(pieces[0]), cap(pieces[len(pieces)-1]); first != 256 || last != 64<<10 {
		t.Errorf("the first has %d bytes, the last %d", first, last)
	}
}

func TestSinceIsTheAgeOfTheNextByte(t *testing.T) {
	c := NewPool(NewBudget(1 << 20))
	var q Queue
	mustAppend(t, &q, c, frameOf(98, 0), 10)
	mustAppend(t, &q, c, frameOf(98, 0), 10)
	mustAppend(t, &q, c, frameOf(98, 0), 40) // there was room in the buffer
	for _, step := range []struct {
		write int
		want  Tick
	}{{0, 10}, {199, 10}, {1, 40}, {99, 40}} {
		q.Advance(c, step.write)
		if got := q.Since(); got != step.want {
			t.Errorf("%d bytes wait: since %d, want %d", q.Len(), got, step.want)
		}
	}
}

func TestSharedFrameIsReferencedUntilItIsWritten(t *testing.T) {
	b := NewBudget(1 << 20)
	c := NewPool(b)
	freed := false
	s := NewShared(frameOf(500, 1), func([]byte) { freed = true })
	var q, other Queue
	for _, q := range []*Queue{&q, &other} {
		if err := q.AppendShared(c, s, 100, 1, 0); err != nil {
			t.Fatal(err)
		}
	}
	s.Release()
	if b.Used() != 2*pieceSize || &q.Buffers(make([][]byte, 0, 1))[0][0] != &s.Bytes()[100] {
		t.Errorf("the frame was copied; %d bytes charged", b.Used())
	}
	q.Advance(c, q.Len())
	if freed {
		t.Fatal("freed while the other queue needs it")
	}
	other.Advance(c, 1)
	other.Reset(c)
	if !freed {
		t.Error("not freed by the last queue")
	}
}

// A frame whose first bytes are this session's own, and whose rest many share, is
// one frame: it is cut, expires and counts as one.
func TestFrameWithAHeadIsOneFrame(t *testing.T) {
	const size = 1000
	frame, next := frameOf(size, 1), frameOf(50, 2)
	at := HeaderSize(size) + 20
	for _, tt := range []struct {
		name    string
		sent    int // before it was queued
		written int // of the queue
		kept    bool
	}{
		{"nothing of it was sent", 0, 0, false},
		{"a byte of the head was sent before", 1, 0, true},
		{"the head was sent before", at, 0, true},
		{"some of the rest was sent before", at + 1, 0, true},
		{"a byte of the head was written", 0, 1, true},
		{"the head was written", 0, at, true},
		{"some of the rest was written", 0, at + 1, true},
	} {
		for _, by := range []string{"cut", "expire", "reset"} {
			t.Run(tt.name+", "+by, func(t *testing.T) {
				b := NewBudget(1 << 20)
				c := NewPool(b)
				freed := false
				s := NewShared(slices.Clone(frame[at:]), func([]byte) { freed = true })
				head := slices.Clone(frame[:at])
				var q Queue
				if err := q.AppendHeaded(c, head, s, tt.sent, 1, 5); err != nil {
					t.Fatal(err)
				}
				s.Release()
				clear(head) // it is the caller's again
				if err := q.Append(c, next, 0, 1); err != nil {
					t.Fatal(err)
				}
				if freed || len(q.Buffers(make([][]byte, 0, 9))) != 3-min(1, tt.sent/at) {
					t.Fatal("it was copied")
				}
				q.Advance(c, tt.written)
				rest := frame[tt.sent+tt.written:]
				want, lost := slices.Concat(rest, next), 0
				var got int
				switch by {
				case "cut":
					if got, want, lost = q.Cut(c), rest, 1; !tt.kept {
						want, lost = nil, 2
					}
				case "expire":
					if got = q.Expire(c, 6); !tt.kept {
						want, lost = next, 1
					}
				case "reset":
					got, want, lost = q.Reset(c), nil, 2
				}
				if got != lost || !bytes.Equal(unsent(&q), want) || q.Len() != len(want) {
					t.Errorf("%d messages lost, want %d; %d bytes are left, want %d", got, lost, q.Len(), len(want))
				}
				if freed != (len(want) <= len(next)) {
					t.Errorf("the shared rest is freed: %v", freed)
				}
				q.Reset(c)
				if b.Used() != 0 || !freed {
					t.Errorf("%d bytes are still charged, freed %v", b.Used(), freed)
				}
			})
		}
	}
}

func TestShortFrameWithAHeadIsCopied(t *testing.T) {
	c := NewPool(NewBudget(1 << 20))
	var q Queue
	for i := range 10 {
		f := frameOf(100, byte(i))
		freed := false
		s := NewShared(f[10:], func([]byte) { freed = true })
		if err := q.AppendHeaded(c, f[:10], s, 0, 1, 0); err != nil {
			t.Fatal(err)
		}
		if s.Release(); !freed {
			t.Error("it is referenced")
		}
	}
	if got := len(q.Buffers(make([][]byte, 0, 99))); got > 4 {
		t.Errorf("%d pieces for %d bytes of one tick", got, q.Len())
	}
}

func TestFrameWithAHeadIsQueuedWholeOrNotAtAll(t *testing.T) {
	b := NewBudget(1 << 20)
	c := NewPool(b)
	f := frameOf(1000, 1)
	s := NewShared(f[10:], nil)
	for _, room := range []int64{0, pieceSize, 1 << minClass, 1<<minClass + pieceSize, 1<<minClass + 2*pieceSize - 1} {
		var q Queue
		b.SetLimit(room)
		if err := q.AppendHeaded(c, f[:10], s, 0, 1, 0); !errors.Is(err, ErrQueueBudget) || !q.Empty() || b.Used() != 0 {
			t.Errorf("%d bytes of room: %v, %d bytes charged", room, err, b.Used())
		}
	}
	s.Release() // nobody else has it
	defer func() {
		if recover() == nil {
			t.Error("a queue retains what it did not take")
		}
	}()
	s.Release()
}

// The end of what Expire looks at falls between a head and its rest.
func TestExpiryPartsNoFrameFromItsHead(t *testing.T) {
	for before := range 4 {
		b := NewBudget(1 << 20)
		c := NewPool(b)
		var q Queue
		for range expireAhead - before {
			s := NewShared(frameOf(200, 0), nil)
			if err := q.AppendShared(c, s, 0, 1, 5); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 3 {
			f := frameOf(1000, byte(i))
			if err := q.AppendHeaded(c, f[:20], NewShared(f[20:], nil), 0, 1, 5); err != nil {
				t.Fatal(err)
			}
		}
		all := expireAhead - before + 3
		left := all - q.Expire(c, 6)
		if got := Messages(unsent(&q), 0); got != left || q.Len() != 0 && q.Len() != left*(HeaderSize(1000)+1000) {
			t.Errorf("%d short ones: %d messages and %d bytes are left of %d", expireAhead-before, got, q.Len(), left)
		}
		q.Reset(c)
		if b.Used() != 0 {
			t.Errorf("%d bytes are still charged", b.Used())
		}
	}
}

func TestRoomBehindASharedFrameIsNotTheQueues(t *testing.T) {
	c := NewPool(NewBudget(1 << 20))
	frame, first, second := frameOf(200, 1), frameOf(50, 2), frameOf(50, 3)
	s := NewShared(slices.Grow(frame, 1000), nil)
	var a, b Queue
	for _, q := range []*Queue{&a, &b} {
		if err := q.AppendShared(c, s, 0, 1, 0); err != nil {
			t.Fatal(err)
		}
	}
	mustAppend(t, &a, c, first, 1)
	mustAppend(t, &b, c, second, 1)
	if got := unsent(&a); !bytes.Equal(got, append(slices.Clone(frame), first...)) {
		t.Errorf("%x waits: not what was queued", got)
	}
	a.Reset(c)
	b.Reset(c)
}

func TestShortSharedFrameIsCopied(t *testing.T) {
	c := NewPool(NewBudget(1 << 20))
	freed := false
	s := NewShared(frameOf(500, 1), func([]byte) { freed = true })
	var q Queue
	if err := q.AppendShared(c, s, len(s.Bytes())-copyBelow+1, 1, 0); err != nil {
		t.Fatal(err)
	}
	s.Release()
	if !freed || q.Len() != copyBelow-1 {
		t.Errorf("freed %v, %d bytes wait", freed, q.Len())
	}
}

func TestCutKeepsTheRestOfTheFrameUnderWay(t *testing.T) {
	small, large := frameOf(10, 1), frameOf(200<<10, 2)
	for _, tt := range []struct {
		name    string
		frames  [][]byte
		written int
		want    int // bytes that are left
	}{
		{"nothing written", [][]byte{small, large}, 0, 0},
		{"a header begun", [][]byte{small, large}, 1, len(small) - 1},
		{"one frame written", [][]byte{small, large}, len(small), 0},
		{"the header of a long frame begun", [][]byte{small, large, small}, len(small) + 3, len(large) - 3},
		{"a long frame almost written", [][]byte{large, small}, len(large) - 1, 1},
		{"a long frame written", [][]byte{large, small}, len(large), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := NewBudget(1 << 20)
			c := NewPool(b)
			var q Queue
			all := bytes.Join(tt.frames, nil)
			mustAppend(t, &q, c, all, 1)
			q.Advance(c, tt.written)
			q.Cut(c)
			if want := all[tt.written : tt.written+tt.want]; q.Len() != tt.want || !bytes.Equal(unsent(&q), want) {
				t.Errorf("%d bytes are left, want %d", q.Len(), tt.want)
			}
			q.Reset(c)
			if b.Used() != 0 {
				t.Errorf("%d bytes are still charged", b.Used())
			}
		})
	}
}

// Bytes that are said to be no frames are none, whatever they look like, and the
// frames behind them are found.
func TestOtherBytesAreNoMessages(t *testing.T) {
	c := NewPool(NewBudget(1 << 20))
	answer := append(frameOf(100, 1), "HTTP/1.1 101 Switching Protocols\r\n\r\n"...)
	for sent := range len(answer) {
		for later := range Tick(2) {
			var q Queue
			if err := q.AppendOther(c, answer, sent, 1); err != nil {
				t.Fatal(err)
			}
			if n := q.Messages(); n != 0 {
				t.Fatalf("%d messages before there is one", n)
			}
			mustAppend(t, &q, c, bytes.Repeat(frameOf(20, 2), 3), 1+later)
			if n := q.Messages(); n != 3 {
				t.Fatalf("%d messages behind an answer of which %d bytes are sent", n, sent)
			}
			if n := q.Cut(c); n != 3 && sent > 0 || !bytes.HasPrefix(answer[sent:], unsent(&q)) {
				t.Fatalf("%d messages were cut, %q is left", n, unsent(&q))
			}
			q.Reset(c)
		}
	}
}

func TestCutLeavesBytesThatAreNoFramesWhole(t *testing.T) {
	c := NewPool(NewBudget(1 << 20))
	answers := [][]byte{
		[]byte("HTTP/1.1 503 Service Unavailable\r\n\r\n"),
		append([]byte("~\x7f\xff\xff\xff\xff\xff\xff\xff\xfe"), make([]byte, 40)...),              // a frame of no bytes
		append([]byte("~\x08abcdefgh~\x7f\x7f\xff\xff\xff\xff\xff\xff\xf0"), make([]byte, 40)...), // one whose end overflows
	}
	for _, answer := range answers {
		var q Queue
		if err := q.Append(c, answer, 20, 1); err != nil {
			t.Fatal(err)
		}
		if got := unsent(&q); !bytes.Equal(got, answer[20:]) {
			t.Errorf("%q waits", got)
		}
		q.Reset(c)
	}
}

// queueModel is a Queue done the plain way: all bytes ever queued, where the
// frames among them begin, and up to where they were queued in which tick.
type queueModel struct {
	stream  []byte
	begins  []int
	ends    []int // of the frames that are messages; none of those that were cut
	queued  []queuedRun
	written int
}

type queuedRun struct {
	end  int
	tick Tick
}

func (m *queueModel) append(frames [][]byte, sent int, now Tick) {
	at := len(m.stream) - sent
	for _, f := range frames {
		if at >= len(m.stream) {
			m.begins = append(m.begins, at)
		}
		if at += len(f); at > len(m.stream) && f[0] != 0x89 {
			m.ends = append(m.ends, at)
		}
	}
	m.stream = append(m.stream, bytes.Join(frames, nil)[sent:]...)
	m.queued = append(m.queued, queuedRun{len(m.stream), now})
}

// messages is how many were not written to their ends.
func (m *queueModel) messages() (n int) {
	for _, end := range m.ends {
		if end > m.written {
			n++
		}
	}
	return n
}

// cut returns how many messages are lost.
func (m *queueModel) cut() (lost int) {
	before := m.messages()
	for _, at := range m.begins {
		if at >= m.written {
			m.stream = m.stream[:at]
			break
		}
	}
	// What is behind the end now must not be found again.
	m.begins = slices.DeleteFunc(m.begins, func(at int) bool { return at >= len(m.stream) })
	m.ends = slices.DeleteFunc(m.ends, func(at int) bool { return at > len(m.stream) })
	for i := range m.queued {
		m.queued[i].end = min(m.queued[i].end, len(m.stream))
	}
	return before - m.messages()
}

// dropBegun returns how many messages are lost.
func (m *queueModel) dropBegun() (lost int) {
	before := m.messages()
	next := len(m.stream)
	for _, at := range m.begins {
		if at >= m.written {
			next = at
			break
		}
	}
	m.written = next
	return before - m.messages()
}

// since is the tick of the first byte that is not written.
func (m *queueModel) since() Tick {
	i := slices.IndexFunc(m.queued, func(r queuedRun) bool { return r.end > m.written })
	return m.queued[i].tick
}

func (m *queueModel) unsent() []byte { return m.stream[m.written:] }

func TestQueueAgreesWithAPlainModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := NewBudget(400 << 10)
		c := NewPool(b)
		var q Queue
		var m queueModel
		var now Tick
		shared := 0 // Shared that are not freed
		size := rapid.SampledFrom([]int{0, 1, 20, 60, 61, 62, 63, 64, 125, 126, 250, 255, 256, 1000, 65535, 65536, 70000})
		draw := func(t *rapid.T) (frames [][]byte, sent int) {
			for i := range rapid.IntRange(1, 3).Draw(t, "frames") {
				f := frameOf(size.Draw(t, "size"), byte(i))
				if rapid.Bool().Draw(t, "ping") && len(f) < 100 {
					f[0] = 0x89
				}
				frames = append(frames, f)
			}
			if q.Empty() { // only then was a part written straight to the socket
				sent = rapid.IntRange(0, len(bytes.Join(frames, nil))).Draw(t, "sent")
			}
			return frames, sent
		}
		check := func(t *rapid.T, err error, frames [][]byte, sent int) {
			switch {
			case err == nil:
				m.append(frames, sent, now)
			case !errors.Is(err, ErrQueueBudget):
				t.Fatal(err)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				frames, sent := draw(t)
				check(t, q.Append(c, bytes.Join(frames, nil), sent, now), frames, sent)
			},
			"append shared": func(t *rapid.T) {
				frames, sent := draw(t)
				shared++
				s := NewShared(bytes.Join(frames, nil), func([]byte) { shared-- })
				check(t, q.AppendShared(c, s, sent, now, 0), frames, sent)
				s.Release()
			},
			"append headed": func(t *rapid.T) {
				f := frameOf(size.Draw(t, "size"), 7)
				sent := 0
				if q.Empty() {
					sent = rapid.IntRange(0, len(f)).Draw(t, "sent")
				}
				head, rest := behead(t, f)
				shared++
				s := NewShared(rest, func([]byte) { shared-- })
				check(t, q.AppendHeaded(c, head, s, sent, now, 0), [][]byte{f}, sent)
				s.Release()
			},
			"write": func(t *rapid.T) {
				n := rapid.IntRange(0, q.Len()).Draw(t, "bytes")
				q.Advance(c, n)
				m.written += n
			},
			"cut": func(*rapid.T) {
				if got, want := q.Cut(c), m.cut(); got != want {
					t.Fatalf("%d messages cut, want %d", got, want)
				}
			},
			"drop begun": func(t *rapid.T) {
				if got, want := q.DropBegun(c), m.dropBegun(); got != want {
					t.Fatalf("%d messages dropped, want %d", got, want)
				}
			},
			"tick": func(*rapid.T) { now++ },
			"": func(t *rapid.T) {
				if got, want := q.Messages(), m.messages(); got != want {
					t.Fatalf("%d messages wait, want %d", got, want)
				}
				want := m.unsent()
				if q.Len() != len(want) || q.Empty() != (len(want) == 0) || !bytes.Equal(unsent(&q), want) {
					t.Fatalf("%d bytes wait, want %d", q.Len(), len(want))
				}
				if len(want) > 0 && q.Since() != m.since() {
					t.Fatalf("since %d, want %d", q.Since(), m.since())
				}
				if got, want := b.Used(), charged(&q); got != want {
					t.Fatalf("%d bytes charged, want %d", got, want)
				}
				if len(want) == 0 && (b.Used() != 0 || shared != 0) {
					t.Fatalf("an empty queue holds %d bytes and %d shared frames", b.Used(), shared)
				}
			},
		})
		if got, want := q.Reset(c), m.messages(); got != want {
			t.Fatalf("%d messages were in it, want %d", got, want)
		}
		if q != (Queue{}) || b.Used() != 0 || shared != 0 {
			t.Fatalf("after Reset: %+v, %d bytes, %d shared frames", q, b.Used(), shared)
		}
	})
}

// behead parts a frame somewhere behind its header.
func behead(t *rapid.T, f []byte) (head, rest []byte) {
	at := len(f)
	for _, size := range []int{2, 4, 10} {
		if n, ok := frameSize(f[:min(size, len(f))]); ok && n == len(f) {
			at = size
			break
		}
	}
	at = rapid.IntRange(at, len(f)).Draw(t, "head")
	return f[:at], f[at:]
}

// charged is what q takes of the budget: its buffers and an entry for each run
// of bytes.
func charged(q *Queue) (bytes int64) {
	if q.last == nil {
		return 0
	}
	for p := q.last.next; ; p = p.next {
		bytes += int64(max(pieceSize, unsafe.Sizeof(*p)))
		if p.shared == nil {
			bytes += int64(cap(p.b))
		}
		if p == q.last {
			return bytes
		}
	}
}

// Of messages that expire at different times, and are written meanwhile, those
// are dropped whose time is over and that were not begun. What is charged is
// what is there.
func TestExpiryAgreesWithAPlainModel(t *testing.T) {
	type message struct {
		rest    []byte
		begun   bool
		expires Tick // 0: never
	}
	rapid.Check(t, func(t *rapid.T) {
		b := NewBudget(1 << 20)
		c := NewPool(b)
		var q Queue
		var m []message
		now := ^Tick(0) - 3
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				f := frameOf(rapid.SampledFrom([]int{0, 20, 100, 120, 124, 125, 200, 250, 252, 253, 300}).Draw(t, "size"), byte(len(m)))
				ttl := Tick(rapid.SampledFrom([]int{0, 1, 3}).Draw(t, "ttl"))
				sent := 0
				if q.Empty() {
					sent = rapid.IntRange(0, len(f)-1).Draw(t, "sent")
				}
				s := NewShared(f, nil)
				var err error
				if rapid.Bool().Draw(t, "headed") {
					head, rest := behead(t, f)
					s = NewShared(rest, nil)
					err = q.AppendHeaded(c, head, s, sent, now, ttl)
				} else {
					err = q.AppendShared(c, s, sent, now, ttl)
				}
				switch {
				case err != nil:
					t.Fatal(err)
				case ttl == 0:
					m = append(m, message{f[sent:], sent > 0, 0})
				default:
					m = append(m, message{f[sent:], sent > 0, max(1, now+ttl)})
				}
				s.Release()
			},
			"write": func(t *rapid.T) {
				n := rapid.IntRange(0, min(q.Len(), 300)).Draw(t, "bytes")
				q.Advance(c, n)
				for n > 0 {
					w := min(n, len(m[0].rest))
					m[0].rest, m[0].begun = m[0].rest[w:], true
					if n -= w; len(m[0].rest) == 0 {
						m = m[1:]
					}
				}
			},
			"expire": func(t *rapid.T) {
				if q.pieces > expireAhead {
					return
				}
				before := len(m)
				m = slices.DeleteFunc(slices.Clone(m), func(x message) bool {
					return x.expires != 0 && !now.Before(x.expires) && !x.begun
				})
				if got := q.Expire(c, now); got != before-len(m) {
					t.Fatalf("%d messages expired, want %d", got, before-len(m))
				}
			},
			"tick": func(*rapid.T) {
				if now++; now == 0 {
					now++
				}
			},
			"": func(t *rapid.T) {
				var want []byte
				for _, x := range m {
					want = append(want, x.rest...)
				}
				if !bytes.Equal(unsent(&q), want) || q.Len() != len(want) || q.Empty() != (len(want) == 0) {
					t.Fatalf("%d bytes wait, want %d", q.Len(), len(want))
				}
				if got, want := b.Used(), charged(&q); got != want {
					t.Fatalf("%d bytes charged, want %d", got, want)
				}
				if got := q.Weight(); got != len(want)+pieceSize*int(q.pieces) {
					t.Fatalf("it weighs %d", got)
				}
			},
		})
		if got := q.Reset(c); got != len(m) || b.Used() != 0 || q != (Queue{}) {
			t.Fatalf("%d messages were left, want %d; %d bytes charged; %+v", got, len(m), b.Used(), q)
		}
	})
}

// What many stalled readers of short messages hold of the heap is what the
// budget says.
func TestBudgetSeesWhatQueuesTake(t *testing.T) {
	for _, size := range []int{10, 70, 130, 300} {
		for _, ttl := range []Tick{0, 100} {
			b := NewBudget(1 << 30)
			c := NewPool(b)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			queues := make([]Queue, 200)
			for i := range 100_000 / (size + pieceSize) {
				f := frameOf(size, 0)
				b.Take(cap(f) + SharedSize)
				s := NewShared(f, func(f []byte) { b.Give(cap(f) + SharedSize) })
				for j := range queues {
					if err := queues[j].AppendShared(c, s, 0, Tick(i/50), ttl); err != nil {
						t.Fatal(err)
					}
				}
				s.Release()
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			heap := int64(after.HeapAlloc) - int64(before.HeapAlloc)
			// The small change: what the pool keeps, and the queues themselves.
			if used := b.Used(); heap > used*11/10+1<<20 {
				t.Errorf("%d bytes, ttl %d: %d bytes of the heap, and the budget sees %d", size, ttl, heap, used)
			}
			weight := int64(0)
			for i := range queues {
				weight += int64(queues[i].Weight())
				queues[i].Reset(c)
			}
			if b.Used() != 0 || weight < heap/4 {
				t.Errorf("%d bytes are still charged; the queues weighed %d, the heap %d", b.Used(), weight, heap)
			}
		}
	}
}

func TestPieceFitsItsCharge(t *testing.T) {
	if got := unsafe.Sizeof(piece{}); got > pieceSize {
		t.Errorf("%d bytes, charged are %d", got, pieceSize)
	}
	if got := unsafe.Sizeof(Shared{}); got > SharedSize {
		t.Errorf("a shared frame has %d bytes, charged are %d", got, SharedSize)
	}
}

func TestSlowClientMakesNoGarbage(t *testing.T) {
	c := NewPool(NewBudget(1 << 20))
	s := NewShared(frameOf(1000, 0), nil)
	p, dst := frameOf(3000, 0), make([][]byte, 0, 64)
	var q Queue
	var now Tick
	if n := testing.AllocsPerRun(200, func() {
		for range 5 { // as many buffers as the Pool keeps
			now++
			if q.Append(c, p, 0, now) != nil || q.AppendShared(c, s, 0, now, 0) != nil {
				t.Fatal("no buffer")
			}
		}
		for !q.Empty() {
			q.Buffers(dst)
			q.Advance(c, min(q.Len(), 1700))
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTrimmedPoolKeepsNoPieces(t *testing.T) {
	c := NewPool(NewBudget(1 << 20))
	s := NewShared(frameOf(200, 0), nil)
	var q Queue
	for range 2 * maxPieces {
		if err := q.AppendShared(c, s, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	q.Reset(c)
	if c.pieces.kept != maxPieces {
		t.Errorf("%d pieces are kept, want %d", c.pieces.kept, maxPieces)
	}
	c.Trim()
	if c.pieces != (pieces{}) {
		t.Errorf("%d pieces are kept after Trim", c.pieces.kept)
	}
}

func BenchmarkQueueAppendAdvance(b *testing.B) {
	c := NewPool(NewBudget(1 << 20))
	p, dst := frameOf(128, 0), make([][]byte, 0, 64)
	var q Queue
	b.ReportAllocs()
	for b.Loop() {
		if err := q.Append(c, p, 0, 1); err != nil {
			b.Fatal(err)
		}
		q.Buffers(dst)
		q.Advance(c, q.Len())
	}
}

func BenchmarkQueueAppendShared(b *testing.B) {
	c := NewPool(NewBudget(1 << 20))
	s := NewShared(frameOf(128, 0), nil)
	var q Queue
	b.ReportAllocs()
	for b.Loop() {
		if err := q.AppendShared(c, s, 0, 1, 0); err != nil {
			b.Fatal(err)
		}
		q.Advance(c, q.Len())
	}
}
