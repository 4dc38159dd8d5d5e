package dial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"github.com/coder/websocket"
)

// verdict says what the end of receiving means for the run, and closes the
// connection where it is still open.
func (c *client) verdict(conn *websocket.Conn, err error) error {
	var closed websocket.CloseError
	var output outputError
	switch {
	case errors.Is(err, errEnough):
		c.close(conn)
		return nil
	case errors.As(err, &output):
		c.close(conn)
		return fmt.Errorf("write a message: %w", output)
	case errors.As(err, &closed):
		text := "closed by server: " + describe(closed.Code, closed.Reason)
		if closed.Code != websocket.StatusNormalClosure && closed.Code != websocket.StatusNoStatusRcvd {
			return errors.New(text)
		}
		if c.count > 0 {
			return fmt.Errorf("%s, before %d messages had come", text, c.count)
		}
		c.log.Print(text)
		return nil
	case errors.Is(err, websocket.ErrMessageTooBig):
		return fmt.Errorf("a message from the server is longer than %d bytes", maxMessage)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("connection lost: the server left without a close frame")
	case errors.Is(err, net.ErrClosed), errors.Is(err, context.DeadlineExceeded):
		// The library gives up a connection whose control frame stays unsent.
		return errors.New("connection lost: the server takes no data")
	}
	return fmt.Errorf("connection lost: %w", err)
}

// describe writes a close as people know it: 1001 going away "bye". The reason
// is quoted, because it is the peer's and goes to a terminal.
func describe(code websocket.StatusCode, reason string) string {
	text := fmt.Sprintf("%d %s", code, name(code))
	if reason != "" {
		text += " " + strconv.Quote(reason)
	}
	return text
}

// name is what the IANA registry of close codes calls a code, RFC 6455 §11.7.
func name(code websocket.StatusCode) string {
	switch code {
	case 1000:
		return "normal closure"
	case 1001:
		return "going away"
	case 1002:
		return "protocol error"
	case 1003:
		return "unsupported data"
	case 1005:
		return "no status received"
	case 1007:
		return "invalid payload"
	case 1008:
		return "policy violation"
	case 1009:
		return "message too big"
	case 1010:
		return "mandatory extension"
	case 1011:
		return "internal error"
	case 1012:
		return "service restart"
	case 1013:
		return "try again later"
	case 1014:
		return "bad gateway"
	}
	if code >= 4000 {
		return "private use"
	}
	return "registered with IANA or reserved"
}
