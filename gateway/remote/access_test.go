package remote

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"sluice/gateway/auth"
)

func TestTheKeyIsThatOfTheHubInWhateverCase(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	text := "keys: [" + accessKey + "]\nhubs:\n  Chat: {upstream: {url: \"echo:\"}, keys: [" + hubKey + "]}\n  news: {upstream: {url: \"echo:\"}}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for hub, key := range map[string]string{"Chat": hubKey, "chat": hubKey, "CHAT": hubKey, "News": accessKey, "nowhere": accessKey} {
		a, err := newAccess(options{hub: hub, config: file}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(a.keys, auth.NewKeys([]string{key})) {
			t.Errorf("hub %s: another key than its own", hub)
		}
	}
}
