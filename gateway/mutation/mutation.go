// Package mutation plants faults that a package's simulation must find: if it
// does not, it looks at too little. Each is a patch of one file, and stands in
// testdata/mutations.
package mutation

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sluice/gateway/gatewaytest"
)

var wanted = flag.Bool("mutations", false, "hold that the simulation finds every fault in testdata/mutations")

// Find fails unless TestSimulation of the package under test finds each of its
// faults, which are at least so many, within a number of seeds. With the race
// detector, and unless -mutations is given, it only looks whether
// the patches still fit.
func Find(t *testing.T, least, seeds int) {
	t.Helper()
	patches, err := filepath.Glob("testdata/mutations/*.patch")
	if err != nil || len(patches) < least {
		t.Fatalf("%d patches, %v", len(patches), err)
	}
	overlays := make(map[string]string)
	for _, patch := range patches {
		overlays[patch] = overlay(t, patch)
	}
	switch {
	case t.Failed():
		return
	case !*wanted:
		t.Skip("builds the package once for each fault; -mutations runs it")
	case gatewaytest.Race:
		t.Skip("the faults are planted in a build of their own, without the detector")
	}
	for _, patch := range patches {
		name := strings.TrimSuffix(filepath.Base(patch), ".patch")
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command("go", "test", ".", "-run", "^TestSimulation$", "-seeds", fmt.Sprint(seeds), "-vet=off", "-ldflags=-s -w", "-overlay", overlays[patch]).CombinedOutput()
			switch {
			case err == nil:
				t.Errorf("%d seeds have not found it", seeds)
			case !strings.Contains(string(out), "repeat it with") && !strings.Contains(string(out), "panic"):
				t.Errorf("the simulation was not what failed: %s", out)
			default:
				t.Log(regexp.MustCompile(`seed \d+, .*`).FindString(string(out)))
			}
		})
	}
}

// overlay applies a patch to a copy of the file that it names, and returns what
// tells the go command of it.
func overlay(t *testing.T, patch string) string {
	t.Helper()
	p, err := os.ReadFile(patch)
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`(?m)^\+\+\+ b/(.+)$`).FindSubmatch(p)
	if name == nil {
		t.Fatalf("%s names no file", patch)
	}
	original := filepath.Join(root(t), string(name[1]))
	source, err := os.ReadFile(original)
	if err != nil {
		t.Errorf("%s: %v", patch, err)
		return ""
	}
	dir := t.TempDir()
	copied := filepath.Join(dir, string(name[1]))
	if err := os.MkdirAll(filepath.Dir(copied), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, source, 0o644); err != nil {
		t.Fatal(err)
	}
	apply(t, patch, dir)
	b, err := json.Marshal(map[string]any{"Replace": map[string]string{original: copied}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func apply(t *testing.T, patch, dir string) {
	t.Helper()
	absolute, err := filepath.Abs(patch)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("git", "apply", absolute)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s does not fit any more: %s", patch, out)
	}
}

// root is the folder of the module.
func root(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
