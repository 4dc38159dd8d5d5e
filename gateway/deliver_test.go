package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/auth"
	"sluice/gateway/config"
	"sluice/gateway/delivery"
	"sluice/session"
)

// crowd starts a node with a client for each name, which is its user's, and
// returns them and their ids. A user "red-…" is in the group red.
func crowd(t *testing.T, users ...string) (*node, map[string]*peer, map[string]string) {
	n := start(t, func(cfg *config.Config) {
		withKey(cfg)
		cfg.Loops = 2
		cfg.Limits.Groups = 3
	})
	peers, ids := map[string]*peer{}, map[string]string{}
	for _, user := range users {
		c := auth.ClientClaims{User: user}
		if user[:3] == "red" {
			c.Groups = []string{"red"}
		}
		peers[user] = n.dialAs("/?access_token=" + n.tokenFor(c))
		n.each(func(c *client) { ids[c.UserID()] = c.ConnectionID() })
	}
	return n, peers, ids
}

func mustFilter(t testing.TB, s string) *delivery.Filter {
	f, err := delivery.ParseFilter(s)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestMessagesReachWhoIsMeant(t *testing.T) {
	n, peers, ids := crowd(t, "red-1", "red-2", "blue")
	for name, c := range map[string]struct {
		target delivery.Target
		want   []string
	}{
		"all":        {delivery.Target{}, []string{"red-1", "red-2", "blue"}},
		"group":      {delivery.Target{Kind: delivery.Group, Name: "red"}, []string{"red-1", "red-2"}},
		"no group":   {delivery.Target{Kind: delivery.Group, Name: "green"}, nil},
		"user":       {delivery.Target{Kind: delivery.User, Name: "blue"}, []string{"blue"}},
		"no user":    {delivery.Target{Kind: delivery.User, Name: "nobody"}, nil},
		"connection": {delivery.Target{Kind: delivery.Connection, Name: ids["red-2"]}, []string{"red-2"}},
		"excluded":   {delivery.Target{Excluded: []string{ids["red-1"], "nonsense"}}, []string{"red-2", "blue"}},
		"filter":     {delivery.Target{Filter: mustFilter(t, "startswith(userId,'red') and not ('green' in groups)")}, []string{"red-1", "red-2"}},
		"by id":      {delivery.Target{Filter: mustFilter(t, "connectionId eq '"+ids["blue"]+"'")}, []string{"blue"}},
		"everything": {delivery.Target{Kind: delivery.Group, Name: "red", Excluded: []string{ids["red-1"]}, Filter: mustFilter(t, "userId ne 'x'")}, []string{"red-2"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.target.Hub = "default"
			r, err := n.Do(t.Context(), c.target, delivery.Send{Op: ws.OpText, Data: []byte(name)})
			if want := (delivery.Result{Matched: len(c.want), Queued: len(c.want)}); err != nil || r != want {
				t.Errorf("%+v, %v; want %+v", r, err, want)
			}
			for user, p := range peers {
				if slices.Contains(c.want, user) {
					p.want(ws.OpText, name)
				}
				p.send(text("marker"))
				p.want(ws.OpText, "marker") // and nothing before it
			}
		})
	}
}

func TestActionsChangeSessions(t *testing.T) {
	n, peers, ids := crowd(t, "red-1", "red-2", "blue")
	do := func(target delivery.Target, a delivery.Action) delivery.Result {
		t.Helper()
		target.Hub = "default"
		r, err := n.Do(t.Context(), target, a)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	blue := delivery.Target{Kind: delivery.Connection, Name: ids["blue"]}
	green := delivery.Target{Kind: delivery.Group, Name: "green"}

	do(delivery.Target{Kind: delivery.User, Name: "blue"}, delivery.Join{Groups: []string{"green", "cyan"}})
	do(blue, delivery.Join{Groups: []string{"green"}}) // is one already
	if got := n.meant(green); got != 1 {
		t.Errorf("%d members after joining", got)
	}
	r, err := n.Do(t.Context(), delivery.Target{Hub: "default", Kind: delivery.Connection, Name: ids["blue"]}, delivery.Join{Groups: []string{"x", "y"}})
	if !errors.Is(err, delivery.ErrTooManyGroups) || r.Dropped != 1 {
		t.Errorf("%+v, %v: want too many groups", r, err)
	}
	if n.meant(delivery.Target{Kind: delivery.Group, Name: "x"}) != 0 {
		t.Error("one of too many groups was joined")
	}
	do(blue, delivery.Leave{Groups: []string{"green", "never joined"}})
	if n.meant(green) != 0 || n.meant(delivery.Target{Kind: delivery.Group, Name: "cyan"}) != 1 {
		t.Error("leaving one group")
	}
	do(blue, delivery.Leave{})
	if n.meant(delivery.Target{Kind: delivery.Group, Name: "cyan"}) != 0 {
		t.Error("leaving all groups")
	}

	may := delivery.Permission{Verb: delivery.JoinLeaveGroup, Group: "red"}
	if do(blue, delivery.Find{Permission: &may}).Queued != 0 {
		t.Error("permitted from the start")
	}
	do(blue, delivery.Grant{Permission: may})
	if do(blue, delivery.Find{Permission: &may}).Queued != 1 {
		t.Error("not granted")
	}
	do(blue, delivery.Revoke{Permission: may})
	if do(blue, delivery.Find{Permission: &may}).Queued != 0 {
		t.Error("not revoked")
	}

	do(delivery.Target{Kind: delivery.Group, Name: "red"}, delivery.Close{Reason: "enough"})
	for _, user := range []string{"red-1", "red-2"} {
		f, err := peers[user].frame()
		if err != nil || f.Header.OpCode != ws.OpClose {
			t.Fatalf("%+v, %v", f.Header, err)
		}
		if code, reason := ws.ParseCloseFrameData(f.Payload); code != ws.StatusNormalClosure || reason != "enough" {
			t.Errorf("closed with %d %q", code, reason)
		}
		peers[user].Close()
	}
	eventually(t, "one session is left", func() bool { return n.meant(delivery.Target{}) == 1 })
	if _, err := n.Do(t.Context(), delivery.Target{Hub: "nowhere"}, delivery.Find{}); !errors.Is(err, delivery.ErrNoHub) {
		t.Errorf("a hub that is none: %v", err)
	}
}

func TestMessagesExpire(t *testing.T) {
	n, peers, _ := crowd(t, "blue")
	var r delivery.Result
	var err error
	n.frozen(func() {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		r, err = n.Do(ctx, delivery.Target{Hub: "default"}, delivery.Send{Op: ws.OpText, Data: []byte("late"), TTL: time.Millisecond})
	})
	if err != nil || r.Pending != 2 || r.Matched != 0 {
		t.Errorf("%+v, %v: want two loops that have not answered", r, err)
	}
	peers["blue"].send(text("marker"))
	peers["blue"].want(ws.OpText, "marker")
	n.publish()
	if got := n.metric("sluice_messages_dropped_total", "reason=expired"); got != 1 {
		t.Errorf("%v messages counted as expired", got)
	}
}

// synthetic makes n sessions without a client on a loop, all in a group. What
// they are sent stays in their queues.
func (l *loop) synthetic(h *hub, count int) []*client {
	members := make([]*client, count)
	for i := range members {
		c := l.sham(h)
		l.join(c, []string{"crowd"})
		members[i] = c
	}
	return members
}

// disband takes the synthetic sessions away.
func (l *loop) disband(members []*client) {
	for _, c := range members {
		l.part(c, nil)
		l.dispel(c)
	}
}

// sham makes a session without a client or a socket, of which no upstream hears.
// What it is sent waits.
func (l *loop) sham(h *hub) *client {
	c := l.of(l.Seat(&h.class))
	c.enter(h)
	return c
}

// dispel takes a sham away.
func (l *loop) dispel(c *client) {
	s := c.Stream
	*c = client{Stream: s}
	l.Free(s)
}

const syntheticMembers = 100_000

// While a push goes through a large group in slices, members leave, come and
// come back. Nobody gets it twice, and who stays gets it.
func TestPushReachesEveryMemberWhoStaysOnce(t *testing.T) {
	for _, kind := range []delivery.Kind{delivery.All, delivery.Group} {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			n := start(t, func(cfg *config.Config) {
				cfg.Loops = 1
				cfg.Limits.Queue = config.GiB
			})
			n.dial()
			l := n.loops[0]
			h := n.settings.Load().hubs.Named("default")
			turns, twice, missed := 0, 0, 0
			l.do(func(l *loop) {
				count := syntheticMembers
				if raceEnabled {
					count /= 10
				}
				members := l.synthetic(h, count)
				defer func() { l.disband(members) }()
				data := make([]byte, 100)
				o := &order{hub: h, target: delivery.Target{Kind: kind, Name: "crowd"}, action: delivery.Send{Op: ws.OpBinary, Data: data}, posted: l.Uptime()}
				frame := session.NewShared(session.AppendFrame(nil, ws.OpBinary, data), nil)
				size := len(frame.Bytes())
				e := &errand{order: o}
				e.frames[plain] = frame

				r := rand.New(rand.NewPCG(1, uint64(kind)))
				strayed := map[*client]bool{}
				for ; !e.run(l); turns++ {
					for range 500 {
						c := members[r.IntN(len(members))]
						strayed[c] = true
						if c.InGroup("crowd") {
							l.part(c, []string{"crowd"})
						} else {
							l.join(c, []string{"crowd"})
						}
					}
				}
				for _, c := range members {
					switch got := c.Queued() / size; {
					case got > 1:
						twice++
					case got == 0 && (kind == delivery.All || !strayed[c]):
						missed++
					}
				}
			})
			if twice > 0 || missed > 0 {
				t.Errorf("%d members got it twice, %d not at all", twice, missed)
			}
			if turns == 0 && !raceEnabled {
				t.Error("it was one slice: nothing was tried")
			}
		})
	}
}

