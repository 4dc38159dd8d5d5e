// The example backend in Go: a chat, with net/http and nothing else. It is told
// of events by POST /events, and speaks by POST to the gateway's REST API.
package main

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:"+cmp.Or(os.Getenv("PORT"), "3000"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr().(*net.TCPAddr).Port)
	http.HandleFunc("OPTIONS /events", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WebHook-Allowed-Origin", "*") // yes, we want events
	})
	http.HandleFunc("POST /events", handle)
	log.Fatal(http.Serve(listener, nil))
}

// handle answers an event. The gateway waits for the answers to connect and to
// messages; a status of 204 says that there is none for the client.
func handle(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || !genuine(r.Header, body) {
		http.Error(w, "not signed by the gateway", http.StatusUnauthorized)
		return
	}
	switch r.Header.Get("ce-type") {
	case "azure.webpubsub.sys.connect":
		var connect struct{ Query map[string][]string }
		if err := json.Unmarshal(body, &connect); err != nil || len(connect.Query["id"]) == 0 {
			http.Error(w, "connect with ?id=NAME", http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"userId": connect.Query["id"][0], "groups": []string{"lobby"}})
	case "azure.webpubsub.user.message":
		if err := sendToAll(fmt.Sprintf("%s: %s", r.Header.Get("ce-userId"), body)); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

// genuine reports whether the gateway has signed an event, not long ago, as
// Standard Webhooks has it, with the text of the access key: whoever else reaches
// this port could say who is who.
func genuine(h http.Header, body []byte) bool {
	id, sent := h.Get("webhook-id"), h.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(sent, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, []byte(os.Getenv("ACCESS_KEY")))
	fmt.Fprintf(mac, "%s.%s.%s", id, sent, body)
	for signature := range strings.SplitSeq(h.Get("webhook-signature"), " ") {
		code, found := strings.CutPrefix(signature, "v1,")
		signed, err := base64.StdEncoding.DecodeString(code)
		if found && err == nil && hmac.Equal(signed, mac.Sum(nil)) {
			return true
		}
	}
	return false
}

// sendToAll sends a text to every client of the hub.
func sendToAll(text string) error {
	url := cmp.Or(os.Getenv("ENDPOINT"), "http://127.0.0.1:8080") + "/api/hubs/chat/:send"
	request, err := http.NewRequest(http.MethodPost, url, strings.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("API_KEY"))
	request.Header.Set("Content-Type", "text/plain")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusAccepted {
		return fmt.Errorf("the gateway answered %s", response.Status)
	}
	return nil
}
