package ordered

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestAnOrderedMapIsWalkedInTheOrderInWhichItsKeysHaveCome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o Map[int, string]
		values, order := make(map[int]string), []int(nil)
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			k := rapid.IntRange(0, 40).Draw(t, "key")
			_, there := values[k]
			if rapid.Bool().Draw(t, "set") {
				v := rapid.StringN(0, 2, -1).Draw(t, "value")
				o.Set(k, v)
				if values[k] = v; !there {
					order = append(order, k)
					if len(o.entries) > 2*len(order)+17 {
						t.Fatalf("%d entries for %d keys", len(o.entries), len(order))
					}
				}
			} else {
				o.Delete(k)
				delete(values, k)
				order = slices.DeleteFunc(order, func(x int) bool { return x == k })
			}
			if got := slices.Collect(o.Keys()); !slices.Equal(got, order) || o.Len() != len(order) {
				t.Fatalf("%d keys %v, want %v", o.Len(), got, order)
			}
			if v, ok := o.Get(k); v != values[k] || ok != slices.Contains(order, k) {
				t.Fatalf("key %d has %q, %t", k, v, ok)
			}
		}
	})
}

func TestKeysOfAnOrderedMapMayBeDeletedWhileItIsWalked(t *testing.T) {
	var o Map[int, int]
	for k := range 100 {
		o.Set(k, k)
	}
	var walked []int
	for k := range o.Keys() {
		walked = append(walked, k)
		o.Delete(k)
		o.Delete(k + 1)
	}
	if len(walked) != 50 || o.Len() != 0 {
		t.Errorf("%d left after %v", o.Len(), walked)
	}
}
