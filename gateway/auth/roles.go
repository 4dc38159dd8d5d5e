package auth

import (
	"slices"
	"strings"
)

// Verb is what a role lets a client of a subprotocol do to groups.
type Verb uint8

const (
	JoinLeave Verb = iota // join and leave
	Send                  // send to the members

	verbs // how many there are
)

// Roles are what a client may do to groups. A nil *Roles may do nothing: such a
// client can only send events to its backend. Roles are immutable and may be
// used by any number of goroutines.
type Roles struct {
	of [verbs]extent
}

// extent is the groups to which a verb may be done.
type extent struct {
	all      bool
	groups   []string
	patterns []pattern
}

// With returns the roles and those of a list, as tokens and backends name them:
// webpubsub.sendToGroup for all groups, webpubsub.sendToGroup.NAME for one,
// webpubsub.sendToGroups.PATTERN for those that a pattern matches, and the same
// with joinLeaveGroup. Roles that are none of those are somebody else's, patterns
// that are malformed match nothing. r may be nil, and is what With returns if the
// list adds nothing.
func (r *Roles) With(list []string) *Roles {
	var next Roles
	if r != nil {
		next = *r
	}
	for v := range next.of { // what is added stays out of r
		e := &next.of[v]
		e.groups, e.patterns = slices.Clip(e.groups), slices.Clip(e.patterns)
	}
	some := false
	for _, role := range list {
		for v, name := range [verbs]string{JoinLeave: "webpubsub.joinLeaveGroup", Send: "webpubsub.sendToGroup"} {
			rest, ok := strings.CutPrefix(role, name)
			if !ok {
				continue
			}
			e := &next.of[v]
			switch {
			case rest == "":
				e.all, some = true, true
			case rest[0] == '.' && len(rest) > 1:
				e.groups, some = append(e.groups, rest[1:]), true
			case strings.HasPrefix(rest, "s."):
				if p := pattern(rest[2:]); p.valid() {
					e.patterns, some = append(e.patterns, p), true
				}
			}
		}
	}
	if !some {
		return r
	}
	return &next
}

// Allows reports whether the verb may be done to the group, or to every group
// if that is "".
func (r *Roles) Allows(v Verb, group string) bool {
	if r == nil {
		return false
	}
	e := &r.of[v]
	return e.all || group != "" && (slices.Contains(e.groups, group) ||
		slices.ContainsFunc(e.patterns, func(p pattern) bool { return p.matches(group) }))
}

// Grant returns the roles with the verb for one more group, or for every group
// if that is "". r may be nil.
func (r *Roles) Grant(v Verb, group string) *Roles {
	var next Roles
	if r != nil {
		next = *r
	}
	e := &next.of[v]
	switch {
	case group == "":
		e.all = true
	case !slices.Contains(e.groups, group):
		e.groups = append(slices.Clip(e.groups), group)
	}
	return &next
}

// Revoke returns the roles without what was granted for the group by its name;
// if that is "", without anything for the verb. r may be nil.
func (r *Roles) Revoke(v Verb, group string) *Roles {
	if r == nil {
		return nil
	}
	next := *r
	e := &next.of[v]
	if group == "" {
		*e = extent{}
	} else {
		e.groups = slices.DeleteFunc(slices.Clone(e.groups), func(name string) bool { return name == group })
	}
	return &next
}
