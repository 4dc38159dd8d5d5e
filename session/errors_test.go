package session

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

func TestKindsNamesEveryErrorOnce(t *testing.T) {
	kinds := Kinds()
	label := regexp.MustCompile(`^[a-z0-9]+(_[a-z0-9]+)*$`)
	for i, kind := range kinds {
		if !label.MatchString(kind) {
			t.Errorf("%q is no metric label", kind)
		}
		if slices.Contains(kinds[:i], kind) {
			t.Errorf("%q is there twice", kind)
		}
	}

	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := 0
	for _, decl := range file.Decls {
		decl, ok := decl.(*ast.GenDecl)
		if !ok || decl.Tok != token.VAR {
			continue
		}
		for _, spec := range decl.Specs {
			for _, name := range spec.(*ast.ValueSpec).Names {
				if strings.HasPrefix(name.Name, "Err") {
					declared++
				}
			}
		}
	}
	if len(kinds) != declared {
		t.Errorf("%d kinds for %d errors", len(kinds), declared)
	}
}

func TestErrorsHaveCodesThatMayBeSent(t *testing.T) {
	for _, test := range []struct {
		err  *Error
		code ws.StatusCode
	}{
		{ErrMask, 1002}, {ErrRSV, 1002}, {ErrOpCode, 1002}, {ErrLengthNotMinimal, 1002},
		{ErrLengthTooLarge, 1002}, {ErrContinuation, 1002}, {ErrInterleaved, 1002},
		{ErrControlFragmented, 1002}, {ErrControlTooLong, 1002}, {ErrCloseCode, 1002},
		{ErrClosePayload, 1002}, {ErrUTF8, 1007}, {ErrCloseUTF8, 1007}, {ErrInflate, 1007},
		{ErrFragments, 1008}, {ErrMessageTooBig, 1009}, {ErrBudget, 1013},
	} {
		if test.err.Code != test.code || !sendable(test.err.Code) || test.err.Error() == "" {
			t.Errorf("%s: code %d, text %q; want code %d", test.err.Kind, test.err.Code, test.err, test.code)
		}
	}
}
