package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"sluice/gateway/delivery"
	"sluice/gateway/name"
	"sluice/gateway/upstream"
)

const (
	maxNames      = 1000 // groups, and roles, that one answer can give
	maxNameLength = 1024 // of each, and of a user, in bytes
)

// byteOrderMark may stand before JSON (RFC 8259, section 8.1): some serialisers
// write one, and clients would stumble over it.
var byteOrderMark = []byte("\ufeff")

// readVerdict reads the answer to connect. An empty body lets the client in as
// it is. The client must have offered the subprotocol that is chosen.
func readVerdict(body []byte, r *upstream.Request) (*upstream.Verdict, error) {
	if len(body) == 0 {
		return new(upstream.Verdict), nil
	}
	var a admission
	if err := parseAdmission(body, &a); err != nil {
		return nil, fmt.Errorf("the answer to connect: %w", err)
	}
	if err := a.checkNames(); err != nil {
		return nil, fmt.Errorf("the answer to connect: %w", err)
	}
	if a.subprotocol != "" && (r == nil || !slices.Contains(r.Subprotocols, a.subprotocol)) {
		return nil, fmt.Errorf("the answer to connect: the client does not offer the subprotocol %.80q", a.subprotocol)
	}
	return a.verdict(), nil
}

// admission is what a backend says of a client that it lets in.
type admission struct {
	user, subprotocol string
	groups, roles     []string
}

// verdict is what the loops are told of it.
func (a *admission) verdict() *upstream.Verdict {
	v := &upstream.Verdict{User: a.user, Subprotocol: a.subprotocol}
	if len(a.roles) > 0 {
		v.Given = append(v.Given, delivery.Assume{Roles: a.roles})
	}
	if len(a.groups) > 0 {
		v.Given = append(v.Given, delivery.Join{Groups: a.groups})
	}
	return v
}

// checkNames says what is wrong with who a says that a client is.
func (a *admission) checkNames() error {
	if a.user != "" {
		if err := name.Check(a.user); err != nil {
			return fmt.Errorf("userId %w", err)
		}
	}
	for _, group := range a.groups {
		if err := name.Check(group); err != nil {
			return fmt.Errorf("groups: %.80q %w", group, err)
		}
	}
	return nil
}

// parseAdmission fills in a from a JSON object. Names are compared exactly and a
// known one may stand there once: two parsers must not see two users in it.
// Unknown members are skipped, and null is as if it were not there.
func parseAdmission(body []byte, a *admission) error {
	body = bytes.TrimPrefix(body, byteOrderMark)
	if !utf8.Valid(body) {
		return errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return errors.New("not JSON")
		}
		name := t.(string) // the decoder lets nothing else be there
		if known := name == "userId" || name == "groups" || name == "roles" || name == "subprotocol"; known {
			if seen[name] {
				return fmt.Errorf("%s is there twice", name)
			}
			seen[name] = true
		}
		if err := parseMember(d, name, a); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return errors.New("not JSON")
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something behind the JSON object")
	}
	return nil
}

// parseMember reads the value of a member.
func parseMember(d *json.Decoder, name string, a *admission) error {
	switch name {
	case "userId":
		return parseName(d, name, &a.user)
	case "subprotocol":
		return parseName(d, name, &a.subprotocol)
	case "groups":
		return parseNames(d, name, &a.groups)
	case "roles":
		return parseNames(d, name, &a.roles)
	}
	if err := d.Decode(new(json.RawMessage)); err != nil {
		return errors.New("not JSON")
	}
	return nil
}

func parseName(d *json.Decoder, name string, to *string) error {
	if err := d.Decode(to); err != nil {
		return fmt.Errorf("%s is not a string", name)
	}
	if len(*to) > maxNameLength {
		return fmt.Errorf("%s has %d bytes, more than %d", name, len(*to), maxNameLength)
	}
	return nil
}

func parseNames(d *json.Decoder, name string, to *[]string) error {
	var list []*string
	if err := d.Decode(&list); err != nil {
		return fmt.Errorf("%s is not a list of strings", name)
	}
	if len(list) > maxNames {
		return fmt.Errorf("%s has %d names, more than %d", name, len(list), maxNames)
	}
	for _, one := range list {
		switch {
		case one == nil || *one == "":
			return fmt.Errorf("%s has an empty name", name)
		case len(*one) > maxNameLength:
			return fmt.Errorf("%s has a name of %d bytes, more than %d", name, len(*one), maxNameLength)
		}
		*to = append(*to, *one)
	}
	return nil
}
