package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
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
// fetchPause, whatever tokens people send. The last good set stays in force
// until there is another.
type keySet struct {
	url    string
	client *http.Client
	log    *slog.Logger

	known atomic.Pointer[keys] // nil until a set could be had

	ctx    context.Context // ends with close
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex
	began  time.Time     // when the last fetch began
	flight chan struct{} // closed at the end of the fetch under way, nil if none is
	failed bool          // the last one
}

// keys finds keys in a set that was fetched.
type keys struct{ keyfunc.Keyfunc }

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

// key returns the key that t names by its kid, if it is one for t's algorithm.
func (s *keySet) key(ctx context.Context, t *jwt.Token) (any, error) {
	key, err := s.find(ctx, t)
	if errors.Is(err, jwkset.ErrKeyNotFound) && s.refresh(ctx) {
		key, err = s.find(ctx, t)
	}
	switch {
	case err == nil:
		return key, nil
	case s.known.Load() == nil:
		return nil, &Error{ReasonKeys, "the key set of the token's issuer could not be had"}
	}
	return nil, &Error{ReasonSignature, "the token's issuer has no such key for its algorithm"}
}

func (s *keySet) find(ctx context.Context, t *jwt.Token) (any, error) {
	known := s.known.Load()
	if known == nil {
		return nil, jwkset.ErrKeyNotFound
	}
	return known.KeyfuncCtx(ctx)(t)
}

// keepFresh fetches now and then, until the set is closed.
func (s *keySet) keepFresh() {
	for {
		s.refresh(s.ctx)
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

// refresh fetches the set, or waits for the fetch that is under way. It reports
// false if the last fetch is too recent, or ctx ended before this one.
func (s *keySet) refresh(ctx context.Context) bool {
	s.mu.Lock()
	if s.flight == nil {
		if s.ctx.Err() != nil || !s.began.IsZero() && time.Since(s.began) < fetchPause {
			s.mu.Unlock()
			return false
		}
		s.began = time.Now()
		s.flight = make(chan struct{})
		s.done.Go(s.fly)
	}
	flight := s.flight
	s.mu.Unlock()
	select {
	case <-flight:
		return true
	case <-ctx.Done():
		return false
	}
}

// fly makes one fetch, for everybody who waits for it.
func (s *keySet) fly() {
	known, err := s.fetch()
	if err == nil {
		s.known.Store(known)
	} else if s.ctx.Err() == nil {
		s.log.Warn("the key set could not be fetched; the last good one stays", "error", err)
	}
	s.mu.Lock()
	s.failed = err != nil
	close(s.flight)
	s.flight = nil
	s.mu.Unlock()
}

// fetch gets the set once. A set without a usable key is an error: it is more
// likely a mistake than the wish to lock everybody out.
func (s *keySet) fetch() (*keys, error) {
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

// parseKeySet reads a JWK set (RFC 7517, section 5). Keys that are broken, of an
// unknown kind or without a kid are left out.
func parseKeySet(body []byte) (*keys, error) {
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, errors.New("not a JWK set")
	}
	var usable []jwkset.JWK
	for _, m := range set.Keys {
		if k, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{}); err == nil && m.KID != "" {
			usable = append(usable, k)
		}
	}
	if len(usable) == 0 {
		return nil, errors.New("no usable key in it")
	}
	storage := jwkset.NewMemoryStorage()
	if err := storage.KeyReplaceAll(context.Background(), usable); err != nil {
		return nil, err
	}
	find, err := keyfunc.New(keyfunc.Options{Storage: storage, UseWhitelist: []jwkset.USE{jwkset.UseSig, ""}})
	if err != nil {
		return nil, err
	}
	return &keys{find}, nil
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
