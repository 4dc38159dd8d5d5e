package auth

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// inBubble runs f with a time of its own, in which p answers at once, and the
// signers are made before.
func inBubble(t *testing.T, p *publisher, f func(t *testing.T, c *Clients)) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestClients(t, ClientsOptions{Hub: "chat", Issuers: corpAt("https://id.example/keys"), Client: &http.Client{Transport: p}})
		synctest.Wait() // for the first fetch
		f(t, c)
	})
}

func verifyNow(c *Clients, token string) Reason {
	_, err := verifyIn(context.Background(), c, token, host, now)
	return reason(err)
}

func TestKeysRotate(t *testing.T) {
	first, second := newSigner(t, "1", jwt.SigningMethodES256), newSigner(t, "2", jwt.SigningMethodES256)
	p := newPublisher(set(first.jwk(t, "ES256", "")))
	inBubble(t, p, func(t *testing.T, c *Clients) {
		if r := verifyNow(c, first.token(t, corp)); r != reasons {
			t.Errorf("first key: %v", r)
		}
		p.publish(http.StatusOK, set(first.jwk(t, "ES256", ""), second.jwk(t, "ES256", "")))
		if r := verifyNow(c, second.token(t, corp)); r != ReasonSignature {
			t.Errorf("fetched again at once: %v", r)
		}
		time.Sleep(fetchPause)
		if r := verifyNow(c, second.token(t, corp)); r != reasons {
			t.Errorf("second key: %v", r)
		}
		p.publish(http.StatusOK, set(second.jwk(t, "ES256", "")))
		time.Sleep(fetchEvery + time.Second)
		if r := verifyNow(c, first.token(t, corp)); r != ReasonSignature {
			t.Errorf("a key that was withdrawn: %v", r)
		}
	})
}

func TestUnknownKeysCauseFewFetches(t *testing.T) {
	known, unknown := newSigner(t, "known", jwt.SigningMethodES256), newSigner(t, "unknown", jwt.SigningMethodES256)
	p := newPublisher(set(known.jwk(t, "ES256", "")))
	good, bad := known.token(t, corp), unknown.token(t, corp)
	inBubble(t, p, func(t *testing.T, c *Clients) {
		before := p.fetches.Load()
		for range 60 { // for a minute
			time.Sleep(time.Second)
			var storm sync.WaitGroup
			for range 20 {
				storm.Go(func() {
					if r := verifyNow(c, bad); r != ReasonSignature {
						t.Errorf("unknown: %v", r)
					}
					if r := verifyNow(c, good); r != reasons {
						t.Errorf("known: %v", r)
					}
				})
			}
			storm.Wait()
		}
		if got := p.fetches.Load() - before; got < 5 || got > 7 {
			t.Errorf("%d fetches in a minute", got)
		}
	})
}

func TestTheLastGoodSetStays(t *testing.T) {
	s := newSigner(t, "1", jwt.SigningMethodES256)
	p := newPublisher(set(s.jwk(t, "ES256", "")))
	inBubble(t, p, func(t *testing.T, c *Clients) {
		wait := fetchEvery
		for name, answer := range map[string]struct {
			status int
			body   string
		}{
			"garbage":   {http.StatusOK, "<html>"},
			"truncated": {http.StatusOK, `{"keys":[`},
			"nothing":   {http.StatusOK, ""},
			"null":      {http.StatusOK, "null"},
			"no keys":   {http.StatusOK, `{"keys":[]}`},
			"no usable": {http.StatusOK, `{"keys":[{"kty":"XYZ","kid":"1"}]}`},
			"error":     {http.StatusInternalServerError, set(newSigner(t, "1", jwt.SigningMethodES256).jwk(t, "ES256", ""))},
			"redirect":  {http.StatusFound, set(newSigner(t, "1", jwt.SigningMethodES256).jwk(t, "ES256", ""))},
			"too long":  {http.StatusOK, strings.Repeat(" ", 10<<20) + `{"keys":[]}`},
		} {
			before := p.fetches.Load()
			p.publish(answer.status, answer.body)
			time.Sleep(wait + time.Second)
			wait = fetchRetry
			if got := p.fetches.Load() - before; got != 1 {
				t.Errorf("%s: %d fetches", name, got)
			}
			if r := verifyNow(c, s.token(t, corp)); r != reasons {
				t.Errorf("%s: %v", name, r)
			}
		}
	})
}

