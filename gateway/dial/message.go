package dial

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// receive writes each message as a line of stdout: text as it is, binary as
// base64. It sends to heard after each, unless the last is still unnoticed.
func (c *client) receive(ctx context.Context, conn *websocket.Conn, heard chan<- struct{}) error {
	for n := 1; ; n++ {
		kind, message, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if kind == websocket.MessageBinary {
			message = base64.StdEncoding.AppendEncode(nil, message)
		}
		if _, err := c.stdout.Write(append(message, '\n')); err != nil {
			return outputError{err}
		}
		if n == c.count {
			return errEnough
		}
		select {
		case heard <- struct{}{}:
		default:
		}
	}
}

// outputError is a failure to write to stdout: the connection is still good.
type outputError struct{ error }

func (e outputError) Unwrap() error { return e.error }

// send makes a message of each line until the end of input, which is nil, or
// until the connection is over, which is errBroken.
func (c *client) send(ctx context.Context, conn *websocket.Conn, lines <-chan line) error {
	for n := 1; ; n++ {
		var l line
		select {
		case l = <-lines:
		case <-ctx.Done():
			return errBroken
		}
		if errors.Is(l.err, io.EOF) {
			return nil
		}
		if l.err != nil {
			return fmt.Errorf("read line %d of the input: %w", n, l.err)
		}
		kind, payload, err := c.message(l.text)
		if err != nil {
			return fmt.Errorf("line %d of the input: %w", n, err)
		}
		if conn.Write(ctx, kind, payload) != nil {
			return errBroken
		}
	}
}

// message is what a line of input says.
func (c *client) message(text []byte) (websocket.MessageType, []byte, error) {
	if c.binary {
		payload, err := base64.StdEncoding.AppendDecode(nil, text)
		return websocket.MessageBinary, payload, err
	}
	if !utf8.Valid(text) { // RFC 6455 §5.6
		return 0, nil, errors.New("not UTF-8, which a text message must be; encode it as base64 and use -binary")
	}
	return websocket.MessageText, text, nil
}

// keepAlive pings the server at the interval. A pong that has not come by the
// time of the next ping is an error; the end of the connection is errBroken.
func (c *client) keepAlive(ctx context.Context, conn *websocket.Conn) error {
	ticks := time.NewTicker(c.ping)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return errBroken
		}
		start := time.Now()
		pong, cancel := context.WithTimeout(ctx, c.ping)
		err := conn.Ping(pong)
		late := pong.Err() != nil
		cancel()
		switch {
		case err == nil:
			c.note("pong after %v", time.Since(start).Round(time.Microsecond))
		case late:
			return fmt.Errorf("connection lost: no pong within %v", c.ping)
		default:
			return errBroken
		}
	}
}
