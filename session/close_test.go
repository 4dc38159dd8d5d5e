package session

import (
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

func TestOnlyCodesThatMayBeSentAreTaken(t *testing.T) {
	for code := range 1 << 16 {
		want := code >= 3000 && code <= 4999
		switch code {
		case 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014:
			want = true
		}
		payload := binary.BigEndian.AppendUint16(nil, uint16(code))
		got, reason, err := ParseClose(payload)
		switch {
		case want && (err != nil || int(got) != code || len(reason) != 0):
			t.Errorf("%d: %d, %q, %v", code, got, reason, err)
		case !want && err != ErrCloseCode:
			t.Errorf("%d: taken, or %v", code, err)
		}
	}
}

func TestParseClose(t *testing.T) {
	for _, test := range []struct {
		payload string
		code    ws.StatusCode
		reason  string
		err     error
	}{
		{"", 1005, "", nil},
		{"\x03", 0, "", ErrClosePayload},
		{"\x03\xe8", 1000, "", nil},
		{"\x03\xe8bye", 1000, "bye", nil},
		{"\x0f\xa0κλείσε", 4000, "κλείσε", nil},
		{"\x03\xe8\xff", 0, "", ErrCloseUTF8},
		{"\x03\xe8ok\xce", 0, "", ErrCloseUTF8},
		{"\x03\xed\xff", 0, "", ErrCloseCode},
		{"\x00\x00", 0, "", ErrCloseCode},
	} {
		code, reason, err := ParseClose([]byte(test.payload))
		if code != test.code || string(reason) != test.reason || err != test.err {
			t.Errorf("%q: %d, %q, %v", test.payload, code, reason, err)
		}
	}
}

func TestAppendClose(t *testing.T) {
	long := strings.Repeat("x", 122)
	for _, test := range []struct {
		name   string
		code   ws.StatusCode
		reason string
		want   string // payload
	}{
		{"code and reason", 1000, "bye", "\x03\xe8bye"},
		{"code alone", 4999, "", "\x13\x87"},
		{"no status", 1005, "never sent", ""},
		{"abnormal", 1006, "never sent", ""},
		{"TLS", 1015, "never sent", ""},
		{"unknown", 1016, "never sent", ""},
		{"as long as fits", 1001, long + "y", "\x03\xe9" + long + "y"},
		{"cut", 1001, long + "yz", "\x03\xe9" + long + "y"},
		{"cut before a character", 1001, long + "é", "\x03\xe9" + long},
		{"cut before a long character", 1001, long[:120] + "😀", "\x03\xe9" + long[:120]},
		{"not UTF-8", 1001, "a\xffb", "\x03\xe9a\ufffdb"},
		{"nowhere to cut", 1001, strings.Repeat("\x80", 200), "\x03\xe9\ufffd"},
	} {
		got := AppendClose([]byte("before"), test.code, test.reason)
		want := "before" + string(AppendFrame(nil, ws.OpClose, []byte(test.want)))
		if string(got) != want {
			t.Errorf("%s: %q, want %q", test.name, got, want)
		}
	}
}

func FuzzParseClose(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{3})
	f.Add([]byte("\x03\xe8bye"))
	f.Add([]byte("\x03\xee"))
	f.Add([]byte("\x0f\xa0\xce"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		code, reason, err := ParseClose(payload)
		if err != nil {
			return
		}
		if !utf8.Valid(reason) {
			t.Fatalf("%q is taken", payload)
		}
		// What is taken can be sent, and then it is the same again.
		frame := AppendClose(nil, code, string(reason))
		if sent := frame[2:]; len(payload) <= maxControl && string(sent) != string(payload) {
			t.Fatalf("%q becomes %q", payload, sent)
		}
	})
}
