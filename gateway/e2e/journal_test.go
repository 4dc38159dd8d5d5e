package e2e_test

import (
	"bufio"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen at once on a machine
// that has nothing else to do.
const patience = 30 * time.Second

// entry is one line of a log in JSON, as slog writes it. A line that is none is
// in its entry as msg.
type entry map[string]any

func (e entry) text(key string) string {
	s, _ := e[key].(string)
	return s
}

// journal collects the log of a child process.
type journal struct {
	mu      sync.Mutex
	raw     strings.Builder
	entries []entry
	ended   bool
	grown   chan struct{} // closed when there is more to see or the end, then replaced
}

func newJournal() *journal { return &journal{grown: make(chan struct{})} }

// read collects until r ends.
func (j *journal) read(r io.Reader) {
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
func (j *journal) add(line []byte) {
	j.raw.Write(line)
	j.raw.WriteByte('\n')
	var e entry
	if json.Unmarshal(line, &e) != nil {
		e = entry{"msg": string(line)}
	}
	j.entries = append(j.entries, e)
}

// text is the whole log as it was written.
func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.raw.String()
}

// await returns the first entry with this message, once it is there.
func (j *journal) await(t *testing.T, message string) entry {
	t.Helper()
	return j.find(t, message, func(e entry) bool { return e.text("msg") == message })
}

// find returns the first entry that is what is looked for, once it is there.
func (j *journal) find(t *testing.T, what string, is func(entry) bool) entry {
	t.Helper()
	late := time.After(patience)
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
			t.Fatalf("the log ended without %q:\n%s", what, j.text())
		}
		select {
		case <-grown:
		case <-late:
			t.Fatalf("no %q in the log:\n%s", what, j.text())
		}
	}
}
