package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"sluice/gateway/auth"
	"sluice/gateway/config"
	"sluice/gateway/dataplane"
	"sluice/gateway/dataplane/dataplanetest"
)

// Keys of the gateway in the tests.
const (
	accessKey = "an-access-key-for-tests"
	hubKey    = "the-key-of-the-hub-chat"
	apiKey    = "an-API-key-for-testing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs the data plane over n as the gateway does, and returns its URL. It
// notes in media the Content-Type with which a body has come.
func serve(t testing.TB, n *dataplanetest.Node, media *sync.Map) string {
	t.Helper()
	guard := auth.NewDataPlane(func(hub string) *auth.Keys {
		if hub == "chat" {
			return auth.NewKeys([]string{hubKey})
		}
		return auth.NewKeys([]string{accessKey})
	}, []string{apiKey}, "")
	handler := dataplane.Handler(dataplane.Options{
		Node:      n,
		Hubs:      func(name string) bool { return name == "default" || name == "chat" },
		Authorize: guard.Check,
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		media.Store(string(body), r.Header.Get("Content-Type"))
		r.Body = io.NopCloser(bytes.NewReader(body))
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			n := new(dataplanetest.Node)
			n.Open("default", "c1", "ann", "red")
			n.Open("default", "c2", "ann", "blue", "a/b")
			n.Open("default", "c3", "o'hara")
			n.Open("default", "c4", "", "red", "..")
			n.Open("chat", "c5", "")
			e.Values["node"] = n
			media := new(sync.Map)
			e.Values["media"] = media
			url := serve(e.T().(testing.TB), n, media)
			e.Setenv("URL", url)
			e.Setenv("SLUICE_LISTEN", strings.TrimPrefix(url, "http://"))
			e.Setenv("SLUICE_KEYS", accessKey)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// sluice [misuse] ARGS calls Run; misuse says that it has to fail for
			// what was asked.
			"sluice": invoke,
			// inbox ID [MESSAGE] checks that this is the only message of a
			// session, or that there is none: its opcode, the Content-Type of the
			// request, its TTL and its data.
			"inbox": func(ts *testscript.TestScript, _ bool, args []string) {
				var got []string
				for _, m := range ts.Value("node").(*dataplanetest.Node).Messages(args[0]) {
					media, _ := ts.Value("media").(*sync.Map).Load(string(m.Data))
					got = append(got, fmt.Sprintf("%d %v %v %q", m.Op, media, m.TTL, m.Data))
				}
				if !slices.Equal(got, args[1:]) {
					ts.Fatalf("%s was sent %q", args[0], got)
				}
			},
			// present ID... checks which sessions are not closed.
			"present": func(ts *testscript.TestScript, _ bool, args []string) {
				if got := ts.Value("node").(*dataplanetest.Node).Present(); !slices.Equal(got, args) {
					ts.Fatalf("present are %q", got)
				}
			},
			// pending makes the node say that two loops have not answered.
			"pending": func(ts *testscript.TestScript, _ bool, _ []string) {
				ts.Value("node").(*dataplanetest.Node).SetPending(2)
			},
		},
	})
}

