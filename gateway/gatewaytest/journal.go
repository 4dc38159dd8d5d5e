package gatewaytest

import (
	"bufio"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// Entry is one line of a log in JSON, as slog writes it. A line that is not JSON
// is in its entry as msg.
type Entry map[string]any

// Text is the value of a key, "" if it is not a string.
func (e Entry) Text(key string) string {
	s, _ := e[key].(string)
	return s
}

// Journal collects the log of a child process.
type Journal struct {
	mu      sync.Mutex
	raw     strings.Builder
	entries []Entry
	ended   bool
	grown   chan struct{} // closed when there is more to see or the end, then replaced
}

// NewJournal makes an empty one.
func NewJournal() *Journal { return &Journal{grown: make(chan struct{})} }

// Collect reads r to its end.
func (j *Journal) Collect(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for more := true; more; {
		more = lines.Scan()
		j.mu.Lock()
		if more {
			j.add(lines.Bytes())
		}
		j.ended = !more
		close(j.grown)
		j.grown = make(chan struct{})
		j.mu.Unlock()
	}
}

// add takes a line; the caller holds the lock.
func (j *Journal) add(line []byte) {
	j.raw.Write(line)
	j.raw.WriteByte('\n')
	var e Entry
	if json.Unmarshal(line, &e) != nil {
		e = Entry{"msg": string(line)}
	}
	j.entries = append(j.entries, e)
}

// String is the whole log as it was written.
func (j *Journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.raw.String()
}

// Await returns the first entry with this message, once it is there.
func (j *Journal) Await(t testing.TB, message string) Entry {
	t.Helper()
	return j.Find(t, message, func(e Entry) bool { return e.Text("msg") == message })
}

// Find returns the first entry that is what is looked for, once it is there.
func (j *Journal) Find(t testing.TB, what string, is func(Entry) bool) Entry {
	t.Helper()
	late := time.After(Patience)
	for seen := 0; ; {
		j.mu.Lock()
		fresh, grown, ended := j.entries[seen:], j.grown, j.ended
		seen = len(j.entries)
		j.mu.Unlock()
		for _, e := range fresh {
			if is(e) {
				return e
			}
		}
		if ended {
			t.Fatalf("the log ended without %q:\n%s", what, j)
		}
		select {
		case <-grown:
		case <-late:
			t.Fatalf("no %q in the log:\n%s", what, j)
		}
	}
}
