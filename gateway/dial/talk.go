package dial

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// What ends a goroutine of talk without being an error of the run by itself.
var (
	errEnough = errors.New("the messages asked for have come")
	errBroken = errors.New("the connection is over, its reader knows why")
)

// talk owns the connection until it is closed, and waits for the goroutines
// that use it. The end is decided by the server, by the quiet after the end of
// input, by -n, by ctx, or by a failure on this side.
func (c *client) talk(ctx context.Context, conn *websocket.Conn, stdin io.Reader) error {
	// Cancelling a context that a read or a write uses cuts the connection off,
	// while an interrupted run closes it properly. So these get their own.
	use, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	defer running.Wait()
	defer cutOff()

	lines := make(chan line)
	go readLines(use, stdin, lines)

	heard := make(chan struct{}, 1)
	received, sent, alive := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	running.Go(func() { received <- c.receive(use, conn, heard) })
	running.Go(func() { sent <- c.send(use, conn, lines) })
	if c.ping > 0 {
		running.Go(func() { alive <- c.keepAlive(use, conn) })
	}

	var quiet <-chan time.Time // ticks once input has ended
	for {
		select {
		case err := <-received:
			return c.verdict(conn, err)
		case err := <-sent:
			switch {
			case err == nil:
				quiet = time.After(c.wait)
			case !errors.Is(err, errBroken):
				c.close(conn)
				return err
			}
		case <-heard:
			if quiet != nil {
				quiet = time.After(c.wait)
			}
		case err := <-alive:
			if !errors.Is(err, errBroken) {
				conn.CloseNow()
				return err
			}
		case <-quiet:
			return c.leave(conn, received)
		case <-ctx.Done():
			return c.leave(conn, received)
		}
	}
}

// leave closes the connection from this side. What the server sent before it
// learns of that is still written out, as far as it comes before its answer.
func (c *client) leave(conn *websocket.Conn, received <-chan error) error {
	c.close(conn)
	if err := <-received; c.count > 0 && !errors.Is(err, errEnough) {
		return fmt.Errorf("left before the server had sent %d messages", c.count)
	}
	return nil
}

// close performs the close handshake, which takes 10 s at most.
func (c *client) close(conn *websocket.Conn) {
	if err := conn.Close(c.code, ""); err != nil && websocket.CloseStatus(err) < 0 {
		c.note("closed with %s; the server did not answer: %v", describe(c.code, ""), err)
		return
	}
	c.note("closed with %s", describe(c.code, ""))
}

// line is one line of input, or the error that ended the input.
type line struct {
	text []byte
	err  error
}

// readLines hands the lines of stdin over until done is. The last line may lack
// its newline. It is the one goroutine that nobody waits for, see Run.
func readLines(done context.Context, stdin io.Reader, lines chan<- line) {
	in := bufio.NewScanner(stdin)
	in.Buffer(nil, maxMessage)
	for more := true; more; {
		var l line
		if more = in.Scan(); more {
			l.text = bytes.Clone(in.Bytes())
		} else if l.err = in.Err(); l.err == nil {
			l.err = io.EOF
		}
		select {
		case lines <- l:
		case <-done.Done():
			return
		}
	}
}
