package gateway

import (
	"testing"

	"sluice/gateway/delivery"
	"sluice/gateway/gatewaytest"
	"sluice/session"
)

// Nodes with one key read each other's ids, and take each its own for its own;
// a successor with the same number means the same by them.
func TestIdentityIsGivenFromOutside(t *testing.T) {
	key := [32]byte{1, 2, 3}
	made := func(id *Identity) *node {
		return startOptions(t, gatewaytest.Config(), func(o *Options) { o.Identity = id })
	}
	one, two, again, stranger := made(&Identity{7, key}), made(&Identity{8, key}), made(&Identity{7, key}), made(nil)
	one.dial()
	var id string
	var ref session.Ref
	one.each(func(c *client) { id, ref = c.ConnectionID(), c.Ref() })
	for name, c := range map[string]struct {
		n             *node
		reads, itsOwn bool
	}{
		"the node":       {one, true, true},
		"another":        {two, true, false},
		"its successor":  {again, true, true},
		"of another key": {stranger, false, false},
	} {
		got, ok := c.n.ids.Decode(id)
		if ok != c.reads || ok && got != ref {
			t.Errorf("%s reads %v, %t", name, got, ok)
		}
		o := &order{target: delivery.Target{Kind: delivery.Connection, Name: id}}
		if got := c.n.resolve(o); got != c.itsOwn {
			t.Errorf("%s takes it for its own: %t", name, got)
		}
	}
	if one.set.Node != 7 || ref.Node != 7 {
		t.Errorf("the node is number %d, its session says %d", one.set.Node, ref.Node)
	}
}
