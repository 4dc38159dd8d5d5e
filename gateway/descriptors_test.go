package gateway

import (
	"net/http"
	"testing"

	"sluice/gateway/config"
	"sluice/gateway/engine"
	"sluice/gateway/gatewaytest"
)

// Where descriptors are few, somebody who says nothing goes before a newcomer
// does, and the newcomer if there is nobody.
func TestNewcomerTakesTheDescriptorOfTheOldestSilentOne(t *testing.T) {
	gatewaytest.EachLoopCount(t, func(t *testing.T, loops int) {
		n := start(t, func(cfg *config.Config) { cfg.Loops = loops })
		session := n.dial()
		left := n.descriptorsLeft()
		n.set.Pending.Add(left) // as if they were newcomers
		n.connect().wantBusy()
		n.set.Pending.Add(-1)
		silent := n.connect()
		n.awaits("it is accepted", func(c *client) bool { return c.State() == engine.Heading })
		for i := range 100 { // until one comes to the loop of the silent one
			if i == 99 {
				t.Fatal("the silent one stays")
			}
			p := n.connect()
			p.say(request("/"))
			resp, err := http.ReadResponse(p.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			p.Close()
			if resp.StatusCode == http.StatusSwitchingProtocols {
				break
			}
		}
		silent.wantBusy()
		silent.Close()
		session.Close()
		n.set.Pending.Add(1 - left)
		n.settled()
	})
}
