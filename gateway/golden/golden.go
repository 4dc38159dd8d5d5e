// Package golden compares what a test made with a file that holds what it should
// be. With -update the test writes the file anew instead; whoever does that looks
// at the difference before it is committed.
package golden

import (
	"bytes"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Updating reports whether files are to be written anew, for tests that compare
// with a part of a file only.
func Updating() bool { return *update }

// Check compares got with the file.
func Check(t testing.TB, file string, got []byte) {
	t.Helper()
	if Updating() {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (run with -update if that is meant); got:\n%s\nwant:\n%s", file, got, want)
	}
}
