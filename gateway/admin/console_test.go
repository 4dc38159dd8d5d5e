package admin

import (
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strings"
	"testing"
)

func TestThePageMayOnlyLoadItsOwn(t *testing.T) {
	srv := serve(t, ready)
	for _, name := range []string{"/", "/console/console.js", "/console/base.css", "/console/uplot/LICENSE"} {
		resp, _ := do(t, srv, "GET", name)
		h := resp.Header
		for _, rule := range []string{"default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "form-action 'none'", "base-uri 'none'"} {
			if !strings.Contains(h.Get("Content-Security-Policy"), rule) {
				t.Errorf("%s: the policy %q has no %s", name, h.Get("Content-Security-Policy"), rule)
			}
		}
		if strings.Contains(h.Get("Content-Security-Policy"), "unsafe") {
			t.Errorf("%s: the policy has something unsafe", name)
		}
		for field, want := range map[string]string{
			"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
		} {
			if got := h.Get(field); got != want {
				t.Errorf("%s: %s is %q, want %q", name, field, got, want)
			}
		}
	}
}

// What the policy would keep from working, and what is not there, browsers only
// say in their own console.
func TestWhatThePageNamesIsThereAndNothingIsInline(t *testing.T) {
	srv := serve(t, ready)
	reference := regexp.MustCompile(`(?:src|href)="([^"#]+)"|(?:import .*from|import) '([^']+)'`)
	seen := 0
	fs.WalkDir(files, "console", func(name string, _ fs.DirEntry, _ error) error {
		if strings.Contains(name, "uplot/") || path.Ext(name) != ".html" && path.Ext(name) != ".js" {
			return nil
		}
		content, _ := fs.ReadFile(files, name)
		for _, m := range reference.FindAllStringSubmatch(string(content), -1) {
			seen++
			target := m[1] + m[2]
			if strings.HasPrefix(target, "./") {
				target = path.Join("/"+path.Dir(name), target)
			}
			if resp, _ := do(t, srv, "GET", target); resp.StatusCode != http.StatusOK {
				t.Errorf("%s names %s: %s", name, target, resp.Status)
			}
		}
		if inline := regexp.MustCompile(`(?i)<script>|\son[a-z]+="|\sstyle="|<style|innerHTML|javascript:`).Find(content); inline != nil {
			t.Errorf("%s has %q", name, inline)
		}
		return nil
	})
	if seen < 20 {
		t.Errorf("only %d references were found", seen)
	}
}

func TestFilesOfThePageHaveTheirTypes(t *testing.T) {
	srv := serve(t, ready)
	for name, want := range map[string]string{
		"/console/console.js":            "text/javascript; charset=utf-8",
		"/console/uplot/uPlot.esm.js":    "text/javascript; charset=utf-8",
		"/console/uplot/uPlot.min.css":   "text/css; charset=utf-8",
		"/console/icon.svg":              "image/svg+xml; charset=utf-8",
		"/favicon.ico":                   "image/svg+xml; charset=utf-8",
		"/console/uplot/LICENSE":         "text/plain; charset=utf-8",
		"/console/hubs/nowhere/sessions": "application/json",
	} {
		if resp, _ := do(t, srv, "GET", name); resp.Header.Get("Content-Type") != want {
			t.Errorf("%s is %s, want %s", name, resp.Header.Get("Content-Type"), want)
		}
	}
}
