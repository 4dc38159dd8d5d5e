package gateway

import (
	"slices"
	"time"

	"sluice/gateway/auth"
	"sluice/gateway/delivery"
	"sluice/gateway/engine"
	"sluice/gateway/upstream"
	"sluice/metrics"
	"sluice/session"
)

// identity is what is known of a session beyond its frames. The session of an
// anonymous client that is in no group and speaks no subprotocol has none.
type identity struct {
	session.Member         // who it is, and the groups it is in
	sub            *string // subprotocol agreed on, nil if none
	grant          *grant  // nil if it was given nothing
}

// grant is what the client's token and the upstream have given to a session.
type grant struct {
	state   string        // the upstream's, for its next events
	roles   *auth.Roles   // what it may do to groups
	expires time.Duration // when its token does, on the loop's clock
	bounded bool          // it does expire
}

// roster is who is there, of one hub on one loop.
type roster struct {
	users  session.Users
	groups session.Groups
	_      [64]byte // loops change theirs without disturbing each other
}

// makeRosters makes a roster for each of so many loops, seeded as the kernel
// wants it.
func makeRosters(loops int, seed uint64) []roster {
	all := make([]roster, loops)
	for i := range all {
		all[i].users.Seed(seed)
		all[i].groups.Seed(seed)
	}
	return all
}

// roster returns the one that c belongs to.
func (c *client) roster() *roster { return &c.hub.rosters[c.Ref().Loop] }

// enter makes c a client of h.
func (c *client) enter(h *hub) {
	c.hub = h
	c.Enter(&h.class)
}

// identify returns the identity of c, which may be made just now.
func (c *client) identify() *identity {
	if c.who == nil {
		c.who = &identity{Member: session.Member{Slot: c.Slot()}}
	}
	return c.who
}

// granted returns what c was given, for more to be added.
func (c *client) granted() *grant {
	who := c.identify()
	if who.grant == nil {
		who.grant = new(grant)
	}
	return who.grant
}

func (c *client) subprotocol() string {
	if c.who == nil || c.who.sub == nil {
		return ""
	}
	return *c.who.sub
}

// upstreamState is what the upstream wants to be reminded of.
func (c *client) upstreamState() string {
	if c.who == nil || c.who.grant == nil {
		return ""
	}
	return c.who.grant.state
}

// remember keeps what the upstream wants to be reminded of.
func (c *client) remember(state delivery.State) {
	if c.upstreamState() != state.Value {
		c.granted().state = state.Value
	}
}

// assume gives c roles besides those that it has.
func (c *client) assume(roles []string) {
	if len(roles) > 0 {
		g := c.granted()
		g.roles = g.roles.With(roles)
	}
}

// change does to c what concerns nothing but what is known of it. It is false
// if that cannot be done.
func (l *loop) change(c *client, a delivery.Action) bool {
	switch a := a.(type) {
	case delivery.Join:
		return l.join(c, a.Groups)
	case delivery.Leave:
		l.part(c, a.Groups)
	case delivery.Grant:
		g := c.granted()
		g.roles = g.roles.Grant(verbs[a.Permission.Verb], a.Permission.Group)
	case delivery.Revoke:
		g := c.granted()
		g.roles = g.roles.Revoke(verbs[a.Permission.Verb], a.Permission.Group)
	case delivery.Assume:
		c.assume(a.Roles)
	case delivery.State:
		c.remember(a)
	}
	return true
}

// UserID implements [delivery.Subject].
func (c *client) UserID() string {
	if c.who == nil {
		return ""
	}
	return c.who.User
}

// ConnectionID implements [delivery.Subject].
func (c *client) ConnectionID() string { return c.hub.ids.Encode(c.Ref()) }

// InGroup implements [delivery.Subject].
func (c *client) InGroup(name string) bool {
	return c.who != nil && c.roster().groups.Has(&c.who.Member, name)
}

// Groups implements [delivery.Subject].
func (c *client) Groups() int {
	if c.who == nil {
		return 0
	}
	return c.roster().groups.Count(&c.who.Member)
}

