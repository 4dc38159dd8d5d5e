package admin

import (
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
)

// files are the page as it is delivered: nothing builds it.
//
//go:embed console
var files embed.FS

// console is the page and what it asks for.
type console struct {
	Options
	memory  *memory
	clients chan struct{} // one for each WebSocket client under way
}

// maxClients is how many of the console's WebSocket clients there may be.
const maxClients = 16

func newConsole(o Options) *console {
	if o.Hubs == nil {
		o.Hubs = func() []Hub { return nil }
	}
	return &console{Options: o, memory: newMemory(os.DirFS("/")), clients: make(chan struct{}, maxClients)}
}

func (c *console) register(handle func(pattern string, h http.HandlerFunc)) {
	handle("GET /{$}", asset("console/index.html"))
	handle("GET /favicon.ico", asset("console/icon.svg")) // for the pages that name none
	fs.WalkDir(files, "console", func(name string, entry fs.DirEntry, _ error) error {
		if !entry.IsDir() {
			handle("GET /"+name, asset(name))
		}
		return nil
	})
	handle("GET /console/state", c.state)
	handle("GET /console/hubs/{hub}/sessions", c.sessions)
	handle("GET /console/hubs/{hub}/client", c.client)
}

// policy is what the page may do. It loads its own files and talks to its own
// listener, and nobody may put it into a frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// asset serves a file of the page. It is never kept, so that the files of two
// versions do not meet.
func asset(name string) http.HandlerFunc {
	content, err := files.ReadFile(name)
	if err != nil {
		panic(err) // it is embedded
	}
	media, ok := map[string]string{".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}[path.Ext(name)]
	if !ok {
		media = "text/plain"
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", media+"; charset=utf-8")
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		w.Write(content)
	}
}

// hub returns the hub that the path of r names.
func (c *console) hub(r *http.Request) (Hub, bool) {
	hubs := c.Hubs()
	i, ok := slices.BinarySearchFunc(hubs, r.PathValue("hub"), func(h Hub, name string) int { return strings.Compare(h.Name, name) })
	if !ok {
		return Hub{}, false
	}
	return hubs[i], true
}

// answer writes body as JSON.
func answer(w http.ResponseWriter, status int, body any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) // fails only if the client is gone
}

// refuse answers with what is wrong, as the data plane does.
func refuse(w http.ResponseWriter, status int, code, message string) {
	answer(w, status, map[string]any{"error": map[string]string{"code": code, "message": message}})
}
