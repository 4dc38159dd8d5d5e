package gateway

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/delivery"
	"sluice/gateway/engine"
	"sluice/session"
)

// fact is what is known from outside: the loops take their time.
type fact uint8

const (
	no fact = iota
	maybe
	yes
)

func both(a, b fact) fact { return min(a, b) }
func not(a fact) fact     { return yes - a }

func known(is bool) fact {
	if is {
		return yes
	}
	return no
}

var (
	users  = []string{"u0", "u1", "u2", "u3"}
	groups = []string{"g0", "g1", "g2", "g3"}
)

// visit is a connection as its client, its backend and the data plane know it.
type visit struct {
	*simulation
	number int
	hub    string
	token  *simulatedToken
	user   string
	ref    session.Ref
	known  bool   // ref is
	open   bool   // the client has heard the 101
	over   bool   // the client hears nothing any more
	shut   uint32 // the first push that it must not hear any more; 0: none
	mute   bool   // the client has not always answered
	doomed bool   // it is to be closed, or may be by now

	since   int       // pushes before that came before the visit
	earlier time.Time // the earliest time of day since it began
	jumped  bool      // the time of day has jumped before it was open
	in      map[string]fact
	may     map[delivery.Permission]fact
	due     []due
	felt    map[uint32]bool // effects of others' messages, and whether it has heard them
	last    map[*visit]uint32
}

// due is a push that the client is to hear, or may hear.
type due struct {
	id   uint32
	must bool
}

func (v *visit) join(group string, is fact) {
	if v.in == nil {
		v.in = make(map[string]fact)
	}
	v.in[group] = is
}

func (v *visit) permit(p delivery.Permission, is fact) {
	if v.may == nil {
		v.may = make(map[delivery.Permission]fact)
	}
	v.may[p] = is
}

// push is an action that was given to the node.
type push struct {
	simulatedTarget
	id     uint32
	action delivery.Action
	posted time.Duration
	ttl    time.Duration

	to      *visit // of an action on one connection
	meant   fact   // that it is, and what it asks for
	answers chan delivery.Result
	asked   int
}

// simulatedTarget is whom a push means.
type simulatedTarget struct {
	delivery.Target
	ref      session.Ref
	excluded []session.Ref
	in       string // the group of the filter
	out      bool   // who is not in it
}

// isPush is set in the first word of messages that are no answers.
const isPush = 1 << 31

// publish gives the node something to do for its clients.
func (s *simulation) publish() {
	if s.stopped {
		return
	}
	p := s.conceive()
	p.posted = s.world.Now()
	if p.ref != (session.Ref{}) {
		p.to = s.backend.conns[p.ref].visit
		if p.to != nil {
			p.meant = p.to.meets(p)
		}
	}
	answers, asked, err := s.post(p.Target, p.action)
	if err == nil {
		p.answers, p.asked = answers, asked
		s.pushes = append(s.pushes, p)
		for _, v := range s.visits {
			if v.open {
				v.undergo(p, v.meant(p))
			}
		}
		if _, closes := p.action.(delivery.Close); closes {
			for ref, c := range s.backend.conns {
				c.dismissed = c.dismissed || c.hub == p.Hub && !c.gone && (p.ref == (session.Ref{}) || p.ref == ref)
			}
		}
		s.await(p)
	} else if err != delivery.ErrFull && err != delivery.ErrNoHub {
		s.fail("push: %v", err)
	}
	s.world.After(s.upTo(200*time.Millisecond), s.publish)
}

// post hands an action to the loops, and does not wait for them.
func (s *simulation) post(t delivery.Target, a delivery.Action) (answers chan delivery.Result, asked int, err error) {
	h := s.settings.Load().hubs.Named(t.Hub)
	if h == nil {
		return nil, 0, delivery.ErrNoHub
	}
	answers = make(chan delivery.Result, len(s.loops))
	o := newOrder(h, t, a)
	o.answers = answers
	asked, err = s.Gateway.publish(o)
	return answers, asked, err
}

// conceive makes up an action.
func (s *simulation) conceive() *push {
	r := s.world.Rand()
	p := &push{id: uint32(len(s.pushes))}
	p.Hub = []string{"default", "default", "default", "members", "extra", "echo"}[r.IntN(6)]
	switch r.IntN(6) {
	case 0:
		p.Kind = delivery.All
	case 1, 2:
		p.Kind, p.Name = delivery.Group, groups[r.IntN(len(groups))]
	case 3:
		p.Kind, p.Name = delivery.User, users[r.IntN(len(users))]
	default:
		if n := len(s.backend.known); n > 0 {
			p.ref = s.backend.known[max(0, n-1-r.IntN(20))]
			p.Kind, p.Name, p.Hub = delivery.Connection, s.ids.Encode(p.ref), s.backend.conns[p.ref].hub
		}
	}
	if n := len(s.backend.known); n > 0 && r.IntN(8) == 0 {
		p.excluded = []session.Ref{s.backend.known[max(0, n-1-r.IntN(10))]}
		p.Excluded = []string{s.ids.Encode(p.excluded[0])}
	}
	if r.IntN(6) == 0 {
		i := r.IntN(len(groups))
		p.in, p.out, p.Filter = groups[i], r.IntN(2) == 0, s.filters[i][0]
		if p.out {
			p.Filter = s.filters[i][1]
		}
	}
	permission := delivery.Permission{Verb: delivery.Verb(r.IntN(2)), Group: groups[r.IntN(2)]}
	few := []string{groups[r.IntN(len(groups))], groups[r.IntN(len(groups))]}
	switch r.IntN(12) {
	case 0, 1:
		p.action = delivery.Join{Groups: few}
	case 2:
		p.action = delivery.Leave{Groups: few[:r.IntN(2)]}
	case 3:
		p.action = delivery.Grant{Permission: permission}
	case 4:
		p.action = delivery.Revoke{Permission: permission}
	case 5:
		p.action = delivery.Find{Permission: &permission}
	case 6:
		p.action = delivery.Close{Reason: "enough"}
		if p.Kind == delivery.All && r.IntN(8) > 0 {
			p.action = delivery.Find{}
		}
	default:
		if r.IntN(3) == 0 {
			p.ttl = 1 + s.upTo([]time.Duration{2 * time.Second, 200 * time.Millisecond}[r.IntN(2)])
		}
		data := binary.BigEndian.AppendUint32(nil, isPush|p.id)
		p.action = delivery.Send{Op: ws.OpBinary, Data: append(data, make([]byte, r.IntN(1500))...), TTL: p.ttl}
	}
	return p
}

