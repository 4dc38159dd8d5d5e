// Package ordered has a map that remembers in which order its keys have come.
package ordered

import "iter"

// Map is a map that is walked in the order in which its keys have come. A
// map of Go's is walked in any: whom it hits first would be chance, and a
// simulation could not be repeated. The zero Map is empty.
type Map[K comparable, V any] struct {
	at      map[K]int // in entries
	entries []entry[K, V]
}

type entry[K comparable, V any] struct {
	key   K
	value V
	gone  bool
}

func (o *Map[K, V]) Len() int { return len(o.at) }

// Get returns the value of k, and whether there is one.
func (o *Map[K, V]) Get(k K) (v V, ok bool) {
	i, ok := o.at[k]
	if ok {
		v = o.entries[i].value
	}
	return v, ok
}

// Set gives k a value. A key that has one keeps its turn.
func (o *Map[K, V]) Set(k K, v V) {
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

func (o *Map[K, V]) Delete(k K) {
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
func (o *Map[K, V]) close() {
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

// Keys walks through the keys. Meanwhile any may be deleted, and none be set
// that is not there.
func (o *Map[K, V]) Keys() iter.Seq[K] {
	return func(yield func(K) bool) {
		for i := 0; i < len(o.entries); i++ {
			if e := &o.entries[i]; !e.gone && !yield(e.key) {
				return
			}
		}
	}
}
