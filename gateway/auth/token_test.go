package auth

import (
	"net/url"
	"testing"
)

func TestTheTokenIsFoundInTheHeaderOrElseInTheQuery(t *testing.T) {
	for _, test := range []struct {
		query, authorization string
		want                 string // "": none
	}{
		{"", "", ""},
		{"access_token=q", "", "q"},
		{"access_token=q", "Bearer h", "h"},
		{"access_token=q", "bEARER   h", "h"},
		{"access_token=q", "Basic h", "q"},
		{"access_token=q", "Bearer", "q"},
		{"access_token=q", "Bearer ", "q"},
		{"access_token=q", "Bearerh", "q"},
		{"id=1&access_token=q&access_token=r", "", "q"},
		{"id=1&access_token", "", ""},
		{"access_token=", "", ""},
		{"Access_Token=q", "", ""},
		{"xaccess_token=q", "", ""},
		{"access_tokens=q", "", ""},
		{"access%5Ftoken=q", "", "q"},
		{"access_token=a%2Eb.c%3D", "", "a.b.c="},
		{"access_token=a%zz", "", "a%zz"},
		{"access_token=a=b", "", "a=b"},
		{"%zz=1&access_token=q", "", "q"},
	} {
		got, ok := TokenOf([]byte(test.query), []byte(test.authorization))
		if ok != (test.want != "") || ok && string(got) != test.want {
			t.Errorf("?%s, %q: %q, %v", test.query, test.authorization, got, ok)
		}
	}
}

func TestFindingATokenAllocatesNothing(t *testing.T) {
	query, authorization := []byte("id=1&access_token=abc.def.ghi"), []byte("Bearer abc.def.ghi")
	if n := testing.AllocsPerRun(100, func() {
		FromQuery(query)
		FromHeader(authorization)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What is found is what net/url finds.
func FuzzFromQuery(f *testing.F) {
	for _, seed := range []string{"access_token=a", "a=b&access%5Ftoken=%41+b", "access_token", "&&=&%", "access_token=a;b&x", "access_token=%zz&access_token=a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		before := query
		got, ok := FromQuery([]byte(query))
		values, err := url.ParseQuery(query)
		if err == nil && (string(got) != values.Get("access_token") || ok != (values.Get("access_token") != "")) {
			t.Errorf("%q: %q, %v", query, got, ok)
		}
		if query != before {
			t.Error("the query was changed")
		}
	})
}
