package delivery_test

import (
	"fmt"

	"sluice/gateway/delivery"
)

// guest is a session that a filter can look at.
type guest struct{ user, group string }

func (g guest) UserID() string           { return g.user }
func (g guest) ConnectionID() string     { return "c-" + g.user }
func (g guest) InGroup(name string) bool { return g.group == name }
func (g guest) Groups() int              { return 1 }

func ExampleParseFilter() {
	f, err := delivery.ParseFilter("startswith(userId, 'bot-') and not ('muted' in groups)")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, g := range []guest{{"bot-1", "news"}, {"bot-2", "muted"}, {"ann", "news"}} {
		fmt.Println(g.user, f.Match(g))
	}

	_, err = delivery.ParseFilter("userId eq ann")
	fmt.Println(err)
	// Output:
	// bot-1 true
	// bot-2 false
	// ann false
	// filter, byte 11: expected userId, connectionId, groups, a function, a text in ' or a number, found "ann"
}
