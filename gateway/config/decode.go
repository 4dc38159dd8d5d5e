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
			d.value(root.Content[0], "", reflect.ValueOf(c).Elem())
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
	if strings.HasPrefix(text, "unknown anchor") {
		return d.file, text
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

// value decodes n into v, which has the given key.
func (d *decoder) value(n *yaml.Node, key string, v reflect.Value) {
	where := d.at(n)
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if key != "" && d.found.origin[key] == "" {
		d.found.origin[key] = where
	}
	switch v.Kind() {
	case reflect.Struct:
		d.fields(n, key, v)
	case reflect.Map:
		d.entries(n, key, v)
	case reflect.Slice:
		d.items(n, key, v)
	default:
		d.scalar(n, where, key, v)
	}
}

// fields decodes the mapping n into the struct v.
func (d *decoder) fields(n *yaml.Node, key string, v reflect.Value) {
	d.mapping(n, key, func(name, value *yaml.Node) {
		var known []string
		for i := range v.NumField() {
			field := v.Type().Field(i).Tag.Get("yaml")
			if field == name.Value {
				d.value(value, join(key, field), v.Field(i))
				return
			}
			known = append(known, field)
		}
		d.found.add(d.at(name), join(key, name.Value), "unknown key; %s", suggest(name.Value, known))
	})
}

// entries decodes the mapping n into the map v. It replaces what v holds, so that
// a file which names hubs gets exactly those.
func (d *decoder) entries(n *yaml.Node, key string, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	d.mapping(n, key, func(name, value *yaml.Node) {
		entry := reflect.New(v.Type().Elem()).Elem()
		d.value(value, join(key, name.Value), entry)
		v.SetMapIndex(reflect.ValueOf(name.Value), entry)
	})
}

// mapping calls each for every pair of n. A key without a value is an empty mapping:
// what remains of a section whose lines are all commented out.
func (d *decoder) mapping(n *yaml.Node, key string, each func(name, value *yaml.Node)) {
	if n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.found.add(d.at(n), key, "want keys with values, have %s", describe(n))
		return
	}
	lines := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if name.Kind != yaml.ScalarNode {
			d.found.add(d.at(name), key, "a key must be text, have %s", describe(name))
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

// items decodes the sequence n into the list v. An empty list is nil.
func (d *decoder) items(n *yaml.Node, key string, v reflect.Value) {
	if n.Tag == "!!null" {
		v.SetZero()
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.found.add(d.at(n), key, "want a list such as [a, b], have %s", describe(n))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.value(item, fmt.Sprintf("%s[%d]", key, i), list.Index(i))
	}
	if list.Len() == 0 {
		list = reflect.Zero(v.Type())
	}
	v.Set(list)
}

// scalar decodes n into v if its type is what v wants: "8080" is no text unless
// it is quoted, and yes is no boolean.
func (d *decoder) scalar(n *yaml.Node, where, key string, v reflect.Value) {
	var wanted []string
	switch _, text := v.Addr().Interface().(encoding.TextUnmarshaler); {
	case text:
		wanted = []string{"!!str", "!!int", "!!float"}
	case v.Kind() == reflect.String:
		wanted = []string{"!!str"}
	case v.Kind() == reflect.Int:
		wanted = []string{"!!int"}
	case v.Kind() == reflect.Bool:
		wanted = []string{"!!bool"}
	}
	for _, tag := range wanted {
		if n.Kind == yaml.ScalarNode && n.Tag == tag {
			if err := set(v, n.Value); err != nil {
				d.found.add(where, key, "%s", err)
			}
			return
		}
	}
	quotes := ""
	if v.Kind() == reflect.String && n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		quotes = "; put it in quotes"
	}
	d.found.add(where, key, "want %s, have %s%s", article(kind(v)), describe(n), quotes)
}

// describe says what n is, for an error.
func describe(n *yaml.Node) string {
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
		return fmt.Sprintf("text %q", n.Value)
	case "!!int", "!!float":
		return "the number " + n.Value
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
