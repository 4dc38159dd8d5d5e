package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// A setting is one leaf of a Config: what a line of a file or a variable sets.
type setting struct {
	key   string // as in "hubs.default.upstream.url"
	tag   reflect.StructTag
	value reflect.Value // settable during the visit
}

// secret reports whether the value must not be quoted.
func (s setting) secret() bool { return s.tag.Get("secret") != "" }

// settings visits every setting of c, in the order of its fields and its hubs by name.
func (c *Config) settings(visit func(setting)) {
	walk(setting{value: reflect.ValueOf(c).Elem()}, visit)
}

func walk(s setting, visit func(setting)) {
	switch s.value.Kind() {
	case reflect.Struct:
		for i := range s.value.NumField() {
			f := s.value.Type().Field(i)
			walk(setting{join(s.key, f.Tag.Get("yaml")), f.Tag, s.value.Field(i)}, visit)
		}
	case reflect.Map:
		names := s.value.MapKeys()
		slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, index := range names {
			// The values of a map are not settable: visit a copy. It is put back only
			// if the visit changed it, because loops read a Config that is in force.
			old := s.value.MapIndex(index)
			entry := reflect.New(s.value.Type().Elem()).Elem()
			entry.Set(old)
			walk(setting{join(s.key, index.String()), s.tag, entry}, visit)
			if !reflect.DeepEqual(old.Interface(), entry.Interface()) {
				s.value.SetMapIndex(index, entry)
			}
		}
	default:
		visit(s)
	}
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// item returns the key of an item of a list.
func item(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }

// set parses text into a setting. A list is separated by commas.
func set(v reflect.Value, text string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(text == "true")
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is no whole number", text)
		}
		v.SetInt(int64(n))
	case reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("%q is no number", text)
		}
		v.SetFloat(x)
	case reflect.Slice:
		var list []string
		if strings.TrimSpace(text) != "" {
			for item := range strings.SplitSeq(text, ",") {
				list = append(list, strings.TrimSpace(item))
			}
		}
		v.Set(reflect.ValueOf(list))
	default:
		panic("config: no text form for " + v.Type().String())
	}
	return nil
}

// kind names a setting's type for the reference and for errors.
func kind(v reflect.Value) string {
	switch v.Interface().(type) {
	case Size:
		return "size"
	case Duration:
		return "duration"
	case bool:
		return "true or false"
	case int:
		return "whole number"
	case float64:
		return "number"
	case []string:
		return "list"
	}
	return "text"
}
