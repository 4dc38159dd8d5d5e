// Command peers serves one small piece of WebSocket work with one of several libraries, so that
// the load generator beside it can measure Sluice and its peers doing the same:
//
//   - a data message is echoed;
//   - the message "broadcast <n>" is answered by a text of n bytes to every client;
//   - with -ping, every client is pinged once an interval, spread evenly over it.
//
// SIGUSR1 makes the process collect its garbage and return the memory, so that what an idle
// connection occupies can be read from /proc.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	bufferSize = 4096    // what every library gets where it lets one choose
	maxMessage = 1 << 20 // that is echoed or pushed
)

// A kind is one way to serve. Serve takes the listener over and returns only when it failed.
type kind struct {
	name, what string
	serve      func(l *net.TCPListener, ping time.Duration) error
}

func kinds() []kind {
	return []kind{
		{"gorilla", "gorilla/websocket, a goroutine per connection", serveGorilla},
		{"coder", "coder/websocket, a goroutine per connection", serveCoder},
		{"gobwas", "gobwas/ws, a goroutine per connection", serveGobwas},
		{"easygo", "gobwas/ws behind easygo's Desc poller and a goroutine pool", serveEasygo},
		{"gws", "lxzan/gws, a goroutine per connection", serveGWS},
		{"nbio", "lesismal/nbio, its own pollers and goroutine pool", serveNBIO},
		{"probe", "the floor: raw descriptors, one epoll loop, no checks", serveProbe},
	}
}

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "peers:", err)
		}
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	flags.SetOutput(stderr)
	name := flags.String("kind", "gorilla", "`library` that serves; -kind list prints them")
	listen := flags.String("listen", "127.0.0.1:9001", "`address` to listen on")
	ping := flags.Duration("ping", 0, "`interval` between two pings to a client; 0: none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for _, k := range kinds() {
		if *name == "list" {
			fmt.Fprintf(stdout, "%-8s %s\n", k.name, k.what)
		}
		if *name == k.name {
			return listenAndServe(k, *listen, *ping)
		}
	}
	if *name == "list" {
		return nil
	}
	return fmt.Errorf("unknown kind %q; -kind list prints the known ones", *name)
}

func listenAndServe(k kind, addr string, ping time.Duration) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	trim := make(chan os.Signal, 1)
	signal.Notify(trim, syscall.SIGUSR1)
	go freeMemory(trim)
	return k.serve(l.(*net.TCPListener), ping)
}

// freeMemory returns unused memory to the kernel whenever it is asked to, for as long as the
// process lives.
func freeMemory(asked <-chan os.Signal) {
	for range asked {
		debug.FreeOSMemory()
	}
}

// serveHTTP serves upgrade requests with net/http, as the libraries built on it do.
func serveHTTP(l net.Listener, upgrade http.HandlerFunc) error {
	s := &http.Server{
		Handler:           upgrade,
		ReadHeaderTimeout: 5 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	return s.Serve(l)
}

// broadcastText returns what message asks to be sent to everybody, if that is what it asks for.
func broadcastText(message []byte) ([]byte, bool) {
	const command = "broadcast "
	if len(message) > len(command)+8 || !bytes.HasPrefix(message, []byte(command)) {
		return nil, false
	}
	n, err := strconv.Atoi(string(message[len(command):]))
	if err != nil || n < 0 || n > maxMessage {
		return nil, false
	}
	return []byte(strings.Repeat("b", n)), true
}
