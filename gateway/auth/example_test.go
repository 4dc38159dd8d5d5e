package auth_test

import (
	"fmt"
	"time"

	"sluice/gateway/auth"
)

// A backend signs a token with the hub's access key; the gateway finds out from it who the client is.
func ExampleKeys_ClientToken() {
	keys := auth.NewKeys([]string{"an access key of at least 32 bytes"})
	const endpoint = "https://ws.example.com"
	token, err := keys.ClientToken(auth.ClientClaims{
		Endpoint: endpoint,
		Hub:      "chat",
		User:     "ann",
		Groups:   []string{"news"},
		TTL:      time.Minute,
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	clients, err := auth.NewClients(auth.ClientsOptions{Hub: "chat", Keys: keys, Endpoint: endpoint})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer clients.Close()
	client, err := clients.Verify(token, "ws.example.com", time.Now())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(client.User, client.Groups)
	// Output: ann [news]
}
