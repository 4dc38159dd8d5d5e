package config

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"sluice/gateway/golden"
)

// archived returns the content of a file of an archive, "" if it is not there.
func archived(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func badFiles(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	return names
}

func TestBadConfigurationsAreReportedWhole(t *testing.T) {
	for _, name := range badFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			environ := strings.Split(archived(a, "environ"), "\n")
			c, err := Parse("sluice.yaml", []byte(archived(a, "sluice.yaml")), environ)
			if err == nil {
				t.Fatal("accepted")
			}
			if c != nil {
				t.Error("a configuration was returned beside the error")
			}
			got := err.Error() + "\n"
			if strings.Contains(got, "hunter2") {
				t.Error("a secret is quoted")
			}
			a.Files = append(withoutWant(a.Files), txtar.File{Name: "want", Data: []byte(got)})
			golden.Check(t, name, txtar.Format(a))
		})
	}
}

func withoutWant(files []txtar.File) []txtar.File {
	var kept []txtar.File
	for _, f := range files {
		if f.Name != "want" {
			kept = append(kept, f)
		}
	}
	return kept
}

func TestTextThatYAMLForbidsIsReportedAtItsLine(t *testing.T) {
	for name, text := range map[string]string{
		"control":       "loops: 1\n# \x01\n",
		"delete":        "loops: 1\n# \x7f\n",
		"latin-1":       "loops: 1\n# \xe9\n",
		"truncated":     "loops: 1\n# \xe2\x82",
		"inner mark":    "loops: 1\n# \ufeff\n",
		"noncharacter":  "loops: 1\n# \uffff\n",
		"high controls": "loops: 1\n# \u0090\n",
	} {
		_, err := Parse("f.yaml", []byte(text), nil)
		if want := "f.yaml:2: not UTF-8 text without control characters"; err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	for name, text := range map[string]string{
		"byte order mark":       "\ufeffloops: 1\n",
		"carriage returns":      "loops: 1\r\n# ok\r\n",
		"other alphabets":       "# größer, 大, 😀\nloops: 1\n",
		"replacement character": "# \ufffd\nloops: 1\n",
	} {
		if c, err := Parse("f.yaml", []byte(text), nil); err != nil || c.Loops != 1 {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
}
