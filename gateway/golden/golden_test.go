package golden

import (
	"os"
	"path/filepath"
	"testing"
)

// recorder is a test that may fail.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Errorf(string, ...any) { r.failed = true }

func TestOnlyADifferenceFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file.golden")
	if err := os.WriteFile(file, []byte("as it should be\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for got, differs := range map[string]bool{"as it should be\n": false, "as it should be": true, "": true} {
		r := &recorder{TB: t}
		Check(r, file, []byte(got))
		if r.failed != differs {
			t.Errorf("%q: failed is %v", got, r.failed)
		}
	}
}

func TestOnlyADifferenceInTheSectionFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file.md")
	const text = "before\n<!-- list: begin -->\n- one\n<!-- list: end -->\nafter\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for got, differs := range map[string]bool{"- one\n": false, "- one": true, "": true, text: true} {
		r := &recorder{TB: t}
		CheckSection(r, file, "list", []byte(got))
		if r.failed != differs {
			t.Errorf("%q: failed is %v", got, r.failed)
		}
	}
}
