package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sluice/gateway/config"
)

// gateway is the process that is measured.
type gateway struct {
	cmd    *exec.Cmd
	config *config.Config
	file   string
	admin  http.Client
}

// clientPort is where the gateway listens, on every loopback address.
var clientPort = netip.MustParseAddrPort(config.DefaultListen).Port()

// configuration is the gateway's: that of its defaults, but room for all connections and patience with
// a slow machine.
func configuration(p plan) *config.Config {
	c := config.Default()
	c.Listen = fmt.Sprintf("0.0.0.0:%d", clientPort)
	c.Heartbeat = heartbeat(p.quiet)
	c.Drain = config.Drain{Window: config.Duration(p.drain), Timeout: config.Duration(p.drain + ample)}
	c.Limits.Connections = p.conns
	c.Limits.Handshake = config.Duration(ample)
	c.Limits.Close = config.Duration(ample)
	c.APIKeys = []string{apiKey}
	c.Log.Level = "warn"
	return c
}

// apiKey opens the data plane to the broadcast; nobody else is there.
const apiKey = "a-million-connections"

// heartbeat is one that asks for an answer before it asks again.
func heartbeat(interval time.Duration) config.Heartbeat {
	return config.Heartbeat{Interval: config.Duration(interval), Timeout: config.Duration(interval)}
}

// startGateway returns when the gateway is ready. It must be ended by drain, or by the end of ctx.
func startGateway(ctx context.Context, program string, c *config.Config, file string) (*gateway, error) {
	g := &gateway{config: c, file: file, cmd: exec.CommandContext(ctx, program, "-config", file)}
	if err := g.writeConfig(); err != nil {
		return nil, err
	}
	g.cmd.Stderr = os.Stderr
	if err := g.cmd.Start(); err != nil {
		return nil, err
	}
	if err := until(30*time.Second, func() error { return g.get("/readyz", io.Discard) }); err != nil {
		return nil, fmt.Errorf("the gateway is not ready: %w", err)
	}
	return g, nil
}

// until tries until do succeeds, and returns why it does not when patience has gone by between the tries.
func until(patience time.Duration, do func() error) error {
	const pause = 50 * time.Millisecond
	for waited := time.Duration(0); ; waited += pause {
		if err := do(); err == nil || waited >= patience {
			return err
		}
		time.Sleep(pause)
	}
}

// writeConfig writes the configuration with its key, which WriteYAML leaves out.
func (g *gateway) writeConfig() error {
	var file strings.Builder
	if err := g.config.WriteYAML(&file); err != nil {
		return err
	}
	text, err := withKey(file.String())
	if err != nil {
		return err
	}
	return os.WriteFile(g.file, []byte(text), 0o600)
}

var hiddenKey = regexp.MustCompile(`(?m)^api_keys: .*$`)

func withKey(file string) (string, error) {
	if len(hiddenKey.FindAllString(file, -1)) != 1 {
		return "", errors.New("the configuration has no place for a key")
	}
	return hiddenKey.ReplaceAllLiteralString(file, "api_keys: ["+apiKey+"]"), nil
}

// push has a message sent to everybody.
func (g *gateway) push(message []byte) error {
	url := fmt.Sprintf("http://127.0.0.1:%d/api/hubs/default/:send", clientPort)
	r, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(message))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+apiKey)
	r.Header.Set("Content-Type", "application/octet-stream")
	answer, err := g.admin.Do(r)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		return fmt.Errorf("the data plane answered %s", answer.Status)
	}
	return nil
}

// get copies a page of the admin listener.
func (g *gateway) get(path string, to io.Writer) error {
	r, err := g.admin.Get("http://" + g.config.Admin.Listen + path)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if _, err := io.Copy(to, r.Body); err != nil {
		return err
	}
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, r.Status)
	}
	return nil
}

// collect makes the gateway collect its garbage, and returns how much is spare then.
func (g *gateway) collect() (int64, error) { return g.free("/debug/pprof/heap?gc=1&debug=1") }

// spare returns how many bytes the gateway's Go runtime has free and has not given back to the kernel.
func (g *gateway) spare() (int64, error) { return g.free("/debug/pprof/heap?debug=1") }

// free reads spare from a heap profile.
func (g *gateway) free(profile string) (int64, error) {
	var page strings.Builder
	if err := g.get(profile, &page); err != nil {
		return 0, err
	}
	heap, err := values(page.String(), " = ", "# HeapIdle", "# HeapReleased")
	if err != nil {
		return 0, err
	}
	return heap[0] - heap[1], nil
}

// inForce fails if the gateway goes by another limit of connections than its configuration has, which is how
// one shows in the metrics that it has been taken. On older kernels (before 6.2) these cost an inode for each
// descriptor, so they are not for use before a reading.
func (g *gateway) inForce() error {
	var page strings.Builder
	if err := g.get("/metrics", &page); err != nil {
		return err
	}
	v, err := values(page.String(), " ", "sluice_config_last_reload_successful", "sluice_connections_limit")
	switch {
	case err != nil:
		return err
	case v[0] != 1:
		return errors.New("the gateway has refused its configuration")
	case v[1] != int64(g.config.Limits.Connections):
		return errors.New("the gateway has not taken its configuration")
	}
	return nil
}

// cpu is the processor time that the gateway has used (clock_getcpuclockid(3)).
func (g *gateway) cpu() (time.Duration, error) {
	const schedulerClock = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(^int32(g.cmd.Process.Pid)<<3|schedulerClock, &ts); err != nil {
		return 0, fmt.Errorf("the gateway's CPU clock: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

// beat changes the heartbeat's interval of the running gateway.
func (g *gateway) beat(interval time.Duration) error {
	g.config.Heartbeat = heartbeat(interval)
	if err := g.writeConfig(); err != nil {
		return err
	}
	return g.cmd.Process.Signal(syscall.SIGHUP)
}

// calm returns when the gateway asks nobody for a sign of life any more.
func (g *gateway) calm(patience time.Duration) error {
	if err := g.inForce(); err != nil {
		return err
	}
	g.config.Limits.Connections++
	if err := g.beat(ample); err != nil {
		return err
	}
	return until(patience, g.inForce)
}
