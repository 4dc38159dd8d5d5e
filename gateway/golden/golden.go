// Package golden compares what a test made with a file that holds what it should
// be. With -update the test writes the file anew instead; whoever does that looks
// at the difference before it is committed.
package golden

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Check compares got with the file.
func Check(t testing.TB, file string, got []byte) {
	t.Helper()
	compare(t, file, got, nil, nil)
}

// CheckSection compares got with what stands in the file between the lines
// <!-- NAME: begin --> and <!-- NAME: end -->.
func CheckSection(t testing.TB, file, name string, got []byte) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := fmt.Appendf(nil, "<!-- %s: begin -->\n", name), fmt.Appendf(nil, "<!-- %s: end -->", name)
	before, rest, begins := bytes.Cut(text, begin)
	_, after, ends := bytes.Cut(rest, end)
	if !begins || !ends {
		t.Fatalf("%s has no section %s", file, name)
	}
	compare(t, file, got, slices.Concat(before, begin), slices.Concat(end, after))
}

// compare compares got with what the file holds between before and after.
func compare(t testing.TB, file string, got, before, after []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, slices.Concat(before, got, after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := text[len(before) : len(text)-len(after)]; !bytes.Equal(got, want) {
		t.Errorf("%s differs (run with -update if that is meant); got:\n%s\nwant:\n%s", file, got, want)
	}
}