func TestAFailedFetchIsRepeatedSoon(t *testing.T) {
	s := newSigner(t, "1", jwt.SigningMethodES256)
	token := s.token(t, corp)
	p := newPublisher("")
	inBubble(t, p, func(t *testing.T, c *Clients) {
		if r := verifyNow(c, token); r != ReasonKeys {
			t.Errorf("no set: %v", r)
		}
		time.Sleep(10*fetchRetry + time.Second)
		if got := p.fetches.Load(); got < 10 || got > 12 {
			t.Errorf("%d fetches in ten minutes", got)
		}
		p.publish(http.StatusOK, set(s.jwk(t, "ES256", "")))
		time.Sleep(fetchRetry)
		before := p.fetches.Load()
		time.Sleep(fetchEvery - 2*fetchRetry)
		if r := verifyNow(c, token); r != reasons || p.fetches.Load() != before {
			t.Errorf("%v after %d more fetches", r, p.fetches.Load()-before)
		}
	})
}

// hanging never answers.
type hanging struct{ asked chan struct{} }

func (h hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	h.asked <- struct{}{}
	<-r.Context().Done()
	return nil, context.Cause(r.Context())
}

func TestAFetchThatHangsEnds(t *testing.T) {
	token := newSigner(t, "1", jwt.SigningMethodES256).token(t, corp)
	synctest.Test(t, func(t *testing.T) {
		h := hanging{make(chan struct{}, 1)}
		c := newTestClients(t, ClientsOptions{Hub: "chat", Issuers: corpAt("https://id.example/keys"), Client: &http.Client{Transport: h}})
		<-h.asked
		began := time.Now()
		if r := verifyNow(c, token); r != ReasonKeys || time.Since(began) != fetchTime {
			t.Errorf("%v after %v", r, time.Since(began))
		}
		time.Sleep(fetchRetry)
		<-h.asked
		began = time.Now()
		c.Close() // while the fetch hangs
		if time.Since(began) != 0 {
			t.Errorf("Close waited for %v", time.Since(began))
		}
		if r := verifyNow(c, token); r != ReasonKeys {
			t.Errorf("after Close: %v", r)
		}
	})
}

// Who waits for a key set is in nobody's way, costs no goroutine, and is one of
// so many at most.
func TestThoseWhoWaitForAKeySetAreAListOfABound(t *testing.T) {
	known, unknown, other := newSigner(t, "known", jwt.SigningMethodES256), newSigner(t, "unknown", jwt.SigningMethodES256), newSigner(t, "other", jwt.SigningMethodES256)
	p, q := newPublisher(set(known.jwk(t, "ES256", ""))), newPublisher(set(other.jwk(t, "ES256", "")))
	good, bad := known.token(t, corp), unknown.token(t, corp)
	synctest.Test(t, func(t *testing.T) {
		gate := &gated{RoundTripper: hosts{"id.example": p, "other.example": q}}
		c := newTestClients(t, ClientsOptions{
			Hub: "chat", Keys: NewKeys([]string{testKey}), Client: &http.Client{Transport: gate},
			Issuers: append(corpAt("https://id.example/keys"), Issuer{Name: "other", Issuer: "https://other.example", JWKS: "https://other.example/keys"}),
		})
		synctest.Wait()
		time.Sleep(fetchPause)
		gate.shut.Store(true)
		const most = 300
		before := 0
		verdicts := make(chan error, most)
		crowded := 0
		for i := range most + 20 {
			c.Await(bad, host, most, func(_ *Client, err error) {
				if errors.Is(err, ErrCrowded) {
					crowded++
				} else {
					verdicts <- err
				}
			})
			if synctest.Wait(); i == 0 {
				before = runtime.NumGoroutine()
			}
		}
		if got := runtime.NumGoroutine(); got != before || crowded != 20 || len(verdicts) != 0 {
			t.Errorf("%d goroutines, %d before; %d crowded out, %d served", got, before, crowded, len(verdicts))
		}
		for name, one := range map[string]string{"known": good, "of another issuer": other.token(t, "https://other.example"), "of an access key": hs256(t, jwt.MapClaims{})} {
			if c.Way(one) == Fetched || verifyNow(c, one) != reasons {
				t.Errorf("a token %s has to wait", name)
			}
		}
		time.Sleep(fetchTime)
		synctest.Wait()
		if len(verdicts) != most || c.Way(good) != Beside {
			t.Errorf("%d served", len(verdicts))
		}
		for range len(verdicts) {
			if err := <-verdicts; reason(err) != ReasonKeys { // nobody can say whether there is such a key
				t.Errorf("the fetch failed: %v", err)
			}
		}
		if r := verifyNow(c, bad); r != ReasonKeys {
			t.Errorf("between the fetches: %v", r)
		}
		gate.shut.Store(false)
		p.publish(http.StatusOK, set(known.jwk(t, "ES256", ""), unknown.jwk(t, "ES256", "")))
		time.Sleep(fetchPause)
		if r := verifyNow(c, bad); r != reasons {
			t.Errorf("published meanwhile: %v", r)
		}
	})
}

