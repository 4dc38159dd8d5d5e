package session

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"sync"
)

// Ref names one session among all that the nodes of a cluster ever had.
type Ref struct {
	Node       uint64
	Loop       uint16
	Slot       uint32 // place in the loop
	Generation uint32 // which of the sessions that have had the place
}

// An id is a Ref and 96 bits of HMAC-SHA256 over it, in base64url without
// padding: 240 bits are 40 characters and leave none over, so that every
// string of the alphabet decodes to its own bytes and none has a second
// spelling.
const (
	refSize  = 18
	macSize  = 12
	idLength = (refSize + macSize) * 8 / 6
)

// IDKey turns the Ref of a session into its public id and back. The id hides
// nothing; the key keeps clients and backends from making ids up. All
// goroutines may use it.
type IDKey struct {
	seals sync.Pool // of *seal
}

// NewIDKey returns the IDKey of a secret that all nodes of a cluster share.
func NewIDKey(key [32]byte) *IDKey {
	k := new(IDKey)
	k.seals.New = func() any { return &seal{mac: hmac.New(sha256.New, key[:])} }
	return k
}

// Encode returns the public id of a session: 40 characters of the base64url
// alphabet.
func (k *IDKey) Encode(r Ref) string {
	s := k.seals.Get().(*seal)
	defer k.seals.Put(s)
	r.put(s.raw[:refSize])
	copy(s.raw[refSize:], s.sum())
	base64.RawURLEncoding.Encode(s.text[:], s.raw[:])
	return string(s.text[:])
}

// Decode returns what Encode was given when it made id, and false if id does
// not come from Encode with the same key.
func (k *IDKey) Decode(id string) (Ref, bool) {
	if len(id) != idLength {
		return Ref{}, false
	}
	s := k.seals.Get().(*seal)
	defer k.seals.Put(s)
	copy(s.text[:], id)
	// The decoder skips line breaks; a text that has some comes out short.
	if n, err := base64.RawURLEncoding.Decode(s.raw[:], s.text[:]); err != nil || n != len(s.raw) {
		return Ref{}, false
	}
	if subtle.ConstantTimeCompare(s.sum(), s.raw[refSize:]) != 1 {
		return Ref{}, false
	}
	return refOf(s.raw[:refSize]), true
}

// seal is the memory that one Encode or Decode works in.
type seal struct {
	mac  hash.Hash
	raw  [refSize + macSize]byte
	code [sha256.Size]byte
	text [idLength]byte
}

// sum returns the code of the Ref in raw.
func (s *seal) sum() []byte {
	s.mac.Reset()
	s.mac.Write(s.raw[:refSize]) // never fails
	return s.mac.Sum(s.code[:0])[:macSize]
}

func (r Ref) put(p []byte) {
	binary.BigEndian.PutUint64(p, r.Node)
	binary.BigEndian.PutUint16(p[8:], r.Loop)
	binary.BigEndian.PutUint32(p[10:], r.Slot)
	binary.BigEndian.PutUint32(p[14:], r.Generation)
}

func refOf(p []byte) Ref {
	return Ref{
		Node:       binary.BigEndian.Uint64(p),
		Loop:       binary.BigEndian.Uint16(p[8:]),
		Slot:       binary.BigEndian.Uint32(p[10:]),
		Generation: binary.BigEndian.Uint32(p[14:]),
	}
}
