package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Load reads the named file, applies the SLUICE_… variables of environ (in the
// form of [os.Environ]) over it, and validates the result for the given upstream
// schemes besides echo, http and https. An empty name stands for the defaults.
//
// The error joins everything that is wrong, each with the file and line or the
// variable that it came from.
func Load(file string, environ []string, schemes ...string) (*Config, error) {
	var data []byte
	if file != "" {
		var err error
		if data, err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
	}
	return Parse(file, data, environ, schemes...)
}

// Parse is [Load] for a file that is already in memory; name stands for it in errors.
func Parse(name string, data []byte, environ []string, schemes ...string) (*Config, error) {
	c := Default()
	f := findings{origin: map[string]string{}, wrong: map[string]bool{}}
	if d := (decoder{file: name, found: &f}); !d.document(data, c) {
		return nil, errors.Join(f.errs...) // Not YAML: nothing after it would make sense.
	}
	override(c, environ, &f)
	for _, p := range c.check(schemes) {
		f.locate(p)
	}
	if len(f.errs) > 0 {
		return nil, errors.Join(f.errs...)
	}
	return c, nil
}

// A problem is one thing that is wrong with one setting.
type problem struct {
	where string // "sluice.yaml:12", a variable, or nothing for a default
	key   string
	text  string
	also  string // another setting that the rule compares with
}

func (p *problem) Error() string {
	parts := make([]string, 0, 3)
	for _, s := range [...]string{p.where, p.key, p.text} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ": ")
}

// findings gathers problems, and where the settings came from.
type findings struct {
	origin map[string]string // by key; sections and hubs too
	wrong  map[string]bool   // keys already reported
	errs   []error
}

func (f *findings) add(where, key, format string, args ...any) {
	f.wrong[key] = true
	f.errs = append(f.errs, &problem{where: where, key: key, text: fmt.Sprintf(format, args...)})
}

// locate adds a problem that validation found, with its origin. One whose value
// could not be read in the first place says nothing new.
func (f *findings) locate(p *problem) {
	for key := p.key; key != ""; key = parent(key) {
		if f.wrong[key] {
			return
		}
	}
	// What a file leaves out is reported at the section that lacks it.
	candidates := []string{p.key, p.also}
	for key := parent(p.key); key != ""; key = parent(key) {
		candidates = append(candidates, key)
	}
	for _, key := range candidates {
		if where := f.origin[key]; where != "" {
			p.where = where
			break
		}
	}
	f.errs = append(f.errs, p)
}

// parent returns the key of the list or the section around key, "" at the top. Hub
// names may hold dots: the keys that this skips then have no origin of their own.
func parent(key string) string {
	return key[:max(0, strings.LastIndexAny(key, ".["))]
}