// gated hangs while it is shut.
type gated struct {
	http.RoundTripper
	shut atomic.Bool
}

func (g *gated) RoundTrip(r *http.Request) (*http.Response, error) {
	if g.shut.Load() {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return g.RoundTripper.RoundTrip(r)
}

// hosts is a network.
type hosts map[string]http.RoundTripper

func (h hosts) RoundTrip(r *http.Request) (*http.Response, error) { return h[r.URL.Host].RoundTrip(r) }

// Those who wait when a hub is taken away are told.
func TestCloseEndsTheWaiting(t *testing.T) {
	token := newSigner(t, "1", jwt.SigningMethodES256).token(t, corp)
	synctest.Test(t, func(t *testing.T) {
		h := hanging{make(chan struct{}, 1)}
		c := newTestClients(t, ClientsOptions{Hub: "chat", Issuers: corpAt("https://id.example/keys"), Client: &http.Client{Transport: h}})
		<-h.asked
		verdict := make(chan error, 1)
		c.Await(token, host, 1, func(_ *Client, err error) { verdict <- err })
		if len(verdict) != 0 {
			t.Errorf("not waiting: %v", <-verdict)
		}
		c.Close()
		if err := <-verdict; reason(err) != ReasonKeys {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestAKeySetServerMayBeDownSlowOrEndless(t *testing.T) {
	s := newSigner(t, "1", jwt.SigningMethodES256)
	token := s.token(t, corp)
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	endless := serveKeys(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for chunk := bytes.Repeat([]byte(" "), 1<<16); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	slow := serveKeys(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	redirected := newPublisher(set(s.jwk(t, "ES256", "")))
	redirecting := serveKeys(t, http.RedirectHandler(serveKeys(t, redirected), http.StatusFound))
	for name, url := range map[string]string{"down": down.URL, "endless": endless, "slow": slow, "redirecting": redirecting} {
		c := newTestClients(t, ClientsOptions{Hub: "chat", Issuers: corpAt(url)})
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if _, err := verifyIn(ctx, c, token, host, now); reason(err) != ReasonKeys {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		c.Close()
	}
	if redirected.fetches.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestAReloadKeepsKeySets(t *testing.T) {
	s := newSigner(t, "1", jwt.SigningMethodES256)
	p := newPublisher(set(s.jwk(t, "ES256", "")))
	url := serveKeys(t, p)
	before := newTestClients(t, ClientsOptions{Hub: "chat", Issuers: corpAt(url)})
	if r := verifyNow(before, s.token(t, corp)); r != reasons {
		t.Fatal(r)
	}
	p.publish(http.StatusServiceUnavailable, "")
	after := newTestClients(t, ClientsOptions{Hub: "chat", Issuers: corpAt(url), Previous: before})
	before.Close()
	if r := verifyNow(after, s.token(t, corp)); r != reasons {
		t.Errorf("the same URL: %v", r)
	}
	elsewhere := newTestClients(t, ClientsOptions{Hub: "chat", Issuers: corpAt(url + "/elsewhere"), Previous: before})
	if r := verifyNow(elsewhere, s.token(t, corp)); r != ReasonKeys {
		t.Errorf("another URL: %v", r)
	}
}

func TestLogsNameNoToken(t *testing.T) {
	token := newSigner(t, "a-kid-of-somebody", jwt.SigningMethodES256).token(t, corp)
	var b bytes.Buffer
	p := newPublisher("garbage")
	synctest.Test(t, func(t *testing.T) {
		c := newTestClients(t, ClientsOptions{
			Hub: "chat", Issuers: corpAt("https://id.example/keys"), Client: &http.Client{Transport: p},
			Log: slog.New(slog.NewTextHandler(&b, nil)),
		})
		time.Sleep(fetchPause)
		verifyNow(c, token)
		c.Close()
	})
	if log := b.String(); strings.Count(log, "not a JWK set") != 2 || strings.Contains(log, "a-kid-of-somebody") || !strings.Contains(log, "issuer=corp") {
		t.Error(log)
	}
}
