package webhook

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"sluice/gateway/delivery"
	"sluice/gateway/upstream"
)

func TestConnectAnswersAreRead(t *testing.T) {
	offered := &upstream.Request{Subprotocols: []string{"v1", "v2"}}
	many := `["` + strings.TrimSuffix(strings.Repeat(`g","`, maxNames), `","`) + `"]`
	for body, want := range map[string]admission{
		``:                 {},
		`{}`:               {},
		" {\n}\n":          {},
		`{"userId":"ann"}`: {user: "ann"},
		"\ufeff" + `{"userId":"...","groups":["..a"]}`:                  {user: "...", groups: []string{"..a"}},
		`{"userId":null,"groups":null,"roles":null,"subprotocol":null}`: {},
		`{"userId":"","groups":[],"roles":[],"subprotocol":""}`:         {},
		`{"userId":"\u017dofie","groups":["a","b"],"roles":["r"],"subprotocol":"v2"}`: {
			user: "Žofie", groups: []string{"a", "b"}, roles: []string{"r"}, subprotocol: "v2"},
		`{"UserId":"x","userid":"y","other":{"userId":["z"]},"mqtt":[1,{}]}`: {},
		`{"other":1,"other":2}`:                                   {},
		`{"groups":` + many + `}`:                                 {groups: strings.Split(strings.Repeat("g,", maxNames-1)+"g", ",")},
		`{"userId":"` + strings.Repeat("x", maxNameLength) + `"}`: {user: strings.Repeat("x", maxNameLength)},
	} {
		got, err := readVerdict([]byte(body), offered)
		if err != nil || !reflect.DeepEqual(got, want.verdict()) {
			t.Errorf("%.100s: got %.200v, %v", body, got, err)
		}
	}
}

func TestBadConnectAnswersAreRefused(t *testing.T) {
	offered := &upstream.Request{Subprotocols: []string{"v1"}}
	for body, want := range map[string]string{
		`OK`:                               "not a JSON object",
		"\ufeff\ufeff{}":                   "not a JSON object",
		`{"userId":".."}`:                  "userId is . or ..",
		`{"userId":"."}`:                   "userId is . or ..",
		`{"groups":["a",".."]}`:            `".." is . or ..`,
		`null`:                             "not a JSON object",
		`[]`:                               "not a JSON object",
		`"x"`:                              "not a JSON object",
		` `:                                "not a JSON object",
		`{`:                                "not JSON",
		`{"x"`:                             "not JSON",
		`{"x":`:                            "not JSON",
		`{"x":1,}`:                         "not JSON",
		`{1:2}`:                            "not JSON",
		`{"userId":"a"} x`:                 "behind",
		`{}{}`:                             "behind",
		"{\"userId\":\"\xff\"}":            "UTF-8",
		`{"userId":1}`:                     "userId is not a string",
		`{"userId":["a"]}`:                 "userId is not a string",
		`{"userId":"a","userId":"b"}`:      "userId is there twice",
		`{"userId":"a","userI\u0064":"b"}`: "userId is there twice",
		`{"groups":"a"}`:                   "groups is not a list",
		`{"groups":[1]}`:                   "groups is not a list",
		`{"groups":[null]}`:                "empty name",
		`{"groups":[""]}`:                  "empty name",
		`{"roles":{"a":1}}`:                "roles is not a list",
		`{"subprotocol":"v3"}`:             "does not offer",
		`{"groups":["` + strings.Repeat("x", maxNameLength+1) + `"]}`:                              "more than 1024",
		`{"userId":"` + strings.Repeat("x", maxNameLength+1) + `"}`:                                "more than 1024",
		`{"roles":["` + strings.Repeat(`g","`, maxNames) + `g"]}`:                                  "more than 1000",
		`{"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `,"userId":"ann"}`: "not JSON",
	} {
		if v, err := readVerdict([]byte(body), offered); err == nil || !strings.Contains(err.Error(), want) || v != nil {
			t.Errorf("%.80s: got %v, %v, want an error with %q", body, v, err, want)
		}
	}
}

// What is accepted is JSON that says the same to a parser of the library.
func FuzzConnectAnswer(f *testing.F) {
	for _, s := range []string{
		``, `{}`, `{"userId":"a","groups":["b"],"roles":["c"],"subprotocol":"v1"}`, `{"userId":null}`, `{"userId":"a","userId":"b"}`,
		`{"groups":[null]}`, `{"x":{"userId":1}}`, `{} {}`, `[`, "{\"userId\":\"\xff\"}", `{"USERID":"a"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		v := new(admission)
		if err := parseAdmission(body, v); err != nil {
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(bytes.TrimPrefix(body, byteOrderMark), &members); err != nil || !utf8.Valid(body) {
			t.Fatalf("%q is accepted: %v", body, err)
		}
		for name, got := range map[string]any{"userId": &v.user, "subprotocol": &v.subprotocol, "groups": &v.groups, "roles": &v.roles} {
			want := reflect.New(reflect.TypeOf(got).Elem())
			if raw, ok := members[name]; ok {
				if err := json.Unmarshal(raw, want.Interface()); err != nil {
					t.Fatalf("%q: %s: %v", body, name, err)
				}
			}
			a, b := reflect.ValueOf(got).Elem(), want.Elem()
			if a.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0 {
				continue
			}
			if !reflect.DeepEqual(a.Interface(), b.Interface()) {
				t.Errorf("%q: %s is %v, want %v", body, name, a, b)
			}
		}
	})
}

func TestConnectAnswersGiveRolesAndGroups(t *testing.T) {
	v, err := readVerdict([]byte(`{"userId":"ann","groups":["a","b"],"roles":["r"]}`), nil)
	want := &upstream.Verdict{User: "ann", Given: []delivery.Action{
		delivery.Assume{Roles: []string{"r"}},
		delivery.Join{Groups: []string{"a", "b"}},
	}}
	if err != nil || !reflect.DeepEqual(v, want) {
		t.Errorf("got %+v, %v", v, err)
	}
}
