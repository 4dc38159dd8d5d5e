package handshake

import (
	"bufio"
	"io"
	"log"
	"net"
	"net/http"
	"testing"
	"time"
)

// pipes is a listener for the server ends of net.Pipe.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// TestRealServerRefusesNoMoreThanParse holds the table of refusals against
// net/http's own server, and with it the list in the package comment of what
// only Parse refuses.
func TestRealServerRefusesNoMoreThanParse(t *testing.T) {
	const taken = http.StatusTeapot
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close") // else it waits for the body
			w.WriteHeader(taken)
		}),
		ErrorLog: log.New(io.Discard, "", 0),
		// OPTIONS * comes to the handler as well.
		DisableGeneralOptionsHandler: true,
	}
	listener := make(pipes)
	served := make(chan error)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		close(listener)
		server.Close()
		<-served
	})

	status := func(t *testing.T, head string) int {
		t.Helper()
		client, conn := net.Pipe()
		defer client.Close()
		if err := client.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		listener <- conn
		if _, err := io.WriteString(client, head); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode
	}
	for _, c := range refusals {
		t.Run(c.name, func(t *testing.T) {
			got := status(t, c.head)
			switch {
			case c.netHTTP && got != taken:
				t.Errorf("net/http refuses it too, with %d", got)
			case !c.netHTTP && got != c.want.Status:
				t.Errorf("net/http answers %d, Parse %d", got, c.want.Status)
			}
		})
	}
	for _, head := range []string{smallHead, browserHead, "OPTIONS / HTTP/1.0\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"} {
		if got := status(t, head); got != taken {
			t.Errorf("net/http answers %d to %q", got, head)
		}
	}
}
