package gateway

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// calls is who calls whom in the two packages, by the names of the functions.
type calls struct {
	files map[string]map[string]bool // what each declares
	made  map[[2]string]bool
	up    []string
}

// ARCHITECTURE.md lists the files of this package and of the engine in an order in
// which calls run downwards, names those that do not, and draws ways through them.
func TestCallsRunDownwards(t *testing.T) {
	text, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	exports := exported(t)
	c := &calls{files: make(map[string]map[string]bool), made: make(map[[2]string]bool)}
	for _, dir := range []string{".", "engine"} {
		heading := "\n`" + path.Join("gateway", dir) + "/`:\n"
		_, list, ok := strings.Cut(doc, heading)
		if !ok {
			t.Fatalf("no list after %q", heading)
		}
		c.read(t, dir, regexp.MustCompile(`\b\w+\.go\b`).FindAllString(strings.Split(list, "```")[1], -1), exports)
	}
	_, section, _ := strings.Cut(doc, "\n## Calls that run back up\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var named []string
	for _, m := range regexp.MustCompile("(?m)^- `(\\w+)` → `(\\w+)`").FindAllStringSubmatch(section, -1) {
		named = append(named, m[1]+" → "+m[2])
	}
	slices.Sort(named)
	slices.Sort(c.up)
	if up := slices.Compact(c.up); !slices.Equal(up, named) {
		t.Errorf("calls that run back up: %q, ARCHITECTURE.md names %q", up, named)
	}
	c.follow(t, doc)
}

// follow holds that the ways in doc are in the code.
func (c *calls) follow(t *testing.T, doc string) {
	steps := 0
	from := ""
	for _, m := range regexp.MustCompile(`(?m)^(\S+\.go)  +((?:[→⇢] )?\w+(?: [→⇢] \w+)*)$`).FindAllStringSubmatch(doc, -1) {
		arrow := ""
		for _, word := range strings.Fields(m[2]) {
			if word == "→" || word == "⇢" {
				arrow = word
				continue
			}
			if !c.files[m[1]][word] {
				t.Errorf("%s has no %s", m[1], word)
			}
			if arrow == "→" && !c.made[[2]string{from, word}] {
				t.Errorf("%s does not call %s", from, word)
			}
			from = word
			steps++
		}
	}
	if steps < 50 {
		t.Errorf("the ways have %d steps", steps)
	}
}

// exported returns where the compiler has left what the packages export that the
// two import.
func exported(t *testing.T) map[string]string {
	out, err := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Export", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	exports := make(map[string]string)
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct{ ImportPath, Export string }
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return exports
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
	}
}

// read finds the calls in the package in dir, whose files stand in that order.
func (c *calls) read(t *testing.T, dir string, order []string, exports map[string]string) {
	set := token.NewFileSet()
	var files []*ast.File
	sources, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		if !slices.Contains(order, filepath.Base(source)) {
			t.Errorf("ARCHITECTURE.md does not list %s", source)
		}
		f, err := parser.ParseFile(set, source, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
	config := types.Config{Importer: importer.ForCompiler(set, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })}
	if len(files) != len(order) {
		t.Errorf("ARCHITECTURE.md lists %d files in %s, there are %d", len(order), dir, len(files))
	}
	pkg, err := config.Check("sluice/gateway/"+dir, set, files, info)
	if err != nil {
		t.Fatal(err)
	}
	fileOf := func(p token.Pos) string { return filepath.Base(set.Position(p).Filename) }
	for _, f := range files {
		here := fileOf(f.Pos())
		declared := make(map[string]bool)
		c.files[path.Join(dir, here)] = declared
		for _, d := range f.Decls {
			caller := ""
			if fn, ok := d.(*ast.FuncDecl); ok {
				caller = fn.Name.Name
				declared[caller] = true
			}
			ast.Inspect(d, func(n ast.Node) bool {
				id, _ := n.(*ast.Ident)
				callee, ok := info.Uses[id].(*types.Func)
				if !ok {
					return true
				}
				c.made[[2]string{caller, callee.Name()}] = true
				if callee.Pkg() == pkg && slices.Index(order, here) > slices.Index(order, fileOf(callee.Pos())) {
					c.up = append(c.up, caller+" → "+callee.Name())
				}
				return true
			})
		}
	}
}
