package node

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"sluice/gateway"
	"sluice/gateway/admin"
	"sluice/gateway/config"
	"sluice/metrics"
)

// serveAdmin starts the private listener, if there is to be one. inForce is the
// configuration, which reloads change.
func serveAdmin(inForce *atomic.Pointer[config.Config], g *gateway.Gateway, set *metrics.Set, log *slog.Logger, v metrics.Options) (closeIt func(), err error) {
	listen := inForce.Load().Admin
	if listen.Off() {
		return func() {}, nil
	}
	registry := metrics.NewRegistry(set)
	ln, err := net.Listen("tcp", listen.Listen)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	server := &http.Server{
		Handler: admin.Handler(admin.Options{
			Gatherer:  registry,
			Ready:     g.Ready,
			Info:      "sluice " + v.Version,
			Hosts:     func() []string { return inForce.Load().Admin.Hosts },
			Hubs:      func() []admin.Hub { return consoleHubs(inForce.Load()) },
			Node:      g,
			Authorize: g.Authorize,
			API:       g.API(),
			Clients:   g.Addr(),
		}),
		ReadHeaderTimeout: 5 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Error("admin listener failed", "err", err)
		}
	}()
	log.Info("admin listening", "addr", ln.Addr().String())
	return func() {
		server.Close()
		<-done
	}, nil
}

// consoleHubs is what the console is told of the hubs.
func consoleHubs(cfg *config.Config) []admin.Hub {
	var hubs []admin.Hub
	for _, name := range slices.Sorted(maps.Keys(cfg.Hubs)) {
		h := cfg.Hubs[name]
		scheme, _, _ := strings.Cut(h.Upstream.URL, ":")
		hubs = append(hubs, admin.Hub{
			Name:         name,
			Paths:        append(slices.Clone(h.Paths), "/client/hubs/"+name),
			Upstream:     scheme,
			Subprotocols: h.Subprotocols,
			Anonymous:    h.Anonymous,
			Keyed:        len(cfg.APIKeys)+len(cfg.Keys)+len(h.Keys) > 0,
		})
	}
	return hubs
}
