// Package webhook takes the events of a hub to an HTTP service: it speaks the
// CloudEvents contract of Azure Web PubSub, so that services written for that,
// and its SDKs, work as they are.
//
// # What is sent
//
// Each event is one POST in CloudEvents' binary mode: what happened stands in
// ce- headers, and the body is the client's message, or JSON for the events
// connect, connected and disconnected. Each hub has one URL, in which {hub} and
// {event} are filled in. Besides Host, Content-Type and Content-Length there are
//
//	WebHook-Request-Origin  the gateway's own host
//	ce-specversion          1.0
//	ce-awpsversion          1.0
//	ce-hub                  the hub
//	ce-type                 azure.webpubsub.sys.connect, …sys.connected, …sys.disconnected,
//	                        or azure.webpubsub.user. and the name of the message
//	ce-eventName            the last part of it
//	ce-source               /hubs/{hub}/client/{connectionId}
//	ce-connectionId         the client's connection
//	ce-id, ce-time          of the event, the same in each attempt to deliver it
//	ce-userId               who the client is, if it is anybody
//	ce-subprotocol          what its handshake has agreed on, if anything
//	ce-connectionState      what the backend has last answered under that name, as it was
//	ce-signature            sha256=HEX for each access key, separated by commas: the
//	                        HMAC-SHA256 of the connection id
//	Idempotency-Key         the same as ce-id, if the hub repeats what may have been executed
//	webhook-id              the same as ce-id
//	webhook-timestamp       when the attempt is made, in seconds since 1970
//	webhook-signature       v1,BASE64 for each access key, separated by spaces: the HMAC-SHA256
//	                        of webhook-id, webhook-timestamp and the body, with full stops between
//
// The key of both signatures is the text of the access key. A verifier that
// wants the key of Standard Webhooks in base64 is given the base64 of that text.
// ce-signature covers nothing but the connection id and can be replayed:
// webhook-signature is what a backend should check. In ce-userId, and whatever
// else a client or its token has a hand in, printable ASCII stays as it is.
// Percent-encoded are other bytes, a blank at either end, and a percent sign that
// two hexadecimal digits follow: reading each %XX as a byte gives the value back.
// ce-connectionState is the backend's own and stays as it was.
//
// Before the first event, and every ten minutes, the backend is asked by OPTIONS
// whether it wants events from here; its answer must say
// WebHook-Allowed-Origin: *, or the gateway's host. For this, {event} is
// "validate".
//
// # What is answered
//
// 204, or 200 with no body, takes the event. For a message, 200 with text/plain
// or application/json is a text message to the client, and with
// application/octet-stream a binary one. For connect, 200 has a JSON object with
// any of userId, groups, roles and subprotocol, and a 4xx refuses the client.
// Answers to those two may set ce-connectionState. connected and disconnected
// are taken by any 2xx. 408, 425, 429, 502, 503 and 504 say that the event was not
// looked at, and Retry-After for how long to leave the backend alone; only a 429
// to connect refuses the client, if its Retry-After does not say when to come
// back, or says longer than the client waits. A refused client is told
// Retry-After and WWW-Authenticate. Every other answer refuses the event; a 5xx
// to connected and disconnected does not, and these are sent again. Redirects are
// not followed.
//
// # What is known after a failure
//
// An event is never sent twice unless nobody can have seen it, or the caller
// decides so: each failure is an [upstream.Failure] whose kind says which it is.
// A connection that the backend closed while it was idle, or on which it said
// something unasked, is found out before it is used. How long a connection may
// rest and be used is at most a setting; less if the backend announces less by
// Keep-Alive, with a second to spare, or was seen to end connections sooner. If
// it announces nothing, up to four connections at a time rest unused to find out,
// and none is used again before one of them has rested for a second. At the
// start, and for as long as a backend ends what rests, there are thus as many
// connections a second as events; TLS sessions are resumed. If the end of a
// connection crosses the request on the way, TCP tells: a FIN that acknowledges
// nothing of the request was sent before any of it had arrived. Then, and only
// then, a new connection is tried at once. An end of a connection that had
// rested, without a byte of an answer, may have been meant for the rest, or for
// the request: the failure says so ([upstream.Failure.Stale]).
//
// Sources: CloudEvents 1.0.2, HTTP protocol binding (§3.1) and HTTP 1.1 web hooks
// (§4, abuse protection); Standard Webhooks 1.0.0; CloudEvents extension for
// Azure Web PubSub event handlers; RFC 9110 and RFC 9112.
package webhook
