package config

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sluice/gateway/golden"
)

const readme = "../../README.md"

// What the README says of the configuration is what the code does.
func TestReadmeIsTrue(t *testing.T) {
	golden.CheckSection(t, readme, "reference", []byte(Reference()))
	b, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	var examples []*Config
	for _, block := range strings.Split(text, "```yaml\n")[1:] {
		yaml, _, _ := strings.Cut(block, "```")
		c, err := Parse("README.md", []byte(yaml), nil)
		if err != nil {
			t.Fatalf("%v in\n%s", err, yaml)
		}
		examples = append(examples, c)
	}
	backend, err := Load("../../deploy/example/sluice.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]*Config{"the default": Default(), "that of the example backend": backend} {
		if !slices.ContainsFunc(examples, func(c *Config) bool { return reflect.DeepEqual(c, want) }) {
			t.Errorf("no configuration in the README is %s", what)
		}
	}
}
