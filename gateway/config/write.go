package config

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// WriteYAML writes c as a file: every key, in the order of the reference, hubs
// by name. [Load] reads it back to the same configuration but for secrets, which
// are left out: access keys and API keys, and of the URLs of upstreams the
// password and the query. Comments say where something is missing.
func (c *Config) WriteYAML(w io.Writer) error {
	var n yaml.Node
	if err := n.Encode(c); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	conceal(&n, setting{value: reflect.ValueOf(c).Elem()})
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(&n); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return e.Close()
}

// conceal takes the secrets out of n, to which s was encoded.
func conceal(n *yaml.Node, s setting) {
	switch s.value.Kind() {
	case reflect.Struct:
		for i := range s.value.NumField() { // a name and a value each
			conceal(n.Content[2*i+1], setting{tag: s.value.Type().Field(i).Tag, value: s.value.Field(i)})
		}
		return
	case reflect.Map:
		for i := 0; i < len(n.Content); i += 2 {
			name := reflect.ValueOf(n.Content[i].Value)
			conceal(n.Content[i+1], setting{value: s.value.MapIndex(name)})
		}
		return
	}
	switch s.tag.Get("secret") {
	case "true":
		if many := len(n.Content); many > 0 {
			n.Content, n.Style = nil, yaml.FlowStyle
			n.LineComment = fmt.Sprintf("%d not shown", many)
		}
	case "url":
		if shown, hidden := redactURL(s.value.String()); hidden != "" {
			n.SetString(shown)
			n.LineComment = hidden + " not shown"
		}
	}
}

// redactURL returns a URL without its password and its query, and says which of
// them it has. It leaves alone how the rest is written, {hub} and {event} included.
func redactURL(text string) (shown, hidden string) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return text, ""
	}
	var parts []string
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, path := rest[:end], rest[end:]
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		if user, _, has := strings.Cut(authority[:at], ":"); has {
			authority = user + authority[at:]
			parts = append(parts, "password")
		}
	}
	if before, _, has := strings.Cut(path, "?"); has {
		path = before
		parts = append(parts, "query")
	}
	return scheme + "://" + authority + path, strings.Join(parts, " and ")
}

// reference returns a configuration with one of everything that has a name.
func reference() *Config {
	c := Default()
	var h Hub
	h.setDefaults()
	h.Issuers = map[string]Issuer{"<issuer>": {}}
	c.Hubs = map[string]Hub{"<name>": h}
	return c
}

// Reference returns a Markdown table of every key: name, type and range, default,
// variable, and meaning. The defaults of hubs.<name>.… are those of a hub that a file names.
func Reference() string {
	var b strings.Builder
	b.WriteString("| Key | Type | Default | Variable | Meaning |\n|---|---|---|---|---|\n")
	reference().settings(func(s setting) {
		doc := s.tag.Get("doc")
		if s.tag.Get("reload") == "restart" {
			doc += " Takes a restart."
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | `%s` | %s |\n",
			s.key, kind(s.value)+span(s.tag), standard(s.value), variable(s.key), strings.ReplaceAll(doc, "|", `\|`))
	})
	return b.String()
}

// span prints the range of a setting.
func span(tag reflect.StructTag) string {
	low, high := tag.Get("min"), tag.Get("max")
	switch {
	case high != "":
		return ", " + low + " to " + high
	case low != "":
		return ", at least " + low
	}
	return ""
}

// standard prints a default value.
func standard(v reflect.Value) string {
	if v.IsZero() && (v.Kind() == reflect.String || v.Kind() == reflect.Slice) {
		return ""
	}
	if list, ok := v.Interface().([]string); ok {
		return "`" + strings.Join(list, "`, `") + "`"
	}
	return fmt.Sprintf("`%v`", v.Interface())
}
