package webhook

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/gatewaytest"
	"sluice/gateway/golden"
	"sluice/gateway/upstream"
)

func TestRequestsAreWhatTheContractSays(t *testing.T) {
	connect := event(upstream.Connect)
	connect.User = "Žofie <z@example.com>"
	connect.Request = &upstream.Request{
		Claims:       map[string][]string{"sub": {"Žofie"}, "role": {"a", "b"}},
		Query:        map[string][]string{"room": {"1"}},
		Headers:      map[string][]string{"User-Agent": {"test"}, "Cookie": {"a=1", "b=2"}},
		Subprotocols: []string{"chat.v1", "chat.v2"},
	}
	empty := event(upstream.Connect)
	connected := event(upstream.Connected)
	connected.User, connected.Subprotocol, connected.State = "ann", "chat.v1", "eyJrIjoxfQ=="
	text := message("hello")
	text.User, text.State = `100% "ann"`, `50%, as it was`
	binary := message("\x00\x01\xff")
	binary.Op = ws.OpBinary
	custom := message(`{"a":1}`)
	custom.Name = "order.placed-2"
	disconnected := event(upstream.Disconnected)
	disconnected.User, disconnected.Code, disconnected.Reason = "ann", 1006, "heartbeat"

	for name, c := range map[string]*upstream.Call{
		"connect": connect, "connect-empty": empty, "connected": connected, "text": text,
		"binary": binary, "custom": custom, "disconnected": disconnected,
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, options("https://user:pa%3Ass@backend.example:8443/{hub}/on-{event}?of={event}&v=1"))
			p.head.now = func() time.Time { return c.At.Add(3 * time.Second) }
			r := new(request)
			wantNoError(t, p.head.event(r, c))
			var out bytes.Buffer
			wantNoError(t, r.writeTo(&out))
			golden.Check(t, "testdata/"+name+".http", []byte(strings.ReplaceAll(out.String(), "\r\n", "\n")))
			if n := bytes.Count(out.Bytes(), []byte("\n")); n != bytes.Count(out.Bytes(), []byte("\r\n")) {
				t.Errorf("a line does not end with CRLF")
			}
		})
	}
	t.Run("question", func(t *testing.T) {
		p := start(t, options("http://backend.example/{hub}?on={event}"))
		r := new(request)
		p.head.question(r)
		golden.Check(t, "testdata/question.http", []byte(strings.ReplaceAll(string(r.head), "\r\n", "\n")))
	})
	t.Run("without keys there are no signatures", func(t *testing.T) {
		o := options("http://backend.example")
		o.Keys = nil
		r := new(request)
		wantNoError(t, start(t, o).head.event(r, message("x")))
		if strings.Contains(string(r.head), "signature") || !strings.Contains(string(r.head), "webhook-id: event-1\r\n") {
			t.Errorf("got:\n%s", r.head)
		}
	})
}

// A body that is not copied behind the head must arrive all the same, and so
// must a head longer than any buffer on the way.
func TestLongRequestsArriveWhole(t *testing.T) {
	for _, size := range []int{0, 1, joinLimit, joinLimit + 1, 1 << 20} {
		text := strings.Repeat("x", size)
		var got string
		url := serve(t, keepBody(&got)).URL
		c := message(text)
		c.User = strings.Repeat("ü", 3000)
		_, err := attempt(t, start(t, options(url)), c)
		wantNoError(t, err)
		if got != text {
			t.Errorf("of %d bytes %d arrived", len(text), len(got))
		}
	}
}

