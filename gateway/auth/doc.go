// Package auth decides who may connect: from which web origins ([Origins]).
package auth