// name says who c is, before it is a session.
func (c *client) name(user string) {
	if user != "" {
		c.identify().User = user
	}
}

// enlist makes the session of a user known.
func (l *loop) enlist(c *client) {
	if c.UserID() != "" {
		c.roster().users.Add(&c.who.Member)
	}
}

// join makes c a member of groups, of all or, when that would be too many, of
// none.
func (l *loop) join(c *client, groups []string) bool {
	if len(groups) == 0 {
		return true
	}
	members := &c.roster().groups
	who := c.identify()
	most := l.g.settings.Load().groups
	if had := members.Count(&who.Member); had+len(groups) > most {
		fresh := slices.DeleteFunc(slices.Clone(groups), func(name string) bool { return members.Has(&who.Member, name) })
		if had+distinct(fresh) > most {
			l.g.metrics.Reached(metrics.LimitGroups)
			return false
		}
	}
	before := members.Len()
	for _, name := range groups {
		if members.Join(&who.Member, name) {
			l.metrics.Gauge(metrics.GroupMemberships, 1)
		}
	}
	l.metrics.Gauge(metrics.Groups, int64(members.Len()-before))
	return true
}

// fits reports whether a client that is in no group yet may join all of groups.
func (l *loop) fits(groups []string) bool {
	most := l.g.settings.Load().groups
	if len(groups) > most && distinct(groups) > most {
		l.g.metrics.Reached(metrics.LimitGroups)
		return false
	}
	return true
}

// distinct is how many different names there are.
func distinct(names []string) int {
	return len(slices.Compact(slices.Sorted(slices.Values(names))))
}

// part ends memberships of c: in groups, or in all if there are none.
func (l *loop) part(c *client, groups []string) {
	if c.who == nil {
		return
	}
	members := &c.roster().groups
	before, had := members.Len(), members.Count(&c.who.Member)
	if len(groups) == 0 {
		members.LeaveAll(&c.who.Member)
	}
	for _, name := range groups {
		members.Leave(&c.who.Member, name)
	}
	l.metrics.Gauge(metrics.GroupMemberships, int64(members.Count(&c.who.Member)-had))
	l.metrics.Gauge(metrics.Groups, int64(members.Len()-before))
}

// strike takes c, which has ended, off the roster.
func (l *loop) strike(c *client) {
	if c.who == nil {
		return
	}
	l.part(c, nil)
	if c.who.User != "" {
		c.roster().users.Remove(&c.who.Member)
	}
}

// verbs are what the data plane permits, in the words of roles.
var verbs = map[delivery.Verb]auth.Verb{
	delivery.JoinLeaveGroup: auth.JoinLeave,
	delivery.SendToGroup:    auth.Send,
}

// permits reports whether c may do what p says.
func (c *client) permits(p delivery.Permission) bool {
	return c.who != nil && c.who.grant != nil && c.who.grant.roles.Allows(verbs[p.Verb], p.Group)
}

// horizon is how far ahead a token's end is looked for at once: ticks are not
// enough for the times that tokens may name.
const horizon = 365 * 24 * time.Hour

// expireWith ends the session when its token does.
func (l *loop) expireWith(c *client, at time.Time) {
	const longest = 100 * horizon // no process lives longer
	g := c.granted()
	g.expires, g.bounded = l.Uptime()+min(max(0, at.Sub(l.g.kernel.wall())), longest), true
	ask, _, _ := l.expired(c)
	l.Hasten(c.Stream, ask)
}

// expired reports whether the token of c has run out, and when to ask again if
// it will.
func (l *loop) expired(c *client) (ask session.Tick, bounded, over bool) {
	if c.who == nil || c.who.grant == nil || !c.who.grant.bounded {
		return 0, false, false
	}
	left := c.who.grant.expires - l.Uptime()
	return l.Now() + 1 + session.Tick(min(max(0, left), horizon)/engine.Tick), true, left <= 0
}

// accepted keeps what the upstream, which accepts c, says about it.
func (c *client) accepted(r upstream.Reply) {
	if r.Verdict != nil {
		c.name(r.Verdict.User)
	}
	if r.State != nil {
		c.remember(*r.State)
	}
}
