package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// decoder reads a YAML document into a Config. It walks the nodes itself, because
// a user needs every mistake with its line and the full key, not the first one.
type decoder struct {
	file  string
	found *findings
}

// document reports false when data is not one YAML document.
func (d *decoder) document(data []byte, c *Config) bool {
	if line := unprintable(data); line > 0 {
		d.found.add(fmt.Sprintf("%s:%d", d.file, line), "", "not UTF-8 text without control characters")
		return false
	}
	documents := yaml.NewDecoder(bytes.NewReader(data))
	var root, second yaml.Node
	err := documents.Decode(&root)
	if errors.Is(err, io.EOF) {
		return true // An empty file is the defaults.
	}
	if err == nil {
		if err = documents.Decode(&second); errors.Is(err, io.EOF) {
			d.value(root.Content[0], setting{value: reflect.ValueOf(c).Elem()})
			return true
		}
	}
	if err != nil {
		where, text := d.syntax(err)
		d.found.add(where, "", "%s", text)
	} else {
		d.found.add(d.at(&second), "", "a second document starts here; put everything into one")
	}
	return false
}

// unprintable returns the line of the first byte that YAML 1.2, section 5.1, does
// not allow, 0 if there is none. The parser would not say where it is.
func unprintable(data []byte) int {
	for i, r := range string(data) {
		switch {
		case r == utf8.RuneError && !bytes.HasPrefix(data[i:], []byte("\uFFFD")):
		case r == '\uFEFF' && i == 0, r == '\t', r == '\n', r == '\r', r == '\u0085':
			continue
		case r < ' ', r > '~' && r < '\u00A0', r == '\uFEFF', r == '\uFFFE', r == '\uFFFF':
		default:
			continue
		}
		return 1 + bytes.Count(data[:i], []byte("\n"))
	}
	return 0
}

var (
	yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)
	// What the parser says itself, rather than its scanner, has lines counted from 0.
	yamlParser = regexp.MustCompile(`^(did not find expected (<|key|node|'-'|',')|found (duplicate|incompatible|undefined) )`)
)

// syntax takes the line out of an error of the YAML parser, and puts right what
// it says of it: nothing about line 1, and of unknown anchors nothing at all.
func (d *decoder) syntax(err error) (where, text string) {
	m := yamlLine.FindStringSubmatch(err.Error())
	if m == nil {
		return d.file, err.Error()
	}
	text = err.Error()[len(m[0]):]
	if strings.HasPrefix(text, "unknown anchor") { // its name may be a key that begins with *
		return d.file, "an alias (*name) without an anchor (&name); put text that begins with * in quotes"
	}
	line, _ := strconv.Atoi(m[1])
	if line == 0 || yamlParser.MatchString(text) {
		line++
	}
	return fmt.Sprintf("%s:%d", d.file, line), text
}

func (d *decoder) at(n *yaml.Node) string {
	return fmt.Sprintf("%s:%d", d.file, n.Line)
}

// value decodes n into s, which may also be a section or an item of a list.
func (d *decoder) value(n *yaml.Node, s setting) {
	where := d.at(n)
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if s.key != "" && d.found.origin[s.key] == "" {
		d.found.origin[s.key] = where
	}
	switch s.value.Kind() {
	case reflect.Struct:
		d.fields(n, s)
	case reflect.Map:
		d.entries(n, s)
	case reflect.Slice:
		d.items(n, s)
	default:
		d.scalar(n, where, s)
	}
}

// fields decodes the mapping n into a struct.
func (d *decoder) fields(n *yaml.Node, s setting) {
	d.mapping(n, s.key, func(name, value *yaml.Node) {
		var known []string
		for i := range s.value.NumField() {
			field := s.value.Type().Field(i)
			key := field.Tag.Get("yaml")
			if key == name.Value {
				d.value(value, setting{join(s.key, key), field.Tag, s.value.Field(i)})
				return
			}
			known = append(known, key)
		}
		d.found.add(d.at(name), join(s.key, name.Value), "unknown key; %s", suggest(name.Value, known))
	})
}