// invoke calls Run as the sluice command does. It does not start a process: that
// would take most of the time of the test. Standard input is the file "input" of
// the script.
func invoke(ts *testscript.TestScript, fails bool, args []string) {
	misuse := args[0] == "misuse"
	if misuse {
		args = args[1:]
	}
	var environ []string
	for _, name := range []string{"SLUICE_LISTEN", "SLUICE_KEYS", "SLUICE_API_KEYS"} {
		if value := ts.Getenv(name); value != "" {
			environ = append(environ, name+"="+value)
		}
	}
	input, err := os.ReadFile(ts.MkAbs("input"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		ts.Fatalf("%v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err = Run(ctx, args, bytes.NewReader(input), ts.Stdout(), ts.Stderr(), environ)
	if err != nil {
		fmt.Fprintln(ts.Stderr(), "sluice:", err)
	}
	if (err != nil) != fails || errors.Is(err, ErrUsage) != misuse {
		ts.Fatalf("the error is %v", err)
	}
}

// run calls Run and returns what it has printed.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var stdout bytes.Buffer
	err := Run(ctx, args, strings.NewReader(""), &stdout, new(bytes.Buffer), nil)
	if ctx.Err() != nil {
		t.Fatalf("%q did not end by itself", args)
	}
	return stdout.String(), err
}

func TestEverySessionOfAListOfManyPagesIsWrittenOnce(t *testing.T) {
	n := new(dataplanetest.Node)
	var want strings.Builder
	for i := range 950 {
		n.Open("default", fmt.Sprint("c", i), "")
		fmt.Fprintln(&want, fmt.Sprint("c", i))
	}
	server := httptest.NewServer(dataplane.Handler(dataplane.Options{
		Node:      n,
		Hubs:      func(string) bool { return true },
		Authorize: auth.NewDataPlane(func(string) *auth.Keys { return auth.NewKeys([]string{accessKey}) }, nil, "").Check,
		Endpoint:  func() string { return "https://elsewhere.example" }, // not to be followed there
	}))
	defer server.Close()
	got, err := run(t, "connections", "-url", server.URL, "-key", accessKey)
	if err != nil || got != want.String() {
		t.Errorf("%v, %d lines", err, strings.Count(got, "\n"))
	}
}

func TestAGatewayIsReachedWhereItListens(t *testing.T) {
	cases := []struct{ listen, endpoint, want string }{
		{"127.0.0.1:8080", "", "http://127.0.0.1:8080"},
		{"localhost:80", "", "http://localhost:80"},
		{":8080", "", "http://127.0.0.1:8080"},
		{"0.0.0.0:8080", "", "http://127.0.0.1:8080"},
		{"[::]:8080", "", "http://[::1]:8080"},
		{":8080", "https://ws.example.com", "https://ws.example.com"},
	}
	for _, c := range cases {
		got, err := endpoint(&config.Config{Listen: c.listen, Endpoint: c.endpoint})
		if err != nil || got.String() != c.want {
			t.Errorf("%q, %q: %v, %v", c.listen, c.endpoint, got, err)
		}
	}
}

func TestATokenForAClientIsAcceptedByTheHub(t *testing.T) {
	clients, err := auth.NewClients(auth.ClientsOptions{Hub: "chat", Keys: auth.NewKeys([]string{accessKey})})
	if err != nil {
		t.Fatal(err)
	}
	defer clients.Close()
	url, err := run(t, "token", "-url", "https://ws.example.com/", "-key", accessKey, "-hub", "chat", "-user", "ann",
		"-role", "webpubsub.sendToGroup", "-role", "webpubsub.joinLeaveGroup.red", "-group", "red", "-expires", "5m")
	if err != nil {
		t.Fatal(err)
	}
	token, ok := strings.CutPrefix(strings.TrimSpace(url), "wss://ws.example.com/client/hubs/chat?access_token=")
	if !ok {
		t.Fatalf("got %s", url)
	}
	c, err := clients.Verify(token, "ws.example.com", time.Now().Add(4*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if c.User != "ann" || !slices.Equal(c.Groups, []string{"red"}) || len(c.Roles) != 2 {
		t.Errorf("the token says %+v", c)
	}
	if _, err := clients.Verify(token, "ws.example.com", time.Now().Add(7*time.Minute)); err == nil {
		t.Error("the token does not expire")
	}
}

func TestATokenForARequestOpensTheDataPlane(t *testing.T) {
	n := new(dataplanetest.Node)
	url := serve(t, n, new(sync.Map)) + "/api/hubs/default/:send?filter=userId+eq+null"
	token, err := run(t, "token", "-key", accessKey, "-api", url)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader("hi"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
	r.Header.Set("Content-Type", "text/plain")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		t.Errorf("answered %s", answer.Status)
	}
}

func TestAnAnswerThatIsNotOfAGatewayIsAnErrorThatCannotHarmTheTerminal(t *testing.T) {
	cases := []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://evil.example/", http.StatusFound)
		}, "302 Found"},
		{"no list", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("hello")) }, "is no list"},
		{"a bad link", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"nextLink":"http://[::1"}`)) }, "has no link"},
		{"a bell", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			w.Write([]byte("\a\x1b[2J\u009b text"))
		}, "418 I'm a teapot: \uFFFD\uFFFD[2J\uFFFD text"},
	}
	for _, c := range cases {
		server := httptest.NewServer(c.answer)
		_, err := run(t, "connections", "-url", server.URL, "-key", accessKey)
		server.Close()
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrUsage) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

func TestAGatewayThatDoesNotAnswerIsGivenUp(t *testing.T) {
	stop := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop }))
	defer server.Close()
	defer close(stop)
	_, err := run(t, "close", "-all", "-timeout", "50ms", "-url", server.URL, "-key", accessKey)
	if err == nil || !strings.Contains(err.Error(), "not done within 50ms") {
		t.Errorf("got %v", err)
	}
}
