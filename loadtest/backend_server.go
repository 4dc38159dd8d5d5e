package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"

	"github.com/valyala/fasthttp"
)

// backendServerMode is the argument that makes this program the backend.
const backendServerMode = "backend-server"

const (
	eventsPath  = "/eventhandler"
	silencePath = "/silence" // where events are taken and never answered
	connectType = "azure.webpubsub.sys.connect"
)

// serveBackend is a backend in a process of its own: it tells out at which address it listens, and
// answers events until in ends. It is as cheap as can be: the cores are for what is measured.
func serveBackend(in io.Reader, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go endWith(in, l, ended)
	s := fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		if ctx.IsPost() && string(ctx.Path()) == silencePath {
			<-ended
		}
		answerEvent(ctx)
	}}
	if _, err := fmt.Fprintln(out, l.Addr()); err != nil {
		return err
	}
	return s.Serve(l)
}

// endWith closes both when in ends: whoever started this process has no more use for it.
func endWith(in io.Reader, l net.Listener, ended chan<- struct{}) {
	io.Copy(io.Discard, in)
	close(ended)
	l.Close()
}

// answerEvent consents to all events, lets every client in, and sends messages back.
// That it keeps its connections it says: else the gateway would use each once until it has seen that.
func answerEvent(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.Set("Keep-Alive", "timeout=3600")
	switch {
	case ctx.IsOptions():
		ctx.Response.Header.Set("WebHook-Allowed-Origin", "*")
	case string(ctx.Request.Header.Peek("ce-type")) == connectType:
		ctx.SetStatusCode(http.StatusNoContent)
	default:
		ctx.SetContentType("text/plain")
		ctx.SetBody(ctx.PostBody())
	}
}

// startBackend starts the backend, until stop.
func startBackend(ctx context.Context) (address string, stop func(), err error) {
	cmd, err := childCommand(ctx, backendServerMode)
	if err != nil {
		return "", nil, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		in.Close()
		cmd.Wait()
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("the backend does not come up: %w", err)
	}
	return strings.TrimSpace(line), stop, nil
}

// childCommand is this program once more, in another mode, and in the surroundings of all that is measured.
func childCommand(ctx context.Context, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = surroundings()
	cmd.Stderr = os.Stderr
	return cmd, nil
}