func TestHeaderValuesCannotBreakOut(t *testing.T) {
	for _, value := range []string{"a\r\nX: y", "a\nb", "\x00", " a ", "a\tb", "ü", "a%0d%0ab", `"`} {
		c := message("")
		c.User, c.ID, c.Subprotocol, c.State = value, value, value, value
		r := new(request)
		wantNoError(t, start(t, options("http://backend.example")).head.event(r, c))
		for line := range strings.SplitSeq(strings.TrimSuffix(string(r.head), "\r\n\r\n"), "\r\n") {
			if strings.ContainsAny(line, "\r\n\x00\tü") || strings.HasPrefix(line, "X: ") {
				t.Errorf("%q makes the line %q", value, line)
			}
		}
	}
}

func TestEncodedValuesStayDifferent(t *testing.T) {
	encoded := map[string]string{}
	for _, value := range []string{
		"a b", "a%20b", " a", "%20a", "a ", "  ", "ü", "%C3%BC", "%", "%25", "%2525", `"`, "%22", "\x7f", "%7F", "a  b", "",
		"50%", "50% ", "%%41", "%4", "%4 ", "%4ü", "%ü", "%c3%bc", "%zz", "100% sure", "%a%b",
	} {
		got := string(appendEncoded(nil, value))
		if other, taken := encoded[got]; taken {
			t.Errorf("%q and %q are both %s", value, other, got)
		}
		encoded[got] = value
		if back := decode(got); back != value || strings.TrimSpace(got) != got {
			t.Errorf("%q is written %q and read as %q", value, got, back)
		}
	}
}

// octet is what decode reads as a byte; all else stands for itself.
var octet = regexp.MustCompile("%[0-9A-Fa-f]{2}")

// decode is what the README tells backends in Go to do with a value.
func decode(value string) string {
	return octet.ReplaceAllStringFunc(value, func(s string) string {
		b, _ := hex.DecodeString(s[1:])
		return string(b)
	})
}

// What no SDK decodes is to be the same for one that compares, as far as a
// header can carry it.
func TestPrintableValuesGoAsTheyAre(t *testing.T) {
	for value, want := range map[string]string{
		"ann": "ann", `a"b`: `a"b`, "50%": "50%", "100% sure": "100% sure", "a|b/c\\d{}^`": "a|b/c\\d{}^`", "%zz": "%zz",
		"z@example.com": "z@example.com", "a+b&c=d": "a+b&c=d", "a b": "a b",
		" a": "%20a", "a ": "a%20", "jürgen": "j%C3%BCrgen", "50%25": "50%2525", "%e4": "%25e4", "a\tb": "a%09b",
	} {
		c := message("x")
		c.User, c.Subprotocol, c.ID = value, value, value
		r := new(request)
		wantNoError(t, start(t, options("http://backend.example")).head.event(r, c))
		for _, name := range []string{"ce-userId", "ce-subprotocol", "ce-id", "webhook-id"} {
			if line := "\r\n" + name + ": " + want + "\r\n"; !strings.Contains(string(r.head), line) {
				t.Errorf("%q: no %q in\n%s", value, line, r.head)
			}
		}
	}
}

func FuzzEncodedValuesCanBeRead(f *testing.F) {
	for _, s := range []string{"ann", "jürgen", "50%", "%41", "%%41", " %4 ", "\x00\r\n", "%4\xff1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got := string(appendEncoded(nil, value))
		if back := decode(got); back != value {
			t.Errorf("%q is written %q and read as %q", value, got, back)
		}
		if !visible(strings.ReplaceAll(got, " ", "")) || strings.TrimSpace(got) != got {
			t.Errorf("%q is written %q, which is not a header's value", value, got)
		}
	})
}

func TestBuildingARequestAllocatesOnlyForTheId(t *testing.T) {
	if gatewaytest.Race {
		t.Skip("the race detector makes pools forget")
	}
	p := start(t, options("http://backend.example/{event}"))
	c, r := message("hello"), new(request)
	c.User = "ann"
	if n := testing.AllocsPerRun(1000, func() {
		if err := p.head.event(r, c); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, beside the id's", n)
	}
}

func keepBody(got *string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*got = string(body)
		w.WriteHeader(http.StatusNoContent)
	}
}
