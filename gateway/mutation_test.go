package gateway

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var mutations = flag.Bool("mutations", os.Getenv("CI") == "true", "hold that the simulation finds every fault in testdata/mutations")

// Each patch in testdata/mutations plants a fault in the loops. The simulation
// must find it: if it does not, it looks at too little.
func TestSimulationFindsPlantedFaults(t *testing.T) {
	if !*mutations {
		t.Skip("builds the package once for each fault; -mutations runs it")
	}
	if raceEnabled {
		t.Skip("the faults are planted in a build of their own, without the detector")
	}
	patches, err := filepath.Glob("testdata/mutations/*.patch")
	if err != nil || len(patches) < 20 {
		t.Fatalf("%d patches, %v", len(patches), err)
	}
	for _, patch := range patches {
		name := strings.TrimSuffix(filepath.Base(patch), ".patch")
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command("go", "test", ".", "-run", "^TestSimulation$", "-seeds", "200", "-overlay", overlay(t, patch)).CombinedOutput()
			switch {
			case err == nil:
				t.Error("200 seeds have not found it")
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
	name := regexp.MustCompile(`(?m)^\+\+\+ b/gateway/(.+)$`).FindSubmatch(p)
	if name == nil {
		t.Fatalf("%s changes no file of this package", patch)
	}
	dir := t.TempDir()
	copied := filepath.Join(dir, "gateway", string(name[1]))
	source, err := os.ReadFile(string(name[1]))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Dir(copied), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, source, 0o644); err != nil {
		t.Fatal(err)
	}
	absolute, err := filepath.Abs(patch)
	if err != nil {
		t.Fatal(err)
	}
	apply := exec.Command("git", "apply", absolute)
	apply.Dir = dir
	if out, err := apply.CombinedOutput(); err != nil {
		t.Fatalf("%s does not fit any more: %s", patch, out)
	}
	original, err := filepath.Abs(string(name[1]))
	if err != nil {
		t.Fatal(err)
	}
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
