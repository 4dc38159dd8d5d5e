// Package auth decides who may connect, and who may push.
//
// [Origins] says from which web origins browsers may come. [Clients] verifies
// the tokens of a hub's clients: JSON Web Tokens (RFC 7519) that are signed with
// an access key of the hub, or by an issuer whose keys are published as a key
// set (RFC 7517). [DataPlane] verifies the requests of backends, and [Keys]
// makes the tokens that both accept. [Roles] is what a client of a subprotocol
// may do.
//
// No error and no log line of this package contains a token or a key. It knows
// no socket; of the network only key sets, which are fetched beside.
package auth
