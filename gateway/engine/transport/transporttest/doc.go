// Package transporttest holds transports to the contract of package transport ([Run]), and has one that needs no library:
// [Scrambler]'s scrambles bytes in records, with a handshake, new keys and a farewell of its own. It keeps no secret.
package transporttest
