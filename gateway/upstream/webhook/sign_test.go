package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// verifier is a backend that knows one key, and checks as the two contracts say.
func verifier(t *testing.T, key string) http.HandlerFunc {
	sum := func(text string) []byte {
		mac := hmac.New(sha256.New, []byte(key))
		io.WriteString(mac, text)
		return mac.Sum(nil)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		h := r.Header
		want := "sha256=" + hex.EncodeToString(sum(h.Get("ce-connectionId")))
		if !slices.Contains(strings.Split(h.Get("ce-signature"), ","), want) {
			t.Errorf("ce-signature is %s, without %s", h.Get("ce-signature"), want)
		}
		signed := h.Get("webhook-id") + "." + h.Get("webhook-timestamp") + "." + string(body)
		want = "v1," + base64.StdEncoding.EncodeToString(sum(signed))
		if !slices.Contains(strings.Split(h.Get("webhook-signature"), " "), want) {
			t.Errorf("webhook-signature is %s, without %s", h.Get("webhook-signature"), want)
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

// Signers are shared: what one request leaves in them must not reach the next,
// and not the one beside it.
func TestBackendsWithEitherKeyKnowTheSender(t *testing.T) {
	for _, key := range []string{primaryKey, secondaryKey} {
		p := start(t, options(serve(t, verifier(t, key)).URL))
		var sending sync.WaitGroup
		for worker := range 8 {
			sending.Go(func() {
				for i := range 20 {
					c := message(strings.Repeat("x", i*worker*50))
					c.ID = fmt.Sprintf("event-%d-%d", worker, i)
					if _, err := p.Attempt(t.Context(), c); err != nil {
						t.Error(err)
					}
				}
			})
		}
		sending.Wait()
	}
}
