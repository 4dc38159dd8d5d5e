package handshake

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
)

const plainDeflate = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// offering is smallHead with offers of extensions.
func offering(offers string) string {
	return strings.Replace(smallHead, "Upgrade:", "Sec-WebSocket-Extensions: "+offers+"\r\nUpgrade:", 1)
}

func TestDeflateIsNegotiated(t *testing.T) {
	for _, c := range []struct {
		offer  string
		answer string
		bits   uint8
	}{
		{"permessage-deflate", plainDeflate, 15},
		{"Permessage-Deflate", plainDeflate, 15},
		{"permessage-deflate; client_max_window_bits", plainDeflate, 15},
		{"permessage-deflate; client_max_window_bits=8", plainDeflate, 15},
		{`permessage-deflate;client_max_window_bits="12"`, plainDeflate, 15},
		{"permessage-deflate; server_no_context_takeover", plainDeflate, 15},
		{"permessage-deflate; client_no_context_takeover; server_no_context_takeover", plainDeflate, 15},
		{"permessage-deflate; server_max_window_bits=8", plainDeflate + "; server_max_window_bits=8", 8},
		{"permessage-deflate; server_max_window_bits=9", plainDeflate + "; server_max_window_bits=9", 9},
		{"permessage-deflate; server_max_window_bits=10", plainDeflate + "; server_max_window_bits=10", 10},
		{`permessage-deflate ; server_max_window_bits = "15"`, plainDeflate + "; server_max_window_bits=15", 15},
		{"permessage-deflate; server_max_window_bits=11; client_max_window_bits", plainDeflate + "; server_max_window_bits=11", 11},

		{"x-webkit-deflate-frame", "", 15},
		{"permessage-deflat", "", 15},
		{"permessage-deflate; server_max_window_bits", "", 15},
		{"permessage-deflate; server_max_window_bits=7", "", 15},
		{"permessage-deflate; server_max_window_bits=16", "", 15},
		{"permessage-deflate; server_max_window_bits=08", "", 15},
		{"permessage-deflate; server_max_window_bits=010", "", 15},
		{"permessage-deflate; server_max_window_bits=1x", "", 15},
		{`permessage-deflate; server_max_window_bits=""`, "", 15},
		{"permessage-deflate; client_max_window_bits=7", "", 15},
		{"permessage-deflate; client_max_window_bits=16", "", 15},
		{`permessage-deflate; client_max_window_bits=""`, "", 15},
		{"permessage-deflate; server_no_context_takeover=1", "", 15},
		{"permessage-deflate; client_no_context_takeover=true", "", 15},
		{"permessage-deflate; unknown", "", 15},
		{"permessage-deflate; server_no_context_takeover; server_no_context_takeover", "", 15},
		{"permessage-deflate; client_no_context_takeover; client_no_context_takeover", "", 15},
		{"permessage-deflate; server_max_window_bits=10; server_max_window_bits=10", "", 15},
		{"permessage-deflate; client_max_window_bits; client_max_window_bits=10", "", 15},

		{"permessage-deflate; unknown, permessage-deflate", plainDeflate, 15},
		{"permessage-deflate; server_max_window_bits=7, permessage-deflate; server_max_window_bits=12", plainDeflate + "; server_max_window_bits=12", 12},
		{"permessage-deflate; server_max_window_bits=9, permessage-deflate", plainDeflate + "; server_max_window_bits=9", 9},
		{"permessage-deflate; server_max_window_bits=12; unknown, permessage-deflate", plainDeflate, 15},
		{`x; y=",permessage-deflate", permessage-deflate`, plainDeflate, 15},
		{`x; y=",permessage-deflate"`, "", 15},
		{"x-first\r\nSec-WebSocket-Extensions: permessage-deflate", plainDeflate, 15},
	} {
		t.Run(c.offer, func(t *testing.T) {
			answer, result := upgrade(t, NewUpgrader(), offering(c.offer), &Options{Deflate: true})
			response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(response.Header["Sec-Websocket-Extensions"], "|"); got != c.answer {
				t.Errorf("answer %q, want %q", got, c.answer)
			}
			if want := (Result{Deflate: c.answer != "", WindowBits: c.bits}); result != want {
				t.Errorf("result %+v, want %+v", result, want)
			}
		})
	}
}

func TestDeflateIsNotGivenUnasked(t *testing.T) {
	for name, c := range map[string]struct {
		head    string
		options Options
	}{
		"the client does not offer": {smallHead, Options{Deflate: true}},
		"the server does not want":  {offering("permessage-deflate; server_max_window_bits=9"), Options{}},
	} {
		answer, result := upgrade(t, NewUpgrader(), c.head, &c.options)
		if strings.Contains(answer, "Extensions") || result.Deflate || result.WindowBits != 15 {
			t.Errorf("%s: %+v, %q", name, result, answer)
		}
	}
}
