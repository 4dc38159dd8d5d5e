package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A contender is a server that the comparison can build and start.
type contender struct {
	name, what string
	most       int // connections that it can hold with 20,000 descriptors; 0: no bound of its own
}

const (
	sluice       = "sluice"
	pingInterval = time.Second // between two pings to a client, where they are what is measured
)

func contenders() []contender {
	return []contender{
		{sluice, "this gateway", 17500},
		{"probe", "raw epoll loop without any check: the floor", 0},
		{"gws", "lxzan/gws", 0},
		{"nbio", "lesismal/nbio", 0},
		{"gobwas", "gobwas/ws, goroutine per connection", 0},
		{"easygo", "gobwas/ws behind easygo's Desc", 9500}, // two descriptors a connection
		{"gorilla", "gorilla/websocket", 0},
		{"coder", "coder/websocket", 0},
	}
}

// program returns the package of what serves in a mode.
func (c contender) program(m mode) string {
	switch {
	case c.name != sluice:
		return "sluice/loadtest/peers"
	case m.name == "broadcast":
		return "sluice/loadtest/pushing" // the product has no text message that makes it push
	}
	return "sluice"
}

// build compiles what the contenders are in these modes, into a new folder that is the caller's to remove.
func build(ctx context.Context, who []contender, in []mode, stderr io.Writer) (dir string, err error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "sluice").Output()
	if err != nil {
		return "", fmt.Errorf("the servers are built from source, inside the module: %w", err)
	}
	module := strings.TrimSpace(string(out))
	if dir, err = os.MkdirTemp("", "loadtest"); err != nil {
		return "", err
	}
	built := make(map[string]bool)
	for _, c := range who {
		for _, m := range in {
			program := c.program(m)
			if built[program] {
				continue
			}
			built[program] = true
			from := filepath.Join(module, strings.TrimPrefix(program, "sluice")) // the peers are a module of their own
			if err := compile(ctx, from, filepath.Join(dir, path.Base(program)), stderr); err != nil {
				return "", errors.Join(err, os.RemoveAll(dir))
			}
		}
	}
	return dir, nil
}

func compile(ctx context.Context, from, to string, stderr io.Writer) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-C", from, "-o", to, ".")
	cmd.Stderr = stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building %s: %w", filepath.Base(to), err)
	}
	return nil
}

// A process is a contender at work.
type process struct {
	cmd         *exec.Cmd
	log         bytes.Buffer
	exited      chan struct{}
	url, settle string
}

// start runs the contender, built in dir, on a free port until stop, and returns when it accepts connections.
func (c contender) start(ctx context.Context, dir string, m mode) (*process, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	var env []string
	program := filepath.Join(dir, path.Base(c.program(m)))
	cmd, settle := exec.CommandContext(ctx, program, "-kind", c.name, "-listen", addr), "usr1"
	if c.name == sluice {
		admin, err := freeAddress()
		if err != nil {
			return nil, err
		}
		cmd, settle = exec.CommandContext(ctx, program), "12s" // it returns memory by itself when it has been quiet
		env = append(env, "SLUICE_LISTEN="+addr, "SLUICE_ADMIN_LISTEN="+admin)
	}
	switch pings := m.name == "ping"; {
	case pings && c.name == sluice:
		env = append(env, "SLUICE_HEARTBEAT_INTERVAL="+pingInterval.String(), "SLUICE_HEARTBEAT_TIMEOUT="+pingInterval.String())
	case pings:
		cmd.Args = append(cmd.Args, "-ping", pingInterval.String())
	}
	p, err := launch(ctx, cmd, addr, env)
	if err != nil {
		return nil, fmt.Errorf("%s %w", c.name, err)
	}
	p.settle = settle
	return p, nil
}

// launch starts cmd, with env beside what is the same for all, until stop, and returns when it accepts
// connections at addr.
func launch(ctx context.Context, cmd *exec.Cmd, addr string, env []string) (*process, error) {
	p := &process{cmd: cmd, url: "ws://" + addr + "/", exited: make(chan struct{})}
	cmd.Env = append(surroundings(), env...)
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("does not start: %w", err)
	}
	go p.wait()
	if err := p.accepts(ctx, addr); err != nil {
		p.stop()
		return nil, fmt.Errorf("does not come up: %w: %s", err, lastLine(p.log.String()))
	}
	return p, nil
}

// surroundings are the environment of all that is measured: nothing that tunes a Go program, nor an
// earlier Sluice setting.
func surroundings() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "SLUICE_") || strings.HasPrefix(v, "GOMAXPROCS=") ||
			strings.HasPrefix(v, "GOGC=") || strings.HasPrefix(v, "GOMEMLIMIT=") || strings.HasPrefix(v, "GODEBUG=")
	})
}

// wait notices the process's end, whoever brings it about.
func (p *process) wait() {
	p.cmd.Wait()
	close(p.exited)
}

// stop ends the process at once: there is nothing in it to save.
func (p *process) stop() {
	p.cmd.Process.Kill()
	<-p.exited
}

// freeAddress returns a loopback address that nobody listens on at the moment.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// accepts waits until the process listens on addr.
func (p *process) accepts(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	var d net.Dialer
	for {
		c, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-p.exited:
			return errors.New("it ended")
		case <-retry.C:
		}
	}
}

// lastLine is where a server that gives up says why.
func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}
