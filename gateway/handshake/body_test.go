package handshake

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

const chunkedHead = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"

// follow lets a body see received in pieces of so many octets, and returns how
// many belong to it.
func follow(b Body, received string, piece int) (n int, done bool, err error) {
	for n < len(received) && !done && err == nil {
		var k int
		k, done, err = b.Next([]byte(received[n:min(n+piece, len(received))]))
		n += k
	}
	return n, done, err
}

func TestBodyEndsWhereItSays(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for _, c := range []struct{ head, body string }{
		{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n", "0123456789"},
		{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0003\r\n\r\n", "012"},
		{chunkedHead, "0\r\n\r\n"},
		{chunkedHead, "000\r\n\r\n"},
		{chunkedHead, "5\r\nhello\r\n0\r\n\r\n"},
		{chunkedHead, "3\r\n\r\n0\r\n2\r\n\r\n\r\n0\r\n\r\n"},
		{chunkedHead, "3E8\r\n" + long + "\r\n3e8;a=\"b\"\r\n" + long + "\r\n0;last\r\n\r\n"},
		{chunkedHead, "1\r\nx\r\n0\r\nA: b\r\nC:\td \xc3\xa9\r\nE:\r\n\r\n"},
		{chunkedHead, "1;" + strings.Repeat("x", maxTrimmed-1) + "\r\nx\r\n0\r\n\r\n"},
	} {
		h := parse(t, c.head)
		for _, behind := range []string{"", "GET / HTTP/1.1\r\n", "\r\n", "0\r\n\r\n"} {
			for _, piece := range []int{1, 2, 3, 7, 1 << 20} {
				if n, done, err := follow(h.Body(), c.body+behind, piece); n != len(c.body) || !done || err != nil {
					t.Errorf("%.40q with %q behind, by %d: %d octets, %v, %v; want %d", c.body, behind, piece, n, done, err, len(c.body))
				}
			}
		}
		for n := range len(c.body) {
			if k, done, err := follow(h.Body(), c.body[:n], 1<<20); k != n || done || err != nil {
				t.Errorf("the first %d octets of %.40q: %d, %v, %v", n, c.body, k, done, err)
			}
		}
	}
	if n, done, err := new(Body).Next([]byte("GET")); n != 0 || !done || err != nil {
		t.Errorf("no body: %d, %v, %v", n, done, err)
	}
}

func TestMalformedChunksAreRefused(t *testing.T) {
	for name, body := range map[string]string{
		"no size":                       "\r\n\r\n",
		"no number":                     "g\r\n",
		"sign":                          "+1\r\nx\r\n0\r\n\r\n",
		"prefix":                        "0x1\r\nx\r\n0\r\n\r\n",
		"blank before the size":         " 1\r\nx\r\n0\r\n\r\n",
		"blank behind the size":         "1 \r\nx\r\n0\r\n\r\n",
		"size of 16 digits":             "0000000000000001\r\nx\r\n0\r\n\r\n",
		"size that overflows":           "fffffffffffffffff\r\n",
		"size ends in LF":               "1\nx\r\n0\r\n\r\n",
		"size ends in CR":               "1\rx\r\n0\r\n\r\n",
		"data longer than said":         "1\r\nxy\r\n0\r\n\r\n",
		"data ends in LF":               "1\r\nx\n0\r\n\r\n",
		"data ends in CR":               "1\r\nx\r0\r\n\r\n",
		"LF in an extension":            "1;a\nb\r\nx\r\n0\r\n\r\n",
		"CR in an extension":            "1;a\rb\r\nx\r\n0\r\n\r\n",
		"NUL in an extension":           "1;\x00\r\nx\r\n0\r\n\r\n",
		"extension without end":         "1;" + strings.Repeat("x", 1<<20),
		"too many extensions":           strings.Repeat("1;aaaaaaa\r\nx\r\n", maxTrimmed/8+1) + "0\r\n\r\n",
		"trailer ends in LF":            "0\r\nA: b\n\r\n",
		"trailer without a colon":       "0\r\nA\r\n\r\n",
		"trailer without a name":        "0\r\n: b\r\n\r\n",
		"folded trailer":                "0\r\nA: b\r\n c\r\n\r\n",
		"blank in the name":             "0\r\nA : b\r\n\r\n",
		"control in the trailer":        "0\r\nA: \x01\r\n\r\n",
		"trailers without end":          "0\r\n" + strings.Repeat("A: b\r\n", 1000),
		"last line ends in LF":          "0\r\n\n",
		"last line ends in CR and more": "0\r\n\rx",
	} {
		b := parse(t, chunkedHead).Body()
		for _, piece := range []int{1, 3, 1 << 21} {
			n, done, err := follow(b, body, piece)
			if !errors.Is(err, ErrChunk) || done || n > 4*maxTrimmed {
				t.Errorf("%s, by %d: %d octets, %v, %v", name, piece, n, done, err)
			}
		}
	}
}

// FuzzBody: a body ends where net/http sees its end, however its octets come.
func FuzzBody(f *testing.F) {
	for _, body := range []string{"5\r\nhello\r\n0\r\n\r\n", "1;a\r\nx\r\n0\r\nA: b\r\n\r\n", "0\r\n\r\nGET", "1\nx", "3\r\n\r\n0\r\n0\r\n\r\n"} {
		f.Add([]byte(body), true, uint8(3))
		f.Add([]byte(body), false, uint8(1))
	}
	f.Fuzz(func(t *testing.T, received []byte, chunked bool, piece uint8) {
		head := chunkedHead
		if !chunked {
			head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
		}
		h := parse(t, head)
		whole, done, err := follow(h.Body(), string(received), len(received)+1)
		n, doneToo, errToo := follow(h.Body(), string(received), int(piece)+1)
		if n != whole || done != doneToo || err != errToo {
			t.Fatalf("at once %d, %v, %v; by %d %d, %v, %v", whole, done, err, int(piece)+1, n, doneToo, errToo)
		}
		if err != nil || !done {
			return
		}
		stream := bufio.NewReader(io.MultiReader(strings.NewReader(head), bytes.NewReader(received)))
		r, err := http.ReadRequest(stream)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Fatalf("net/http refuses %q: %v", received, err)
		}
		rest, _ := io.ReadAll(stream)
		if len(received)-len(rest) != whole {
			t.Errorf("net/http sees %d octets, not %d", len(received)-len(rest), whole)
		}
	})
}
