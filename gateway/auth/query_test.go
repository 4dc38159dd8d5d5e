package auth

import (
	"net/url"
	"reflect"
	"testing"
	"unicode/utf8"
)

func TestQueriesAreReadAsBrowsersDo(t *testing.T) {
	for raw, want := range map[string]url.Values{
		"":                  {},
		"a=1;b=2":           {"a": {"1;b=2"}},
		"a=100%":            {"a": {"100%"}},
		"a=%zz&b=%4&%=%":    {"a": {"%zz"}, "b": {"%4"}, "%": {"%"}},
		"a=1&&a=2&=3&b":     {"a": {"1", "2"}, "": {"3"}, "b": {""}},
		"a+b=c+d%2B&e=f=g":  {"a b": {"c d+"}, "e": {"f=g"}},
		"%61=%C3%BC&b=%ffx": {"a": {"ü"}, "b": {"\ufffdx"}},
		"a=%00%0d%0A":       {"a": {"\x00\r\n"}},
	} {
		if got := ParseQuery(raw); !reflect.DeepEqual(got, want) {
			t.Errorf("?%s: %q, want %q", raw, got, want)
		}
	}
}

// What net/url understands means the same here, and everything is UTF-8.
func FuzzParseQuery(f *testing.F) {
	for _, seed := range []string{"a=1;b=2", "a=100%", "a=%ff&b=%zz&c=1", "&&=&%", "a+b=%2B"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got := ParseQuery(raw)
		valid := utf8.ValidString(raw)
		for name, values := range got {
			for _, s := range append(values, name) {
				if !utf8.ValidString(s) {
					t.Errorf("%q: %q", raw, got)
				}
			}
		}
		want, err := url.ParseQuery(raw)
		for name, values := range want {
			for _, s := range append(values, name) {
				valid = valid && utf8.ValidString(s)
			}
		}
		if err == nil && valid && !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	})
}