// entries decodes the mapping n into a map. It replaces what that holds, so that
// a file which names hubs gets exactly those.
func (d *decoder) entries(n *yaml.Node, s setting) {
	t := s.value.Type()
	s.value.Set(reflect.MakeMap(t))
	d.mapping(n, s.key, func(name, value *yaml.Node) {
		entry := reflect.New(t.Elem()).Elem()
		if with, ok := entry.Addr().Interface().(interface{ setDefaults() }); ok {
			with.setDefaults()
		}
		d.value(value, setting{key: join(s.key, name.Value), value: entry})
		s.value.SetMapIndex(reflect.ValueOf(name.Value), entry)
	})
	if s.value.Len() == 0 {
		s.value.SetZero() // as it is when a file says nothing
	}
}

// mapping calls each for every pair of n. A key without a value is an empty mapping:
// what remains of a section whose lines are all commented out.
func (d *decoder) mapping(n *yaml.Node, key string, each func(name, value *yaml.Node)) {
	if n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.found.add(d.at(n), key, "want keys with values, have %s", describe(n, true)) // a URL instead of {url: …}
		return
	}
	lines := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if name.Kind != yaml.ScalarNode {
			d.found.add(d.at(name), key, "a key must be text, have %s", describe(name, false))
			continue
		}
		if line, twice := lines[name.Value]; twice {
			d.found.add(d.at(name), join(key, name.Value), "set twice, first in line %d; remove one", line)
			continue
		}
		lines[name.Value] = name.Line
		if k := join(key, name.Value); d.found.origin[k] == "" {
			d.found.origin[k] = d.at(name)
		}
		each(name, value)
	}
}

// items decodes the sequence n into a list. An empty list is nil.
func (d *decoder) items(n *yaml.Node, s setting) {
	if n.Tag == "!!null" {
		s.value.SetZero()
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.found.add(d.at(n), s.key, "want a list such as [a, b], have %s", describe(n, s.secret()))
		return
	}
	list := reflect.MakeSlice(s.value.Type(), len(n.Content), len(n.Content))
	for i, node := range n.Content {
		d.value(node, setting{item(s.key, i), s.tag, list.Index(i)})
	}
	if list.Len() == 0 {
		list = reflect.Zero(s.value.Type())
	}
	s.value.Set(list)
}

// scalar decodes n into s if its type is what s wants: "8080" is no text unless
// it is quoted, and yes is no boolean.
func (d *decoder) scalar(n *yaml.Node, where string, s setting) {
	var wanted []string
	switch _, text := s.value.Addr().Interface().(encoding.TextUnmarshaler); {
	case text:
		wanted = []string{"!!str", "!!int", "!!float"}
	case s.value.Kind() == reflect.String:
		wanted = []string{"!!str"}
	case s.value.Kind() == reflect.Int:
		wanted = []string{"!!int"}
	case s.value.Kind() == reflect.Float64:
		wanted = []string{"!!float", "!!int"}
	case s.value.Kind() == reflect.Bool:
		wanted = []string{"!!bool"}
	}
	for _, tag := range wanted {
		if n.Kind == yaml.ScalarNode && n.Tag == tag {
			if err := set(s.value, n.Value); err != nil {
				d.found.add(where, s.key, "%s", err)
			}
			return
		}
	}
	quotes := ""
	if s.value.Kind() == reflect.String && n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		quotes = "; put it in quotes"
	}
	d.found.add(where, s.key, "want %s, have %s%s", article(kind(s.value)), describe(n, s.secret()), quotes)
}

// describe says what n is, for an error; of a secret not the value.
func describe(n *yaml.Node, secret bool) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys with values"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.Tag {
	case "!!null":
		return "nothing"
	case "!!str":
		if secret {
			return "text"
		}
		return fmt.Sprintf("text %q", n.Value)
	case "!!int", "!!float":
		if secret {
			return "a number"
		}
		return "the number " + n.Value
	}
	if secret {
		return "something else"
	}
	return strings.TrimLeft(n.Tag, "!") + " " + n.Value
}

func article(kind string) string {
	switch kind {
	case "text", "true or false":
		return kind
	}
	return "a " + kind
}
