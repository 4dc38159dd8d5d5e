package gateway

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// Whoever searches the log for errors shall need one key only.
func TestErrorsHaveOneKeyInTheLog(t *testing.T) {
	methods := map[string]bool{"Debug": true, "Info": true, "Warn": true, "Error": true, "With": true, "Log": true}
	named := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			called, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !methods[strings.TrimSuffix(called.Sel.Name, "Context")] {
				return true
			}
			for _, arg := range call.Args {
				switch literal, ok := arg.(*ast.BasicLit); {
				case !ok:
				case literal.Value == `"err"`:
					named++
				case literal.Value == `"error"`:
					t.Errorf("%v: the key of errors is err", set.Position(literal.Pos()))
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if named < 5 {
		t.Errorf("%d errors in the log were found", named)
	}
}
