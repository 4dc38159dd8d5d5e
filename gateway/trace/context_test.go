package trace

import (
	"strings"
	"testing"
)

const sample = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestTraceparentIsRead(t *testing.T) {
	for _, test := range []struct {
		name, parent   string
		valid, sampled bool
	}{
		{"sampled", sample, true, true},
		{"not sampled", sample[:53] + "00", true, false},
		{"unknown flags", sample[:53] + "fe", true, false},
		{"a later version", "cc" + sample[2:], true, true},
		{"a later version with more", "cc" + sample[2:] + "-what", true, true},
		{"empty", "", false, false},
		{"too short", sample[:54], false, false},
		{"more in version 0", sample + "-what", false, false},
		{"too long for a later version", "cc" + sample[2:] + "what", false, false},
		{"version 255", "ff" + sample[2:], false, false},
		{"no version", "0x" + sample[2:], false, false},
		{"capitals", strings.ToUpper(sample), false, false},
		{"no dash", strings.Replace(sample, "-b7", "xb7", 1), false, false},
		{"no digits", strings.Replace(sample, "0af7", "0ag7", 1), false, false},
		{"no trace", "00-" + strings.Repeat("0", 32) + sample[35:], false, false},
		{"no span", sample[:36] + strings.Repeat("0", 16) + "-01", false, false},
		{"no flags", sample[:53] + "x1", false, false},
	} {
		c := Parse([]byte(test.parent), nil)
		if c.Valid() != test.valid || c.Sampled != test.sampled {
			t.Errorf("%s: %q is valid: %v, sampled: %v", test.name, test.parent, c.Valid(), c.Sampled)
		}
		if !test.valid && c != (Context{}) {
			t.Errorf("%s: something is left of it: %v", test.name, c)
		}
	}
}

func TestStateOfOthersIsPassedOn(t *testing.T) {
	for state, want := range map[string]string{
		"":                       "",
		"a=1":                    "a=1",
		"a=1,b@c=2":              "a=1,b@c=2",
		"a=1,a=2":                "",
		"no list":                "",
		strings.Repeat("a", 600): "",
	} {
		c := Parse([]byte(sample), []byte(state))
		lines := string(c.AppendHeaders(nil))
		wantLines := "traceparent: " + sample + "\r\n"
		if want != "" {
			wantLines += "tracestate: " + want + "\r\n"
		}
		if c.State != want || lines != wantLines {
			t.Errorf("state %q became %q and %q", state, c.State, lines)
		}
	}
}

func TestZeroContextWritesNothing(t *testing.T) {
	if p := new(Context).AppendHeaders([]byte("x")); string(p) != "x" {
		t.Errorf("%q", p)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample, "a=1,b@c=2")
	f.Add("cc"+sample[2:]+"-x", "")
	f.Add(sample[:53]+"00", " a=1 ,, b=2")
	f.Fuzz(func(t *testing.T, parent, state string) {
		c := Parse([]byte(parent), []byte(state))
		if !c.Valid() {
			return
		}
		lines := strings.Split(string(c.AppendHeaders(nil)), "\r\n")
		first, ok := strings.CutPrefix(lines[0], "traceparent: ")
		second := ""
		if c.State != "" {
			second = strings.TrimPrefix(lines[1], "tracestate: ")
			lines = lines[1:]
		}
		if !ok || len(lines) != 2 || lines[1] != "" {
			t.Fatalf("%q and %q became %q", parent, state, lines)
		}
		if again := Parse([]byte(first), []byte(second)); again != c {
			t.Fatalf("%v became %v", c, again)
		}
	})
}
