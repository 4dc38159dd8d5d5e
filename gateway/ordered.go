package gateway

import "iter"

// ordered is a map that is walked in the order in which its keys have come. A
// map of Go's is walked in any: whom it hits first would be chance, and a
// simulation could not be repeated. The zero ordered is empty.
type ordered[K comparable, V any] struct {
	at      map[K]int // in entries
	entries []entry[K, V]
}

type entry[K comparable, V any] struct {
	key   K
	value V
	gone  bool
}

func (o *ordered[K, V]) len() int { return len(o.at) }

// get returns the value of k, and whether there is one.
func (o *ordered[K, V]) get(k K) (v V, ok bool) {
	i, ok := o.at[k]
	if ok {
		v = o.entries[i].value
	}
	return v, ok
}

// set gives k a value. A key that has one keeps its turn.
func (o *ordered[K, V]) set(k K, v V) {
	if i, ok := o.at[k]; ok {
		o.entries[i].value = v
		return
	}
	if len(o.entries) >= 2*len(o.at)+16 {
		o.close()
	}
	if o.at == nil {
		o.at = make(map[K]int)
	}
	o.at[k] = len(o.entries)
	o.entries = append(o.entries, entry[K, V]{key: k, value: v})
}

func (o *ordered[K, V]) delete(k K) {
	i, ok := o.at[k]
	if !ok {
		return
	}
	delete(o.at, k)
	o.entries[i] = entry[K, V]{gone: true}
	if len(o.at) == 0 {
		o.entries = o.entries[:0]
	}
}

// close closes the gaps that delete has left.
func (o *ordered[K, V]) close() {
	left := o.entries[:0]
	for _, e := range o.entries {
		if !e.gone {
			o.at[e.key] = len(left)
			left = append(left, e)
		}
	}
	clear(o.entries[len(left):])
	o.entries = left
}

// keys walks through the keys. Meanwhile any may be deleted, and none be set
// that is not there.
func (o *ordered[K, V]) keys() iter.Seq[K] {
	return func(yield func(K) bool) {
		for i := 0; i < len(o.entries); i++ {
			if e := &o.entries[i]; !e.gone && !yield(e.key) {
				return
			}
		}
	}
}
