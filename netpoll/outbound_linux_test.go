package netpoll

import (
	"io"
	"net"
	"testing"
	"time"
)

// outbound returns both ends of a connection.
func outbound(t *testing.T) (*Outbound, *net.TCPConn) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	near, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	o, err := NewOutbound(near.(*net.TCPConn))
	if err != nil {
		t.Fatal(err)
	}
	return o, far.(*net.TCPConn)
}

func TestOutboundIsQuietUntilSomethingComes(t *testing.T) {
	for name, say := range map[string]func(*net.TCPConn){
		"bytes": func(far *net.TCPConn) { far.Write([]byte("x")) },
		"end":   func(far *net.TCPConn) { far.Close() },
		"reset": func(far *net.TCPConn) { far.SetLinger(0); far.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			o, far := outbound(t)
			if !o.Quiet() {
				t.Error("not quiet from the start")
			}
			say(far)
			for give := time.Now().Add(5 * time.Second); o.Quiet(); {
				if time.Now().After(give) {
					t.Fatal("still quiet")
				}
			}
		})
	}
}

func TestOutboundKnowsWhatHasArrived(t *testing.T) {
	o, far := outbound(t)
	if _, err := o.Write(make([]byte, 1000)); err != nil || o.Sent != 1000 {
		t.Fatalf("%d sent, %v", o.Sent, err)
	}
	if _, err := io.ReadFull(far, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	for give := time.Now().Add(5 * time.Second); o.Unacknowledged() != 0; {
		if time.Now().After(give) {
			t.Fatalf("%d bytes are not acknowledged", o.Unacknowledged())
		}
	}
	o.Close()
	if got := o.Unacknowledged(); got != -1 {
		t.Errorf("%d of a closed connection, want -1", got)
	}
}
