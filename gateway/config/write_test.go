package config

import (
	"bytes"
	"strings"
	"testing"

	"sluice/gateway/golden"
)

func TestSecretsAreNotPrinted(t *testing.T) {
	c, err := Parse("sluice.yaml", []byte(`
keys: [hunter2-hunter2-1, hunter2-hunter2-2]
api_keys: [hunter2-hunter2-3]
hubs:
  chat:
    upstream: {url: "https://user:hunter2@host:8443/{hub}/{event}?code=hunter2"}
    keys: [hunter2-hunter2-4]
  news:
    upstream: {url: "https://:hunter2@host"}
  open:
    upstream: {url: "https://user@host/a@b:c"}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := c.WriteYAML(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "hunter2") {
		t.Error("a secret is shown")
	}
	golden.Check(t, "testdata/secrets.yaml", b.Bytes())
	if c.Keys[1] != "hunter2-hunter2-2" || c.Hubs["chat"].Keys[0] != "hunter2-hunter2-4" {
		t.Error("the configuration itself was changed")
	}
}
