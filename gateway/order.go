package gateway

import (
	"time"

	"sluice/gateway/delivery"
	"sluice/gateway/engine"
	"sluice/session"
)

// order is an action, and whom it is for, as all loops share it.
type order struct {
	hub      *hub
	target   delivery.Target
	action   delivery.Action
	size     int         // what it takes of each mailbox
	one      session.Ref // the connection meant, if the target is one
	excluded map[session.Ref]struct{}
	posted   time.Duration // on the node's clock
	// answers, if not nil, is told what has come of it by each loop. It has room
	// for all.
	answers chan<- delivery.Result

	again bool     // it was refused before, which is counted
	lacks *mailbox // what had no room when it was refused; nil: the budget
}

// newOrder returns an order that nobody has resolved yet. Only messages take
// room in mailboxes.
func newOrder(h *hub, t delivery.Target, a delivery.Action) *order {
	o := &order{hub: h, target: t, action: a}
	if m, ok := a.(delivery.Send); ok {
		o.size = letterSize + len(m.Data)
	}
	return o
}

// resolve decodes the ids in an order. It is false if nobody can be meant.
func (g *Gateway) resolve(o *order) bool {
	if o.target.Kind == delivery.Connection {
		ref, ok := g.ids.Decode(o.target.Name)
		if !ok || ref.Node != g.set.Node || int(ref.Loop) >= len(g.loops) {
			return false
		}
		o.one = ref
	}
	for _, id := range o.target.Excluded {
		if ref, ok := g.ids.Decode(id); ok {
			if o.excluded == nil {
				o.excluded = make(map[session.Ref]struct{}, len(o.target.Excluded))
			}
			o.excluded[ref] = struct{}{}
		}
	}
	return true
}

// concerns reports whether somebody who is meant may be on l. Any goroutine:
// it spares loops the wake-up.
func (o *order) concerns(l *loop) bool {
	switch o.target.Kind {
	case delivery.User:
		return o.hub.rosters[l.index].users.May(o.target.Name)
	case delivery.Group:
		return o.hub.rosters[l.index].groups.May(o.target.Name)
	case delivery.Connection:
		return int(o.one.Loop) == l.index
	}
	return true
}

// candidates returns the slots of the sessions on l that o may mean, unless
// that is everybody. It looks at none of them: they may be many.
func (l *loop) candidates(o *order) []uint32 {
	r := &o.hub.rosters[l.index]
	switch o.target.Kind {
	case delivery.Connection:
		if l.find(o.one) != nil {
			return []uint32{o.one.Slot}
		}
	case delivery.User:
		return r.users.Slots(o.target.Name, nil)
	case delivery.Group:
		return r.groups.Slots(o.target.Name, nil)
	}
	return nil
}

// means reports whether the order is for c.
func (o *order) means(l *loop, c *client) bool {
	if c.State() != engine.Open || c.hub != o.hub || l.dismissed(c) {
		return false
	}
	switch o.target.Kind { // it may have left meanwhile, or be another
	case delivery.Connection:
		if c.Ref() != o.one {
			return false
		}
	case delivery.User:
		if c.UserID() != o.target.Name {
			return false
		}
	case delivery.Group:
		if !c.InGroup(o.target.Name) {
			return false
		}
	}
	if o.excluded != nil {
		if _, not := o.excluded[c.Ref()]; not {
			return false
		}
	}
	return o.target.Filter == nil || o.target.Filter.Match(c)
}
