package upstream

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"
)

// The schedule's files have no goroutine, no lock, no channel, and neither clock
// nor randomness of their own: all that comes from the driver.
func TestScheduleHasNothingOfItsDriver(t *testing.T) {
	imports := []string{
		"container/heap", "math/rand/v2", "net/http", "time", "github.com/gobwas/ws",
		"sluice/gateway/config", "sluice/gateway/trace", "sluice/metrics", "sluice/session",
	}
	uses := map[string][]string{
		"time": {"Duration", "Millisecond", "Second"},
		"rand": {"Rand", "Source", "New"},
	}
	for _, name := range []string{"schedule.go", "succession.go", "queue.go", "breaker.go", "retry.go", "sparingly.go", "answer.go"} {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			if path, _ := strconv.Unquote(i.Path.Value); !slices.Contains(imports, path) {
				t.Errorf("%s imports %s", name, path)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt, *ast.ChanType, *ast.SendStmt, *ast.SelectStmt:
				t.Errorf("%v: a goroutine or a channel", set.Position(n.Pos()))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Obj == nil && uses[x.Name] != nil && !slices.Contains(uses[x.Name], n.Sel.Name) {
					t.Errorf("%v: %s.%s", set.Position(n.Pos()), x.Name, n.Sel.Name)
				}
			}
			return true
		})
	}
}
