package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/session"
)

// visitors are the clients of one hub, who count what they say and hear.
type visitors struct {
	t       *testing.T
	n       *node
	hub     string
	strange bool // answers may be somebody else's
	number  atomic.Int64

	mu sync.Mutex
	visits
}

// visits are the counts. What is in doubt was said, or asked, by somebody who
// did not stay for the answer; what is unheard, by somebody who stayed.
type visits struct {
	dialed, refused, entered, enteredInDoubt      int
	sent, sentInDoubt, echoed, strangers, unheard int
	failed, overloaded                            int // closed with 1011, and with 1013
}

// stay has some visitors come and go until ctx ends, and waits for the last.
func (v *visitors) stay(ctx context.Context) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				v.visit()
				time.Sleep(rand.N(40 * time.Millisecond)) // the pace of visits
			}
		})
	}
	wg.Wait()
}

// visit is the life of one visitor.
func (v *visitors) visit() {
	s := v.visiting(rand.IntN(6))
	v.mu.Lock()
	defer v.mu.Unlock()
	v.dialed += s.dialed
	v.refused += s.refused
	v.entered += s.entered
	v.enteredInDoubt += s.enteredInDoubt
	v.sent += s.sent
	v.sentInDoubt += s.sentInDoubt
	v.echoed += s.echoed
	v.strangers += s.strangers
	v.unheard += s.unheard
	v.failed += s.failed
	v.overloaded += s.overloaded
}

// visitor is one client, on its way.
type visitor struct {
	*visitors
	conn  *net.TCPConn
	in    *bufio.Reader
	name  string
	heard int  // answers so far
	over  bool // its Close frame is sent
	visits
}

// The ways to leave.
const (
	leavesInHandshake = iota
	closesAfterAnswers
	closesAtOnce // what it has said is not answered yet
	halfCloses
	resetsAfterAnswers
	resetsAtOnce
)

func (v *visitors) visiting(way int) visits {
	c, err := net.Dial("tcp", v.n.Addr().String())
	if err != nil {
		v.t.Error(err)
		return visits{}
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(3 * patience))
	p := visitor{visitors: v, conn: c.(*net.TCPConn), in: bufio.NewReader(c), name: fmt.Sprintf("%s %d", v.hub, v.number.Add(1))}
	p.dialed = 1
	io.WriteString(c, request("/client/hubs/"+v.hub))
	if way == leavesInHandshake {
		time.Sleep(rand.N(2 * time.Millisecond)) // at any time
		p.conn.SetLinger(0)
		p.enteredInDoubt = 1
		return p.visits
	}
	resp, err := http.ReadResponse(p.in, nil)
	switch {
	case err != nil:
		v.t.Errorf("%s: handshake: %v", p.name, err)
	case resp.StatusCode != http.StatusSwitchingProtocols:
		p.refused = 1
	default:
		p.entered = 1
		if err := p.talk(way); err != nil {
			v.t.Errorf("%s, which leaves in way %d, after %d of %d answers: %v", p.name, way, p.heard, p.sent, err)
		}
	}
	return p.visits
}

// talk says something and leaves.
func (p *visitor) talk(way int) error {
	several := rand.IntN(5)
	switch way {
	case closesAtOnce, resetsAtOnce:
		var all []byte
		for range several + 1 {
			all = append(all, p.next()...)
		}
		if way == closesAtOnce {
			p.over = true
			p.conn.Write(append(all, closeFrame(ws.StatusNormalClosure)...))
			return p.untilEnd()
		}
		p.conn.Write(all)
		time.Sleep(rand.N(2 * time.Millisecond)) // at any time
		p.leave()
		return nil
	}
	for range several {
		p.conn.Write(p.next())
		if ended, err := p.hear(); ended || err != nil {
			return err
		}
	}
	switch way {
	case closesAfterAnswers:
		p.bye()
	case halfCloses:
		p.conn.CloseWrite()
	case resetsAfterAnswers:
		p.leave()
		return nil
	}
	return p.untilEnd()
}

// next is the next message. Each has its number.
func (p *visitor) next() []byte {
	p.sent++
	return text(p.message(p.sent - 1))
}

func (p *visitor) message(i int) string { return fmt.Sprintf("%s: %d", p.name, i) }

// leave resets the connection: nothing is known of what was not answered.
func (p *visitor) leave() {
	p.sentInDoubt += p.sent - p.heard
	p.conn.SetLinger(0)
}

// hear reads one message, or the end.
func (p *visitor) hear() (ended bool, err error) {
	f, err := readFrame(p.in)
	switch {
	case err != nil:
		return false, err
	case f.Header.OpCode == ws.OpClose:
		p.closed(f)
		return true, p.toEOF()
	case string(f.Payload) == p.message(p.heard):
		p.echoed++
	case p.strange:
		p.strangers++
	default:
		return false, fmt.Errorf("it was told %q", f.Payload)
	}
	p.heard++
	return false, nil
}

// closed counts a Close frame, and answers it unless it is an answer. A message
// that was under way meanwhile comes too late.
func (p *visitor) closed(f ws.Frame) {
	switch code, _ := ws.ParseCloseFrameData(f.Payload); code {
	case ws.StatusNormalClosure:
		return // ours
	case ws.StatusInternalServerError:
		p.failed++
	case session.StatusTryAgainLater:
		p.overloaded++
	default:
		p.t.Errorf("%s: closed with %d", p.name, code)
	}
	if !p.over {
		p.conn.Write(p.next())
	}
	p.bye()
}

// bye sends a Close frame, once.
func (p *visitor) bye() {
	if !p.over {
		p.conn.Write(closeFrame(ws.StatusNormalClosure))
	}
	p.over = true
}

// untilEnd reads everything until the gateway closes, which it does not before
// all is answered, unless the backend has failed; but a Close frame is answered
// while the message before it is still at the backend.
func (p *visitor) untilEnd() error {
	ended, err := false, error(nil)
	for !ended && err == nil {
		ended, err = p.hear()
	}
	if err == io.EOF {
		err = nil
	}
	p.unheard = p.sent - p.heard
	if err == nil && p.unheard > 1 && p.failed+p.overloaded == 0 {
		err = errors.New("not all was answered")
	}
	return err
}

func (p *visitor) toEOF() error {
	_, err := io.Copy(io.Discard, p.in)
	return err
}
