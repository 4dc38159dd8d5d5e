package e2e_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/gateway/gatewaytest"

	"github.com/coder/websocket"
)

const (
	examples         = root + "/deploy/example"
	exampleAccessKey = "example-access-key-0000"
	exampleAPIKey    = "example-api-key-0000000"
)

// TestTheExampleBackendsAreAChat runs what the README shows, but for the ports.
func TestTheExampleBackendsAreAChat(t *testing.T) {
	backends := map[string]func(*testing.T) *exec.Cmd{
		"node": func(t *testing.T) *exec.Cmd {
			folder := t.TempDir() // the packages of an ES module are beside it
			copyFile(t, examples+"/node/server.mjs", folder+"/server.mjs")
			if err := os.Symlink(modules(t), folder+"/node_modules"); err != nil {
				t.Fatal(err)
			}
			return exec.Command(gatewaytest.Program(t, "node"), folder+"/server.mjs")
		},
		"go": func(t *testing.T) *exec.Cmd {
			binary := filepath.Join(t.TempDir(), "chat")
			if output, err := exec.Command("go", "build", "-o", binary, examples+"/go/main.go").CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
			return exec.Command(binary)
		},
	}
	for name, command := range backends {
		t.Run(name, func(t *testing.T) { expectChat(t, command(t)) })
	}
}

// expectChat starts the gateway with the example's file, and the backend.
func expectChat(t *testing.T, backend *exec.Cmd) {
	t.Helper()
	file, err := os.ReadFile(examples + "/sluice.yaml")
	if err != nil {
		t.Fatal(err)
	}
	g := gatewaytest.Launch(t, string(file))
	backend.Env = append(os.Environ(), "PORT=0", "ENDPOINT=http://"+g.Address, "ACCESS_KEY="+exampleAccessKey, "API_KEY="+exampleAPIKey)
	listening := gatewaytest.Spawn(t, backend).Log.Find(t, "listening", func(e gatewaytest.Entry) bool { return strings.HasPrefix(e.Text("msg"), "listening on ") })
	port := strings.TrimPrefix(listening.Text("msg"), "listening on ")
	moved := strings.Replace(string(file), ":3000/", ":"+port+"/", 1)
	if moved == string(file) {
		t.Fatalf("the file names no port 3000:\n%s", file)
	}
	g.Configure(t, moved)
	g.Signal(t, syscall.SIGHUP)
	g.Log.Await(t, "configuration reloaded")

	wantUnsignedRefused(t, "http://127.0.0.1:"+port+"/events")
	if _, response, err := websocket.Dial(t.Context(), "ws://"+g.Address+"/client/hubs/chat", nil); err == nil || response == nil || response.StatusCode != http.StatusUnauthorized {
		t.Errorf("a client without a name got %v, %v; want 401", response, err)
	}
	ann, annHears := terminal(t, g, "ann")
	_, bobHears := terminal(t, g, "bob")
	hear := func(text string, logs ...*gatewaytest.Journal) {
		t.Helper()
		for _, log := range logs {
			log.Await(t, text)
		}
	}
	fmt.Fprintln(ann, "hello, bob")
	hear("ann: hello, bob", annHears, bobHears)

	curl(t, g, "/api/hubs/chat/:send", "to all")
	hear("to all", annHears, bobHears)
	curl(t, g, "/api/hubs/chat/groups/lobby/:send", "to the lobby")
	hear("to the lobby", annHears, bobHears)
	curl(t, g, "/api/hubs/chat/users/bob/:send", "to bob")
	hear("to bob", bobHears)
	curl(t, g, "/api/hubs/chat/users/ann/:send", "to ann")
	hear("to ann", annHears)
	if strings.Contains(annHears.String(), "to bob") {
		t.Error("what was for bob reached ann")
	}
}

// wantUnsignedRefused sends the backend a message that is not signed, one that
// is signed with another key, one that was changed, and one that is old.
func wantUnsignedRefused(t *testing.T, url string) {
	t.Helper()
	const body = "I am ann"
	sign := func(key, body string, at time.Time) string {
		mac := hmac.New(sha256.New, []byte(key))
		fmt.Fprintf(mac, "1.%d.%s", at.Unix(), body)
		return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	now, old := time.Now(), time.Now().Add(-time.Hour)
	for what, c := range map[string]struct {
		at        time.Time
		signature string
	}{
		"unsigned":    {now, ""},
		"another key": {now, sign("another-key-0000", body, now)},
		"changed":     {now, sign(exampleAccessKey, "I am bob", now)},
		"old":         {old, sign(exampleAccessKey, body, old)},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{
			"ce-type": "azure.webpubsub.user.message", "ce-specversion": "1.0", "ce-source": "/hubs/chat/client/1", "ce-id": "1",
			"ce-hub": "chat", "ce-eventName": "message", "ce-connectionId": "1", "ce-userId": "ann", "Content-Type": "text/plain",
			"WebHook-Request-Origin": "example.com", "webhook-id": "1", "webhook-timestamp": fmt.Sprint(c.at.Unix()), "webhook-signature": c.signature,
		} {
			request.Header.Set(name, value)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %s, want 401", what, response.Status)
		}
	}
}

// terminal runs sluice dial: what is typed, and what is shown.
func terminal(t *testing.T, g *gatewaytest.Command, id string) (io.Writer, *gatewaytest.Journal) {
	t.Helper()
	cmd := exec.Command("sluice", "dial", "-v", "ws://"+g.Address+"/client/hubs/chat?id="+id)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	log := gatewaytest.Spawn(t, cmd).Log
	log.Find(t, "connected", func(e gatewaytest.Entry) bool { return strings.HasPrefix(e.Text("msg"), "connected to ") })
	return stdin, log
}

// curl sends a text with the command of that name.
func curl(t *testing.T, g *gatewaytest.Command, path, text string) {
	t.Helper()
	cmd := exec.Command(gatewaytest.Program(t, "curl"), "-sS", "-i", "http://"+g.Address+path,
		"-H", "Authorization: Bearer "+exampleAPIKey, "-H", "Content-Type: text/plain", "-d", text)
	output, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(output), "HTTP/1.1 202 ") {
		t.Errorf("%s: %v\n%s", cmd, err, output)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTheExampleNeedsNoOtherPackagesThanTheTests holds that what the example
// installs is what was tested.
func TestTheExampleNeedsNoOtherPackagesThanTheTests(t *testing.T) {
	dependencies := func(file string) map[string]string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var manifest struct{ Dependencies map[string]string }
		if err := json.Unmarshal(text, &manifest); err != nil {
			t.Fatal(err)
		}
		return manifest.Dependencies
	}
	tested := dependencies(root + "/.ci/node/package.json")
	for name, version := range dependencies(examples + "/node/package.json") {
		if tested[name] != version {
			t.Errorf("the example needs %s %s, tested is %q", name, version, tested[name])
		}
	}
}
