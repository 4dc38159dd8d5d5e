package gateway

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sluice/gateway/gatewaytest"
)

// When a loop dies nothing can be saved: Serve says why, and the process ends.
func TestDeadLoopEndsServe(t *testing.T) {
	g := unserved(t, gatewaytest.Config(), slog.New(slog.DiscardHandler))
	defer g.Close()
	served := make(chan error, 1)
	go func() { served <- g.Serve() }()
	broken := errors.New("epoll_wait: bad file descriptor")
	g.fatal(broken)
	select {
	case err := <-served:
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), "event loop") {
			t.Errorf("Serve returned %v", err)
		}
	case <-time.After(patience):
		t.Error("Serve goes on")
	}
}
