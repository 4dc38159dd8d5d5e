package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strconv"
	"sync"
)

// signers makes the signatures of a hub's access keys. Any goroutine.
type signers struct {
	pool sync.Pool // of *signer
}

// signer is the memory that the signatures of one request are made in. Its
// hashes know their keys: crypto/hmac keeps the state behind the key, so that
// none is hashed twice.
type signer struct {
	macs []hash.Hash
	text []byte
	sum  [sha256.Size]byte
}

func newSigners(keys []string) *signers {
	s := new(signers)
	s.pool.New = func() any {
		one := &signer{macs: make([]hash.Hash, len(keys))}
		for i, key := range keys {
			one.macs[i] = hmac.New(sha256.New, []byte(key))
		}
		return one
	}
	return s
}

// append appends the header lines that let the backend know the sender: those
// of Standard Webhooks, and ce-signature. Without keys there are no signatures.
func (s *signers) append(p []byte, connection, id string, now int64, body []byte) []byte {
	one := s.pool.Get().(*signer)
	defer s.pool.Put(one)

	p = append(p, "webhook-id: "...)
	start := len(p)
	p = appendEncoded(p, id)
	one.text = append(one.text[:0], p[start:]...)
	p = append(p, "\r\nwebhook-timestamp: "...)
	p = strconv.AppendInt(p, now, 10)
	p = append(p, "\r\n"...)
	if len(one.macs) == 0 {
		return p
	}

	one.text = append(one.text, '.')
	one.text = strconv.AppendInt(one.text, now, 10)
	one.text = append(one.text, '.')
	p = append(p, "webhook-signature: "...)
	for i, mac := range one.macs {
		if i > 0 {
			p = append(p, ' ')
		}
		p = append(p, "v1,"...)
		p = base64.StdEncoding.AppendEncode(p, one.sign(mac, one.text, body))
	}
	one.text = append(one.text[:0], connection...)
	p = append(p, "\r\nce-signature: "...)
	for i, mac := range one.macs {
		if i > 0 {
			p = append(p, ',')
		}
		p = append(p, "sha256="...)
		p = hex.AppendEncode(p, one.sign(mac, one.text, nil))
	}
	return append(p, "\r\n"...)
}

// sign returns the code of a and b together, which is valid until the next.
func (s *signer) sign(mac hash.Hash, a, b []byte) []byte {
	mac.Reset()
	mac.Write(a) // never fails
	mac.Write(b)
	return mac.Sum(s.sum[:0])
}
