package checks

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// stages parses the Dockerfile. Warnings are those of BuildKit's own checks.
func stages(t *testing.T) (list []instructions.Stage, warnings []string) {
	t.Helper()
	file, err := os.Open("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	parsed, err := parser.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range parsed.Warnings {
		warnings = append(warnings, w.Short)
	}
	lint := linter.New(&linter.Config{
		Warn: func(rule, _, _, text string, _ []parser.Range) {
			warnings = append(warnings, rule+": "+text)
		},
	})
	list, _, err = instructions.Parse(parsed.AST, lint)
	if err != nil {
		t.Fatal(err)
	}
	return list, warnings
}

func TestBuildKitHasNothingToSayAboutTheDockerfile(t *testing.T) {
	list, warnings := stages(t)
	if len(warnings) > 0 {
		t.Error(strings.Join(warnings, "\n"))
	}
	if len(list) < 2 {
		t.Errorf("%d stages: the compiler is in the image", len(list))
	}
}

func TestEveryImageHasATagThatDoesNotMove(t *testing.T) {
	list, _ := stages(t)
	for _, s := range list {
		if _, tag, ok := strings.Cut(s.BaseName, ":"); !ok || tag == "latest" || tag == "" {
			t.Errorf("FROM %s", s.BaseName)
		}
	}
}

// The image has no shell and no root, and starts the program itself, which gets
// the signals.
func TestTheImageHasNothingButTheProgram(t *testing.T) {
	list, _ := stages(t)
	final := list[len(list)-1]
	if !strings.HasPrefix(final.BaseName, "gcr.io/distroless/static") || !strings.HasSuffix(final.BaseName, ":nonroot") {
		t.Errorf("FROM %s", final.BaseName)
	}
	var user, entry []string
	for _, c := range final.Commands {
		switch c := c.(type) {
		case *instructions.UserCommand:
			user = append(user, c.User)
		case *instructions.EntrypointCommand:
			if c.PrependShell {
				t.Error("ENTRYPOINT in shell form, but there is no shell")
			}
			entry = c.CmdLine
		case *instructions.CopyCommand:
			if c.From == "" && !slices.Equal(c.SourcePaths, []string{"LICENSE"}) {
				t.Errorf("%s comes from the sources", c.SourcePaths)
			}
		case *instructions.RunCommand, *instructions.AddCommand:
			t.Error(fmt.Sprint(c))
		}
	}
	if !slices.Equal(user, []string{"nonroot:nonroot"}) || !slices.Equal(entry, []string{"/sluice"}) {
		t.Errorf("user %q, entry point %q", user, entry)
	}
}

func TestTheProgramIsStatic(t *testing.T) {
	list, _ := stages(t)
	for _, c := range list[0].Commands {
		if run, ok := c.(*instructions.RunCommand); ok && strings.Contains(strings.Join(run.CmdLine, " "), "go build") {
			if line := strings.Join(run.CmdLine, " "); !strings.Contains(line, "CGO_ENABLED=0 ") || !strings.Contains(line, " -trimpath ") {
				t.Error(line)
			}
			return
		}
	}
	t.Error("nothing is built")
}
