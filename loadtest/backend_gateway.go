package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A hub is what the gateway is told to do with its clients' events.
type hub struct {
	upstream string // URL
	event    string // the only one that is sent; * is every message
	key      string // that signs, or ""
}

// patience is how long the gateway waits for a backend: longer than anything that is measured.
const patience = 5 * time.Minute

// yaml is the gateway's configuration.
func (h hub) yaml(listen, admin string) string {
	return fmt.Sprintf(`listen: %s
admin: {listen: %s}
log: {level: warn}
hubs:
  default:
    paths: ["/"]
    anonymous: true
    keys: [%s]
    upstream: {url: %q, events: [%q], timeout: %v, budget: %[6]v, connect_budget: %[6]v}
`, listen, admin, h.key, h.upstream, h.event, patience)
}

// A gateway is Sluice in front of a backend.
type gateway struct {
	*process
	admin string // URL
}

// startGateway runs the gateway, built in dir, until stop.
func startGateway(ctx context.Context, dir string, h hub) (*gateway, error) {
	listen, err := freeAddress()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddress()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "gateway.yaml")
	if err := os.WriteFile(file, []byte(h.yaml(listen, admin)), 0o600); err != nil {
		return nil, err
	}
	p, err := launch(ctx, exec.CommandContext(ctx, filepath.Join(dir, sluice), "-config", file), listen, nil)
	if err != nil {
		return nil, fmt.Errorf("the gateway %w", err)
	}
	return &gateway{p, "http://" + admin}, nil
}

// census notes in r how many goroutines and threads the gateway has, with those that answer this question.
func (g *gateway) census(ctx context.Context, r *Result) error {
	page, err := g.ask(ctx, "/debug/pprof/goroutine?debug=1")
	if err != nil {
		return err
	}
	if r.Goroutines, err = number(page, "goroutine profile: total "); err != nil {
		return err
	}
	r.Threads, err = server{[]int{g.cmd.Process.Pid}}.threads()
	return err
}

// unanswered is how many events the gateway has that wait for their answer.
func (g *gateway) unanswered(ctx context.Context) (int, error) {
	page, err := g.ask(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	return number(page, `sluice_upstream_in_flight{hub="default"} `)
}

// ask gets a page of the admin listener.
func (g *gateway) ask(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.admin+path, nil)
	if err != nil {
		return nil, err
	}
	req.Close = true // a kept connection would be one goroutine more
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s was answered %s", path, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// number reads the number behind the prefix of a line.
func number(page []byte, prefix string) (int, error) {
	for line := range bytes.Lines(page) {
		if rest, ok := bytes.CutPrefix(line, []byte(prefix)); ok {
			return strconv.Atoi(strings.TrimSpace(string(rest)))
		}
	}
	return 0, fmt.Errorf("no line begins with %q", prefix)
}

// meanwhile calls f while the active clients talk.
func meanwhile(ctx context.Context, m *measurement, f func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go keepTalking(ctx, m, ended)
	failed := f(ctx)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		return errors.Join(failed, err)
	}
	return failed
}

// keepTalking lets the active clients talk until ctx ends.
func keepTalking(ctx context.Context, m *measurement, ended chan<- error) {
	_, err := m.crew.do(ctx, order{Do: doEcho, Active: m.active, Size: m.size, For: patience})
	ended <- err
}
