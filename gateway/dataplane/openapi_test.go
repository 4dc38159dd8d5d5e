package dataplane

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// document is what the tests look at in an OpenAPI document.
type document struct {
	OpenAPI    string
	Paths      map[string]map[string]json.RawMessage
	Components map[string]map[string]json.RawMessage
}

type operation struct {
	OperationID string
	Parameters  []reference
	RequestBody json.RawMessage
	Responses   map[string]json.RawMessage
}

type reference struct {
	Ref string `json:"$ref"`
}

type parameter struct{ Name, In string }

func served(t *testing.T) document {
	t.Helper()
	w := httptest.NewRecorder() // without a key: it is for everybody
	newHandler(newNode()).ServeHTTP(w, httptest.NewRequest("GET", "/api/openapi.json", nil))
	var d document
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v %v", w.Code, w.Header(), err)
	}
	return d
}

// described returns one line for each operation in the document: method, path,
// query parameters and statuses.
func described(t *testing.T, d document) (lines []string) {
	t.Helper()
	resolve := func(refs []reference) (inPath, inQuery []string) {
		for _, r := range refs {
			var p parameter
			name := strings.TrimPrefix(r.Ref, "#/components/parameters/")
			if err := json.Unmarshal(d.Components["parameters"][name], &p); err != nil {
				t.Fatalf("parameter %s: %v", r.Ref, err)
			}
			switch p.In {
			case "path":
				inPath = append(inPath, p.Name)
			case "query":
				inQuery = append(inQuery, p.Name)
			}
		}
		return inPath, inQuery
	}
	for path, item := range d.Paths {
		var shared []reference
		if err := json.Unmarshal(item["parameters"], &shared); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		variables, version := resolve(shared)
		var want []string
		for part := range strings.SplitSeq(path, "/") {
			if name := variable(part); name != "" {
				want = append(want, name)
			}
		}
		if !slices.Equal(variables, want) || !slices.Equal(version, []string{"api-version"}) {
			t.Errorf("%s has the parameters %v and %v", path, variables, version)
		}
		for method, raw := range item {
			if method == "parameters" {
				continue
			}
			var op operation
			if err := json.Unmarshal(raw, &op); err != nil {
				t.Fatalf("%s %s: %v", method, path, err)
			}
			_, query := resolve(op.Parameters)
			lines = append(lines, line(method, path, query, slices.Collect(maps.Keys(op.Responses))))
		}
	}
	return lines
}

func line(method, path string, query, statuses []string) string {
	query, statuses = slices.Sorted(slices.Values(query)), slices.Sorted(slices.Values(statuses))
	return fmt.Sprint(strings.ToUpper(method), " ", path, " ", query, " ", statuses)
}

func TestTheOpenAPIDocumentSaysWhatTheRoutesSay(t *testing.T) {
	d := served(t)
	if d.OpenAPI != "3.1.0" {
		t.Errorf("it is of version %q", d.OpenAPI)
	}
	var want []string
	for _, r := range routes() {
		statuses := []string{"401", "429", "default"} // of every route
		for _, s := range r.statuses {
			statuses = append(statuses, strconv.Itoa(s))
		}
		want = append(want, line(r.method, r.path, r.query, statuses))
	}
	got := described(t, d)
	for _, l := range got {
		if !slices.Contains(want, l) {
			t.Errorf("no route does what the document says: %s", l)
		}
	}
	for _, l := range want {
		if !slices.Contains(got, l) {
			t.Errorf("the document does not say: %s", l)
		}
	}
	if len(got) != len(want) {
		t.Errorf("the document has %d operations, the table %d", len(got), len(want))
	}
}

func TestEveryReferenceInTheOpenAPIDocumentLeadsSomewhereAndEveryComponentIsUsed(t *testing.T) {
	d := served(t)
	var all any
	if err := json.Unmarshal(openAPI, &all); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				used[ref] = true
				part := strings.Split(ref, "/")
				if len(part) != 4 || d.Components[part[2]][part[3]] == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(all)
	for kind, components := range d.Components {
		for name := range components {
			if ref := "#/components/" + kind + "/" + name; !used[ref] && kind != "securitySchemes" {
				t.Errorf("%s is not used", ref)
			}
		}
	}
}

func TestOperationsOfTheOpenAPIDocumentHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]string{}
	for path, item := range served(t).Paths {
		for method, raw := range item {
			if method == "parameters" {
				continue
			}
			var op operation
			if err := json.Unmarshal(raw, &op); err != nil {
				t.Fatal(err)
			}
			here := method + " " + path
			if op.OperationID == "" || seen[op.OperationID] != "" {
				t.Errorf("%s is called %q, as is %s", here, op.OperationID, seen[op.OperationID])
			}
			seen[op.OperationID] = here
			if wants := strings.HasSuffix(path, ":send") || strings.HasSuffix(path, "ToGroups") || strings.HasSuffix(path, "FromGroups"); wants != (op.RequestBody != nil) {
				t.Errorf("%s: whether there is a body is wrong", here)
			}
		}
	}
}
