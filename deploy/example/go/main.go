// The example backend in Go: a chat, with net/http and nothing else. It is told
// of events by POST /events, and speaks by POST to the gateway's REST API.
package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
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
	switch r.Header.Get("ce-type") {
	case "azure.webpubsub.sys.connect":
		var connect struct{ Query map[string][]string }
		if err := json.NewDecoder(r.Body).Decode(&connect); err != nil || len(connect.Query["id"]) == 0 {
			http.Error(w, "connect with ?id=NAME", http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"userId": connect.Query["id"][0], "groups": []string{"lobby"}})
	case "azure.webpubsub.user.message":
		text, err := io.ReadAll(r.Body)
		if err == nil {
			err = sendToAll(fmt.Sprintf("%s: %s", r.Header.Get("ce-userId"), text))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
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
