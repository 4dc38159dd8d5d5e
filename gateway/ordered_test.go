package gateway

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestAnOrderedMapIsWalkedInTheOrderInWhichItsKeysHaveCome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o ordered[int, string]
		values, order := make(map[int]string), []int(nil)
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			k := rapid.IntRange(0, 40).Draw(t, "key")
			_, there := values[k]
			if rapid.Bool().Draw(t, "set") {
				v := rapid.StringN(0, 2, -1).Draw(t, "value")
				o.set(k, v)
				if values[k] = v; !there {
					order = append(order, k)
					if len(o.entries) > 2*len(order)+17 {
						t.Fatalf("%d entries for %d keys", len(o.entries), len(order))
					}
				}
			} else {
				o.delete(k)
				delete(values, k)
				order = slices.DeleteFunc(order, func(x int) bool { return x == k })
			}
			if got := slices.Collect(o.keys()); !slices.Equal(got, order) || o.len() != len(order) {
				t.Fatalf("%d keys %v, want %v", o.len(), got, order)
			}
			if v, ok := o.get(k); v != values[k] || ok != slices.Contains(order, k) {
				t.Fatalf("key %d has %q, %t", k, v, ok)
			}
		}
	})
}

func TestKeysOfAnOrderedMapMayBeDeletedWhileItIsWalked(t *testing.T) {
	var o ordered[int, int]
	for k := range 100 {
		o.set(k, k)
	}
	var walked []int
	for k := range o.keys() {
		walked = append(walked, k)
		o.delete(k)
		o.delete(k + 1)
	}
	if len(walked) != 50 || o.len() != 0 {
		t.Errorf("%d left after %v", o.len(), walked)
	}
}