// Pages are turned while members come and go: who stays is on one page.
func TestPagesNeitherRepeatNorForgetWhoStays(t *testing.T) {
	n := start(t, func(cfg *config.Config) { cfg.Loops = 2 })
	var stay, come []*peer
	for range 60 {
		stay = append(stay, n.dial())
		come = append(come, n.dial())
	}
	group := delivery.Target{Hub: "default", Kind: delivery.Group, Name: "g"}
	if _, err := n.Do(t.Context(), delivery.Target{Hub: "default"}, delivery.Join{Groups: []string{"g"}}); err != nil {
		t.Fatal(err)
	}
	for _, target := range []delivery.Target{group, {Hub: "default"}} {
		staying := map[string]bool{}
		n.each(func(c *client) {
			if slices.ContainsFunc(stay, func(p *peer) bool { return c.is(p) }) {
				staying[c.ConnectionID()] = true
			}
		})
		seen := map[string]int{}
		pages := 0
		for from := (delivery.Cursor{}); ; pages++ {
			page, err := n.List(t.Context(), target, from, 7)
			if err != nil || len(page.Entries) > 7 {
				t.Fatalf("%d entries, %v", len(page.Entries), err)
			}
			for _, e := range page.Entries {
				seen[e.ConnectionID]++
			}
			if page.Next == nil {
				break
			}
			from = *page.Next
			for range 3 {
				if len(come) > 0 {
					come[0].Close()
					come = come[1:]
				}
				come = append(come, n.dial())
				if _, err := n.Do(t.Context(), delivery.Target{Hub: "default"}, delivery.Join{Groups: []string{"g"}}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if pages < 8 {
			t.Errorf("%d pages only", pages)
		}
		for id := range staying {
			if seen[id] != 1 {
				t.Errorf("%s is on %d pages", id, seen[id])
			}
		}
		for id, times := range maps.All(seen) {
			if times > 1 {
				t.Errorf("%s is on %d pages", id, times)
			}
		}
	}
}

// is reports whether c is the gateway's end of p.
func (c *client) is(p *peer) bool {
	if !c.Connected() {
		return false
	}
	return c.RemoteAddr().String() == p.LocalAddr().String()
}

// What waits for the loops is refused beyond their bound, and what was taken
// is delivered.
func TestPushesAreRefusedWhenMailboxesAreFull(t *testing.T) {
	n := start(t, limited(func(l *config.Limits) { l.Mailbox = 64 * config.KiB }))
	p := n.dial()
	taken := 0
	n.frozen(func() {
		for ; ; taken++ {
			if err := n.broadcast(ws.OpBinary, make([]byte, 10_000)); err != nil {
				if !errors.Is(err, delivery.ErrFull) {
					t.Error(err)
				}
				return
			}
		}
	})
	if taken == 0 || taken > 6 {
		t.Errorf("%d messages were taken", taken)
	}
	for range taken {
		p.want(ws.OpBinary, string(make([]byte, 10_000)))
	}
	p.Close()
	n.settled()
}
