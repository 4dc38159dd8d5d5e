package handshake

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// upgrade answers a head that has to be good.
func upgrade(t *testing.T, u *Upgrader, head string, o *Options) (string, Result) {
	t.Helper()
	h := parse(t, head)
	if err := h.Check(); err != nil {
		t.Fatal(err)
	}
	answer, result, err := u.Upgrade(nil, h, o)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer), result
}

func TestUpgradeAnswersAsInTheRFC(t *testing.T) {
	// Key and Sec-WebSocket-Accept are those of RFC 6455 §1.3.
	got, result := upgrade(t, NewUpgrader(), smallHead, &Options{})
	const want = "HTTP/1.1 101 Switching Protocols\r\n" +
		"Upgrade: websocket\r\n" +
		"Connection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
	if got != want {
		t.Errorf("answer\n%s\nwant\n%s", got, want)
	}
	if want := (Result{WindowBits: 15}); result != want {
		t.Errorf("result %+v, want %+v", result, want)
	}
}

func TestUpgradeAppends(t *testing.T) {
	h := parse(t, smallHead)
	u := NewUpgrader()
	first, _, err := u.Upgrade([]byte("before"), h, &Options{})
	if err != nil {
		t.Fatal(err)
	}
	kept := string(first)
	second, _, err := u.Upgrade(nil, h, &Options{Header: []byte("X: y\r\n")})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(first, []byte("beforeHTTP/1.1 101 ")) || string(first) != kept {
		t.Errorf("first answer %q, then %q", kept, first)
	}
	if !bytes.HasSuffix(second, []byte("\r\nX: y\r\n\r\n")) {
		t.Errorf("second answer %q lacks the extra header", second)
	}
}

func TestUpgradeTakesAnyLengthOfHeader(t *testing.T) {
	extra := "Set-Cookie: c=" + strings.Repeat("x", 5000) + "\r\n"
	got, _ := upgrade(t, NewUpgrader(), longHead, &Options{Header: []byte(extra)})
	if !strings.HasSuffix(got, extra+"\r\n") {
		t.Errorf("answer of %d octets does not end in the extra header", len(got))
	}
}

func TestUpgradeWithoutCheckFailsAndLeavesDst(t *testing.T) {
	h := parse(t, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	got, result, err := NewUpgrader().Upgrade([]byte("before"), h, &Options{})
	if err == nil || string(got) != "before" || result != (Result{}) {
		t.Errorf("Upgrade = %q, %+v, %v", got, result, err)
	}
}

func TestUpgradePicksTheSubprotocolTheClientLikesBest(t *testing.T) {
	for _, c := range []struct {
		name, offer string
		supported   []string
		want        string
	}{
		{"the first of the client's", "b, a", []string{"a", "b"}, "b"},
		{"the first that is known", "x, a", []string{"a", "b"}, "a"},
		{"in a later field", "x\r\nSec-WebSocket-Protocol: b", []string{"a", "b"}, "b"},
		{"none in common", "x", []string{"a"}, ""},
		{"none known", "x", nil, ""},
		{"case matters", "A", []string{"a"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			head := strings.Replace(smallHead, "Upgrade:", "Sec-WebSocket-Protocol: "+c.offer+"\r\nUpgrade:", 1)
			answer, result := upgrade(t, NewUpgrader(), head, &Options{Subprotocols: c.supported})
			if result.Subprotocol != c.want {
				t.Errorf("subprotocol %q, want %q", result.Subprotocol, c.want)
			}
			response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
			if err != nil {
				t.Fatal(err)
			}
			_, sent := response.Header["Sec-Websocket-Protocol"]
			if got := response.Header.Get("Sec-WebSocket-Protocol"); got != c.want || sent != (c.want != "") {
				t.Errorf("answered %q (sent: %v), want %q", got, sent, c.want)
			}
		})
	}
}

func TestResponseIsCompleteHTTP(t *testing.T) {
	now := time.Date(1994, 11, 6, 9, 49, 37, 0, time.FixedZone("CET", 3600))
	for _, e := range []*Error{
		ErrTLS, ErrRequestLine, ErrTarget, ErrLineEnd, ErrField, ErrHost, ErrFraming, ErrTrailer, ErrExpect, ErrTooManyFields, ErrTargetTooLong, ErrHeadTooLarge,
		ErrTransferEncoding, ErrMethodUnsupported, ErrHTTPVersion,
		ErrMethod, ErrHTTP10, ErrUpgrade, ErrConnection, ErrVersion, ErrKey, ErrBody, ErrRepeated, ErrProtocols, ErrExtensions,
		{Status: http.StatusServiceUnavailable, Reason: "draining"},
	} {
		for _, retryAfter := range []int{0, 7} {
			answer := AppendResponse([]byte("before"), e, Answer{RetryAfter: retryAfter, Date: now})
			answer, ok := bytes.CutPrefix(answer, []byte("before"))
			if !ok {
				t.Fatalf("%v: does not append", e)
			}
			rest := bufio.NewReader(bytes.NewReader(answer))
			response, err := http.ReadResponse(rest, nil)
			if err != nil {
				t.Fatalf("%v: %v in %q", e, err, answer)
			}
			body, err := io.ReadAll(response.Body)
			if err != nil || string(body) != e.Reason || rest.Buffered() != 0 {
				t.Errorf("%v: body %q, %v, %d octets behind it", e, body, err, rest.Buffered())
			}
			if response.StatusCode != e.Status || !response.Close || response.ContentLength != int64(len(e.Reason)) {
				t.Errorf("%v: %q", e, answer)
			}
			if got := response.Header.Get("Date"); got != "Sun, 06 Nov 1994 08:49:37 GMT" {
				t.Errorf("%v: Date %q", e, got)
			}
			want := ""
			if retryAfter > 0 {
				want = strconv.Itoa(retryAfter)
			}
			if got := response.Header.Get("Retry-After"); got != want {
				t.Errorf("%v: Retry-After %q, want %q", e, got, want)
			}
			if e.Status == http.StatusUpgradeRequired && (response.Header.Get("Sec-WebSocket-Version") != "13" ||
				response.Header.Get("Upgrade") != "websocket" || !bytes.Contains(answer, []byte("\r\nConnection: close, Upgrade\r\n"))) {
				t.Errorf("%v: does not say what to upgrade to: %q", e, answer)
			}
			if e.Status == http.StatusMethodNotAllowed && response.Header.Get("Allow") != "GET" {
				t.Errorf("%v: does not say what is allowed: %q", e, answer)
			}
		}
	}
}

func TestResponseDoesNotAllocate(t *testing.T) {
	dst := make([]byte, 0, 512)
	answer := Answer{RetryAfter: 5, Date: time.Now()}
	if n := testing.AllocsPerRun(100, func() { AppendResponse(dst, ErrVersion, answer) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// The answer to HEAD is the head of the answer to GET.
func TestResponseToHeadHasNoBody(t *testing.T) {
	whole := AppendResponse(nil, ErrHost, Answer{})
	head := AppendResponse(nil, ErrHost, Answer{Bodiless: true})
	if string(head)+ErrHost.Reason != string(whole) {
		t.Errorf("%q, want %q without its body", head, whole)
	}
	if bytes.Contains(head, []byte("\r\nDate:")) {
		t.Errorf("a Date that nobody gave: %q", head)
	}
}

// acceptKey is what RFC 6455 §4.2.2 wants in Sec-WebSocket-Accept.
func acceptKey(key []byte) string {
	sum := sha1.Sum([]byte(string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