// meant reports whether v is one of those that p means.
func (v *visit) meant(p *push) fact {
	if v.hub != p.Hub || v.known && slices.Contains(p.excluded, v.ref) {
		return no
	}
	is := yes
	switch p.Kind {
	case delivery.User:
		is = known(v.user == p.Name)
	case delivery.Group:
		is = v.in[p.Name]
	case delivery.Connection:
		is = known(v.known && v.ref == p.ref)
	}
	if p.in != "" {
		in := v.in[p.in]
		if p.out {
			in = not(in)
		}
		is = both(is, in)
	}
	if v.doomed {
		is = both(is, maybe)
	}
	return is
}

// meets is meant with what else the action asks for.
func (v *visit) meets(p *push) fact {
	is := v.meant(p)
	if !v.open {
		return maybe // it may be by then, and have been given this and that
	}
	if f, ok := p.action.(delivery.Find); ok && f.Permission != nil {
		is = both(is, v.may[*f.Permission])
	}
	return is
}

// undergo notes what p does to v, as far as v is meant.
func (v *visit) undergo(p *push, meant fact) {
	if meant == no {
		return
	}
	change := func(before fact, after fact) fact {
		if meant == yes {
			return after
		}
		if before == after {
			return before
		}
		return maybe
	}
	switch a := p.action.(type) {
	case delivery.Send:
		if v.over {
			return // nobody listens
		}
		v.due = append(v.due, due{p.id, meant == yes && p.ttl == 0 && !v.tight})
	case delivery.Join:
		for _, g := range a.Groups {
			is := change(v.in[g], yes)
			if v.fewGroups && v.in[g] != yes { // there is room for all of them, or for none
				is = maybe
			}
			v.join(g, is)
		}
	case delivery.Leave:
		of := a.Groups
		if len(of) == 0 {
			of = groups
		}
		for _, g := range of {
			v.join(g, change(v.in[g], no))
		}
	case delivery.Grant:
		v.permit(a.Permission, change(v.may[a.Permission], yes))
	case delivery.Revoke:
		v.permit(a.Permission, change(v.may[a.Permission], no))
	case delivery.Close:
		v.doomed = true
		if meant == yes && v.shut == 0 && !v.leaving { // a drain lets pushes pass
			v.shut = p.id + 1
		}
	}
}

// opened is called when the client has heard the 101. What was pushed since it came may have found it open.
func (v *visit) opened() {
	v.open = true
	for _, p := range v.pushes[v.since:] {
		if v.meant(p) != no {
			v.undergo(p, maybe)
		}
	}
}

// hears takes a push that the client has received.
func (v *visit) hears(id uint32) {
	if v.shut > 0 && id >= v.shut && !v.leaving {
		v.fail("visit %d hears push %d, and was closed by push %d", v.number, id, v.shut-1)
	}
	for len(v.due) > 0 && v.due[0].id <= id {
		d := v.due[0]
		v.due = v.due[1:]
		if d.id == id {
			return
		}
		if d.must {
			v.fail("visit %d has not heard push %d, which was for it", v.number, d.id)
		}
	}
	v.fail("visit %d hears push %d, which is not for it, or for the second time", v.number, id)
}

// hurried holds a message that was written against its time to live.
func (s *simulation) hurried(word uint32, begun time.Duration) {
	if word&isPush == 0 || int(word&^isPush) >= len(s.pushes) {
		return
	}
	p := s.pushes[word&^isPush]
	if late := begun - p.posted - p.ttl; p.ttl > 0 && late > 3*engine.Tick+s.lateness() {
		s.fail("push %d is written %v after its end", p.id, late)
	}
}

// await looks now and then whether p has been carried out.
func (s *simulation) await(p *push) {
	if len(p.answers) < p.asked {
		s.world.After(50*time.Millisecond, func() { s.await(p) })
		return
	}
	var sum delivery.Result
	for range p.asked {
		r := <-p.answers
		sum.Matched += r.Matched
		sum.Queued += r.Queued
		sum.Dropped += r.Dropped
		sum.Pending += r.Pending
	}
	p.asked = 0
	switch {
	case sum.Matched != sum.Queued+sum.Dropped || sum.Pending > 0:
		s.fail("push %d: %+v", p.id, sum)
	case p.to != nil && p.meant == no && sum.Matched > 0:
		s.fail("push %d, %T, has found a connection that it does not mean: %+v", p.id, p.action, sum)
	case p.to != nil && p.meant == yes && sum.Matched == 0 && !p.to.doomed && s.isOpen(p.ref):
		s.fail("push %d, %T, has not found an open connection that it means: %+v", p.id, p.action, sum)
	}
}
