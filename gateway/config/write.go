package config

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// WriteYAML writes c as a file that [Load] reads back to the same configuration:
// every key, in the order of the reference, hubs by name. It holds what c holds,
// so also the passwords of upstream URLs.
func (c *Config) WriteYAML(w io.Writer) error {
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(c); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return e.Close()
}

// Reference returns a Markdown table of every key: name, type and range, default,
// variable, and meaning. The defaults of hubs.<name>.… are those of a hub that a file names.
func Reference() string {
	c := Default()
	c.Hubs = map[string]Hub{"<name>": {}}
	var b strings.Builder
	b.WriteString("| Key | Type | Default | Variable | Meaning |\n|---|---|---|---|---|\n")
	c.settings(func(s setting) {
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
	return fmt.Sprintf("`%v`", v.Interface())
}
