// Package name says what users, groups and events may be called, wherever a name
// comes from: tokens, answers of backends, requests to the data plane.
package name

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// Max is how long a name may be, in bytes.
const Max = 1024

var (
	errEmpty = errors.New("is empty")
	errLong  = fmt.Errorf("has more than %d bytes", Max)
	errUTF8  = errors.New("is not UTF-8")
	errDots  = errors.New("is . or .., which URLs cannot name")
)

// Check says what is wrong with the name of a user or group, nil if nothing is;
// its error completes "the name …". A name that is . or .. is taken out of paths
// by whatever normalises URLs, encoded or not (RFC 3986, section 5.2.4): a push
// to a user called .. would be one to everybody.
func Check(s string) error {
	switch {
	case s == "":
		return errEmpty
	case len(s) > Max:
		return errLong
	case !utf8.ValidString(s):
		return errUTF8
	case s == ".", s == "..":
		return errDots
	}
	return nil
}
