package gateway

import (
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/auth"
	"sluice/gateway/config"
	"sluice/gateway/engine"
	"sluice/metrics"
	"sluice/session"
)

const year = 365 * 24 * time.Hour

// Ticks wrap around after 27.2 years, and half of that is past: a token that is
// good for longer neither ends its session soon nor keeps its timer busy.
func TestATokenMayBeGoodForDecades(t *testing.T) {
	wrap := time.Duration(1<<32) * engine.Tick
	for name, ttl := range map[string]time.Duration{
		"a year and more":     400 * 24 * time.Hour,
		"14 years":            14 * year,
		"half of a wrap":      wrap / 2,
		"27.24 years":         wrap + 2*time.Second,
		"a wrap less a tick":  wrap - engine.Tick,
		"74 years":            74 * year,
		"more than a century": 290 * year,
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t, func(cfg *config.Config) {
				withKey(cfg)
				cfg.Hubs["default"] = changed(cfg.Hubs["default"], func(h *config.Hub) { h.Expire = true })
				cfg.Loops = 1
			})
			p := n.dialAs("/?access_token=" + n.tokenFor(auth.ClientClaims{User: "ann", TTL: ttl}))
			n.loops[0].do(func(l *loop) {
				c := l.at(0)
				for range 3 { // each time that the timer fires, however late
					l.Review(c.Stream)
					ask, bounded, over := l.expired(c)
					if !bounded || over {
						t.Fatalf("bounded %v, over %v", bounded, over)
					}
					if near := l.Now() + session.Tick(time.Minute/engine.Tick); ask.Before(near) {
						t.Errorf("asked again after %d ticks", ask-l.Now())
					}
				}
			})
			p.send(text("still here"))
			p.want(ws.OpText, "still here")
		})
	}
}

// The end that is beyond the horizon is found when it has come near.
func TestATokenBeyondTheHorizonExpires(t *testing.T) {
	n := start(t, func(cfg *config.Config) {
		withKey(cfg)
		cfg.Hubs["default"] = changed(cfg.Hubs["default"], func(h *config.Hub) { h.Expire = true })
		cfg.Loops = 1
	})
	p := n.dialAs("/?access_token=" + n.tokenFor(auth.ClientClaims{User: "ann", TTL: 30 * year}))
	n.loops[0].do(func(l *loop) {
		c := l.at(0)
		c.who.grant.expires -= 30 * year // that much later
		l.Review(c.Stream)
	})
	p.want(ws.OpClose, body(1008, "token expired"))
	p.send(closeFrame(1008))
	p.wantEnd()
	n.ended(1008, metrics.ReasonTokenExpired)
}
