package node

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"sluice/gateway"
	"sluice/gateway/config"
)

// reloader puts the configuration file into force again when it is told to.
type reloader struct {
	load    func() (*config.Config, error)
	cfg     atomic.Pointer[config.Config] // what is in force
	gateway *gateway.Gateway
	log     *slog.Logger
	level   *slog.LevelVar
	ok      atomic.Bool
}

// reload reads the file. All of it comes into force, or nothing.
func (r *reloader) reload() {
	next, err := r.load()
	if err == nil {
		if restart := r.cfg.Load().Changes(next); len(restart) > 0 {
			err = fmt.Errorf("only a restart can change %s", strings.Join(restart, ", "))
		}
	}
	if err == nil {
		err = r.gateway.Reload(next)
	}
	r.ok.Store(err == nil)
	if err != nil {
		r.log.Error("configuration not reloaded, the running one stays in force", "err", err)
		return
	}
	r.cfg.Store(next)
	r.level.UnmarshalText([]byte(next.Log.Level))
	r.log.Info("configuration reloaded")
}

// successful is the metric of the last reload.
func (r *reloader) successful() float64 {
	if r.ok.Load() {
		return 1
	}
	return 0
}
