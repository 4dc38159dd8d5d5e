package gateway

import (
	"encoding/binary"
	"slices"

	"github.com/gobwas/ws"

	"sluice/gateway/delivery"
)

// effect is a message for others that the backend has answered a client's message with.
type effect struct {
	id     uint32
	from   *visit
	hub    string
	target delivery.Target
}

// isEffect is set, beside isPush, in the first word of such messages.
const isEffect = 1 << 30

// imagine makes up effects of a message on others.
func (b *simulatedBackend) imagine(c *told) (list []delivery.Effect) {
	r := b.world.Rand()
	many := 1 + r.IntN(3)
	if r.IntN(4) == 0 {
		many = 12 // more than small mailboxes have room for
	}
	for range many {
		e := &effect{id: uint32(len(b.effects)), from: c.visit, hub: c.hub}
		switch r.IntN(4) {
		case 0:
			e.target = delivery.Target{Kind: delivery.Group, Name: groups[r.IntN(len(groups))]}
		case 1:
			e.target = delivery.Target{Kind: delivery.User, Name: users[r.IntN(len(users))]}
		case 2:
			e.target = delivery.Target{Excluded: []string{b.ids.Encode(c.visit.ref)}}
		}
		b.effects = append(b.effects, e)
		data := binary.BigEndian.AppendUint32(nil, isPush|isEffect|e.id)
		list = append(list, delivery.Effect{
			Target: &e.target,
			Action: delivery.Send{Op: ws.OpBinary, Data: append(data, make([]byte, r.IntN(1500))...)},
		})
	}
	return list
}

// affect notes who is to hear of effects that the gateway is told of now: nobody may be left out who hears everything.
func (b *simulatedBackend) affect(list []delivery.Effect) {
	for _, one := range list {
		id := binary.BigEndian.Uint32(one.Action.(delivery.Send).Data) &^ (isPush | isEffect)
		e := b.effects[id]
		for _, v := range b.visits {
			if v.open && !v.over && !v.tight && v.hub == e.hub && e.target.Kind == delivery.All && (v != e.from || len(e.target.Excluded) == 0) {
				if v.felt == nil {
					v.felt = make(map[uint32]bool)
				}
				v.felt[id] = false
			}
		}
	}
}

// feels takes an effect that the client has received. Those of one other client come in the order of what that has said.
func (v *visit) feels(id uint32) {
	if int(id) >= len(v.effects) {
		v.fail("visit %d hears effect %d, which is none", v.number, id)
		return
	}
	e := v.effects[id]
	last, some := v.last[e.from]
	switch {
	case e.hub != v.hub || v == e.from && len(e.target.Excluded) > 0 || e.target.Kind == delivery.User && e.target.Name != v.user:
		v.fail("visit %d hears effect %d, which is not for it", v.number, id)
	case v.felt[id] || some && last >= id:
		v.fail("visit %d hears effect %d after %d", v.number, id, last)
	}
	if v.felt == nil {
		v.felt = make(map[uint32]bool)
	}
	if v.last == nil {
		v.last = make(map[*visit]uint32)
	}
	v.felt[id], v.last[e.from] = true, id
}

// calmed holds that the client has heard of all the effects that were for it.
func (v *visit) calmed() {
	for id, heard := range v.felt {
		if !heard {
			v.fail("visit %d has not heard effect %d, which was for it", v.number, id)
		}
	}
}

// withholds reports whether what c is answered waits for room.
func (l *loop) withholds(c *client) bool {
	for _, waiting := range l.withheld {
		if slices.ContainsFunc(waiting, func(w withheld) bool { return w.to == c.Ref() }) {
			return true
		}
	}
	return false
}
