package auth

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func parseRoles(list []string) *Roles { return (*Roles)(nil).With(list) }

func TestRolesAllowWhatTheyName(t *testing.T) {
	for _, test := range []struct {
		role, group string
		want        bool
	}{
		{"", "a", false},
		{"webpubsub", "a", false},
		{"webpubsub.sendToGroup", "any.group", true},
		{"webpubsub.sendToGroup", "", true},
		{"webpubsub.sendToGroup.room", "room", true},
		{"webpubsub.sendToGroup.room", "Room", false},
		{"webpubsub.sendToGroup.room", "", false},
		{"webpubsub.sendToGroup.", "", false},
		{"webpubsub.sendToGroup.a.b", "a.b", true},
		{"webpubsub.sendToGroup.*", "*", true},
		{"webpubsub.sendToGroup.*", "room", false},
		{"webpubsub.sendToGroups", "room", false},
		{"webpubsub.sendToGroups.", "", false},
		{"webpubsub.sendToGroupX", "X", false},
		{"WebPubSub.sendToGroup", "a", false},
		{"webpubsub.joinLeaveGroup", "a", false},
		{"webpubsub.joinLeaveGroups.**", "a", false},
		{"webpubsub.sendToGroups.chat-*", "chat-1", true},
		{"webpubsub.sendToGroups.chat-*", "chat-", true},
		{"webpubsub.sendToGroups.chat-*", "chat", false},
		{"webpubsub.sendToGroups.chat-*", "chat.1", false},
		{"webpubsub.sendToGroups.chat-*", "chat-1.2", false},
		{"webpubsub.sendToGroups.chat-*", "xchat-1", false},
		{"webpubsub.sendToGroups.chat-**", "chat-1.2", true},
		{"webpubsub.sendToGroups.a.*", "a.b", true},
		{"webpubsub.sendToGroups.a.*", "a.b.c", false},
		{"webpubsub.sendToGroups.a.**", "a.b.c", true},
		{"webpubsub.sendToGroups.a.rooms.?1", "a.rooms.a1", true},
		{"webpubsub.sendToGroups.a.rooms.?1", "a.rooms.1", false},
		{"webpubsub.sendToGroups.a.rooms.?1", "a.rooms.a.1", false},
		{"webpubsub.sendToGroups.?", "ü", true},
		{"webpubsub.sendToGroups.??", "ü", false},
		{"webpubsub.sendToGroups.*??", "€", false},
		{"webpubsub.sendToGroups.?", ".", false},
		{`webpubsub.sendToGroups.literal\*star`, "literal*star", true},
		{`webpubsub.sendToGroups.literal\*star`, "literalXstar", false},
		{`webpubsub.sendToGroups.a\\b\?`, `a\b?`, true},
		{`webpubsub.sendToGroups.a\b`, "ab", false},
		{`webpubsub.sendToGroups.a\b`, `a\b`, false},
		{`webpubsub.sendToGroups.a\`, `a\`, false},
		{"webpubsub.sendToGroups.*a*a*a*a*", "aaaa", true},
		{"webpubsub.sendToGroups.*a*a*a*a**", "aaaa", false}, // six stars
		{"webpubsub.sendToGroups.**", "", false},             // nobody's name
	} {
		r := parseRoles([]string{"other", test.role})
		if got := r.Allows(Send, test.group); got != test.want {
			t.Errorf("%s for %q: %v", test.role, test.group, got)
		}
		mirrored := strings.NewReplacer("sendToGroup", "joinLeaveGroup", "joinLeaveGroup", "sendToGroup").Replace(test.role)
		if got := parseRoles([]string{mirrored}).Allows(JoinLeave, test.group); got != test.want {
			t.Errorf("%s for %q: %v", mirrored, test.group, got)
		}
	}
}

func TestRolesOfNobodyAreNil(t *testing.T) {
	for _, list := range [][]string{nil, {}, {"admin"}, {"webpubsub.sendToGroups.******", "webpubsub.sendToGroup."}} {
		if r := parseRoles(list); r != nil || r.Allows(Send, "a") || r.Allows(JoinLeave, "") {
			t.Errorf("%q: %+v", list, r)
		}
	}
}

func TestGrantsAndRevocationsLeaveTheRestAlone(t *testing.T) {
	var none *Roles
	if none.Revoke(Send, "a") != nil {
		t.Error("revoked from nobody")
	}
	token := parseRoles([]string{"webpubsub.sendToGroup.a", "webpubsub.sendToGroups.b*"})
	more := token.Grant(Send, "c").Grant(JoinLeave, "").Grant(Send, "c")
	one := more.Grant(Send, "d")
	two := more.Grant(Send, "e")
	less := one.Revoke(Send, "c")
	no := one.Revoke(Send, "")
	for _, test := range []struct {
		name string
		r    *Roles
		send string // groups that may be sent to, of a to e
		join bool
	}{
		{"token", token, "ab", false},
		{"more", more, "abc", true},
		{"one", one, "abcd", true},
		{"two", two, "abce", true},
		{"less", less, "abd", true},
		{"no", no, "", true},
		{"of nobody", none.Grant(Send, "a"), "a", false},
	} {
		send := ""
		for _, group := range []string{"a", "b", "c", "d", "e"} {
			if test.r.Allows(Send, group) {
				send += group
			}
		}
		if send != test.send || test.r.Allows(JoinLeave, "x") != test.join || test.r.Allows(Send, "") {
			t.Errorf("%s: send to %q, join %v", test.name, send, test.r.Allows(JoinLeave, "x"))
		}
	}
}

func TestRolesAreAddedToThoseThatAreThere(t *testing.T) {
	first := parseRoles([]string{"webpubsub.sendToGroup.a", "webpubsub.sendToGroups.x*"})
	more := first.With([]string{"webpubsub.sendToGroup.b", "webpubsub.joinLeaveGroup"})
	other := first.With([]string{"webpubsub.sendToGroup.c", "webpubsub.sendToGroups.y*"})
	for _, test := range []struct {
		r    *Roles
		send string
		join bool
	}{{first, "a xx", false}, {more, "a b xx", true}, {other, "a c xx yy", false}} {
		var send []string
		for _, group := range []string{"a", "b", "c", "xx", "yy"} {
			if test.r.Allows(Send, group) {
				send = append(send, group)
			}
		}
		if got := strings.Join(send, " "); got != test.send || test.r.Allows(JoinLeave, "") != test.join {
			t.Errorf("send to %q, want %q; join %v, want %v", got, test.send, !test.join, test.join)
		}
	}
	if first.With([]string{"admin"}) != first || parseRoles([]string{"admin"}) != nil {
		t.Error("roles of somebody else change something")
	}
}

func TestAskingForARoleAllocatesNothing(t *testing.T) {
	r := parseRoles([]string{"webpubsub.sendToGroup.a", "webpubsub.sendToGroups.b?*.**"})
	if n := testing.AllocsPerRun(100, func() {
		r.Allows(Send, "a")
		r.Allows(Send, "bcd.e.f")
		r.Allows(Send, "x")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// plainMatch is matches by its definition: every star tries everything.
func plainMatch(p, name string) bool {
	switch {
	case p == "":
		return name == ""
	case strings.HasPrefix(p, "**"):
		for i := range name {
			if plainMatch(p[2:], name[i:]) {
				return true
			}
		}
		return plainMatch(p[2:], "")
	case p[0] == '*':
		for i, r := range name {
			if plainMatch(p[1:], name[i:]) {
				return true
			}
			if r == '.' {
				return false
			}
		}
		return plainMatch(p[1:], "")
	case name == "":
		return false
	case p[0] == '?':
		_, size := utf8.DecodeRuneInString(name)
		return name[0] != '.' && plainMatch(p[1:], name[size:])
	case p[0] == '\\':
		p = p[1:]
	}
	return p[0] == name[0] && plainMatch(p[1:], name[1:])
}

func TestPatternsMatchByDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := pattern(strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", ".", "?", "*", "**", `\*`, "ü"}), 1, 10).Draw(t, "pattern"), ""))
		name := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", ".", "*", "ü"}), 0, 14).Draw(t, "name"), "")
		if p.valid() && p.matches(name) != plainMatch(string(p), name) {
			t.Fatalf("%q, %q: %v", p, name, p.matches(name))
		}
	})
}

func FuzzPattern(f *testing.F) {
	f.Add("a*b**c?", "aXbY.Zcd")
	f.Add(`\**.?`, "*a.b")
	f.Add("**a*", "€\xff.a")
	f.Fuzz(func(t *testing.T, p, name string) {
		if !pattern(p).valid() || len(p)+len(name) > 60 {
			return
		}
		if got, want := pattern(p).matches(name), plainMatch(p, name); got != want {
			t.Errorf("%q, %q: %v, want %v", p, name, got, want)
		}
	})
}

func BenchmarkPatternAtItsWorst(b *testing.B) {
	p := pattern("**a*a*" + strings.Repeat("a", 500) + "b")
	name := strings.Repeat("a", 1024)
	b.ReportAllocs()
	for b.Loop() {
		if p.matches(name) {
			b.Fatal("matched")
		}
	}
}
