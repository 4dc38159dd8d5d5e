package auth

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	fetchTime  = 5 * time.Second  // for one fetch
	fetchPause = 10 * time.Second // at least between the beginnings of two
	fetchRetry = time.Minute      // after one that failed
	fetchEvery = time.Hour
	maxKeySet  = 1 << 20 // bytes
)

// keySet is the published keys of an issuer. It is fetched every hour, and when
// a token names a key that is not in it, but not more often than every
// fetchPause, whatever tokens people send: in between, what is not in it is not
// there. The last good set stays in force until there is another.
//
// Those who wait for a fetch are a list, of a bound that they bring along: they
// cost no goroutine, and are in nobody's way whose key is known.
type keySet struct {
	url    string
	client *http.Client
	log    *slog.Logger

	known atomic.Pointer[keys] // nil until a set could be had

	ctx    context.Context // ends with close
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	began   time.Time     // when the last fetch began
	flight  chan struct{} // closed at the end of the fetch under way, nil if none is
	failed  bool          // the last one
	waiters []func()      // called at the end of the fetch under way
}

func newKeySet(url string, client *http.Client, log *slog.Logger) *keySet {
	s := &keySet{url: url, client: client, log: log}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// inherit takes over what another set of the same URL has.
func (s *keySet) inherit(from *keySet) {
	if s.url == from.url {
		s.known.Store(from.known.Load())
	}
}

func (s *keySet) start() { s.done.Go(s.keepFresh) }

func (s *keySet) close() {
	s.mu.Lock() // no fetch begins from here on
	s.cancel()
	s.mu.Unlock()
	s.done.Wait()
}

// find returns the key that a token names, errUnknownKey if it is not in the
// set that is known, or an *Error. It never waits.
func (s *keySet) find(method jwt.SigningMethod, kid string) (any, error) {
	known := s.known.Load()
	if known == nil {
		return nil, errUnknownKey
	}
	return known.find(method, kid)
}

// missing says why a key is not known: because the issuer has none, or because
// nobody can say.
func (s *keySet) missing() *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known.Load() == nil || s.failed || s.ctx.Err() != nil {
		return &Error{ReasonKeys, "the key set of the token's issuer cannot be had now"}
	}
	return &Error{ReasonSignature, "the token's issuer has no such key for its algorithm"}
}

// await has f called at the end of the fetch under way, or of one that it
// begins. It is false if none may begin now. full: as many as may are waiting.
func (s *keySet) await(most int, f func()) (waits, full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.begin():
		return false, false
	case len(s.waiters) >= most:
		return false, true
	}
	s.waiters = append(s.waiters, f)
	return true, false
}

// keepFresh fetches now and then, until the set is closed.
func (s *keySet) keepFresh() {
	for {
		s.refresh()
		s.mu.Lock()
		wait := fetchEvery
		if s.failed {
			wait = fetchRetry
		}
		s.mu.Unlock()
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// refresh fetches the set, or waits for the fetch that is under way, unless the
// last one is too recent.
func (s *keySet) refresh() {
	s.mu.Lock()
	begun := s.begin()
	flight := s.flight
	s.mu.Unlock()
	if begun {
		<-flight
	}
}

// begin sees to it that a fetch is under way. It is false if the last one is
// too recent, or the set is closed. The caller holds the lock.
func (s *keySet) begin() bool {
	switch {
	case s.ctx.Err() != nil:
		return false
	case s.flight != nil:
		return true
	case !s.began.IsZero() && time.Since(s.began) < fetchPause:
		return false
	}
	s.began = time.Now()
	s.flight = make(chan struct{})
	s.done.Go(s.fly)
	return true
}

// fly makes one fetch, for everybody who waits for it, and serves them in the
// order in which they came.
func (s *keySet) fly() {
	known, err := s.fetch()
	if err == nil {
		s.known.Store(&known)
	} else if s.ctx.Err() == nil {
		s.log.Warn("the key set could not be fetched; the last good one stays", "err", err)
	}
	s.mu.Lock()
	s.failed = err != nil
	waiters := s.waiters
	s.waiters = nil
	close(s.flight)
	s.flight = nil
	s.mu.Unlock()
	for _, served := range waiters {
		served()
	}
}

// fetch gets the set once.
func (s *keySet) fetch() (keys, error) {
	ctx, cancel := context.WithTimeout(s.ctx, fetchTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxKeySet {
		return nil, fmt.Errorf("longer than %d bytes", maxKeySet)
	}
	return parseKeySet(body)
}

// fetcher returns the client for key sets: who redirects one could redirect it
// to anything that this node reaches.
func fetcher(given *http.Client) *http.Client {
	var client http.Client
	if given != nil {
		client = *given
	} else {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.DisableKeepAlives = true // one request an hour
		client.Transport = transport
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}
