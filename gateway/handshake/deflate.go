package handshake

import "bytes"

// deflateOffer is one client's offer of permessage-deflate (RFC 7692 §7.1).
type deflateOffer struct {
	acceptable bool
	serverBits uint8 // server_max_window_bits; 0: not asked for
}

// parameter is one element of an extension's "name; name=value; …"; the
// extension's own name comes first, and looks the same.
type parameter struct {
	name     []byte
	value    []byte // without quotes; escapes in it are left as they are
	hasValue bool
}

// checkExtensions wants extension-list (RFC 6455 §9.1) of all fields taken
// together, and keeps the first offer of permessage-deflate to accept.
func (h *Head) checkExtensions() error {
	named := h.seen&extensionsField == 0
	for _, f := range h.Fields {
		if f.kind != extensionsField {
			continue
		}
		for list := skipEmpty(f.Value); len(list) > 0; list = skipEmpty(list) {
			offer, rest, ok := cutExtension(list)
			if !ok {
				return ErrExtensions
			}
			if !h.deflate.acceptable {
				h.deflate = offer
			}
			list, named = rest, true
		}
	}
	if !named {
		return ErrExtensions
	}
	return nil
}

// skipEmpty skips to the next element of a list that is not empty.
func skipEmpty(list []byte) []byte { return bytes.TrimLeft(list, " \t,") }

// cutExtension cuts one extension with its parameters off the list and judges
// it as an offer.
func cutExtension(list []byte) (offer deflateOffer, rest []byte, ok bool) {
	name, rest, ok := cutParameter(list)
	if !ok || name.hasValue {
		return deflateOffer{}, nil, false
	}
	offer.acceptable = equalFold(name.name, "permessage-deflate")
	var seen deflateParameter
	for len(rest) > 0 && rest[0] == ';' {
		var p parameter
		if p, rest, ok = cutParameter(rest[1:]); !ok {
			return deflateOffer{}, nil, false
		}
		if offer.acceptable {
			offer.acceptable = offer.take(p, &seen)
		}
	}
	return offer, rest, true
}

// deflateParameter is a set of the parameters of permessage-deflate.
type deflateParameter uint8

const (
	serverNoContextTakeover deflateParameter = 1 << iota
	clientNoContextTakeover
	serverMaxWindowBits
	clientMaxWindowBits
)

// take adds a parameter to the offer and reports whether the offer is still
// one to accept: RFC 7692 §7.1 has it declined for an unknown parameter, for
// one that came before, and for a value that is none.
func (o *deflateOffer) take(p parameter, seen *deflateParameter) bool {
	var which deflateParameter
	valid := false
	switch {
	case equalFold(p.name, "server_no_context_takeover"):
		which, valid = serverNoContextTakeover, !p.hasValue
	case equalFold(p.name, "client_no_context_takeover"):
		which, valid = clientNoContextTakeover, !p.hasValue
	case equalFold(p.name, "server_max_window_bits"):
		which = serverMaxWindowBits
		o.serverBits, valid = windowBits(p.value)
	case equalFold(p.name, "client_max_window_bits"):
		which, valid = clientMaxWindowBits, !p.hasValue
		if p.hasValue {
			_, valid = windowBits(p.value)
		}
	}
	valid = valid && *seen&which == 0
	*seen |= which
	return valid
}

// windowBits reads a decimal from 8 to 15 without leading zeros.
func windowBits(value []byte) (uint8, bool) {
	switch {
	case len(value) == 1 && (value[0] == '8' || value[0] == '9'):
		return value[0] - '0', true
	case len(value) == 2 && value[0] == '1' && '0' <= value[1] && value[1] <= '5':
		return 10 + value[1] - '0', true
	}
	return 0, false
}

// cutParameter cuts token [ "=" ( token / quoted-string ) ] off p, with white
// space wherever RFC 2616 §2.1, to which RFC 6455 refers, implies it. What
// follows is the end, a comma, or a semicolon; that is left in rest.
func cutParameter(p []byte) (param parameter, rest []byte, ok bool) {
	param.name, rest = cutToken(trim(p))
	if len(param.name) == 0 {
		return parameter{}, nil, false
	}
	if rest = trim(rest); len(rest) > 0 && rest[0] == '=' {
		param.hasValue = true
		if rest = trim(rest[1:]); len(rest) > 0 && rest[0] == '"' {
			param.value, rest, ok = cutQuoted(rest)
		} else {
			param.value, rest = cutToken(rest)
			ok = len(param.value) > 0
		}
		if !ok {
			return parameter{}, nil, false
		}
		rest = trim(rest)
	}
	return param, rest, len(rest) == 0 || rest[0] == ',' || rest[0] == ';'
}

func cutToken(p []byte) (token, rest []byte) {
	for i, c := range p {
		if octets[c]&tokenOctet == 0 {
			return p[:i], p[i:]
		}
	}
	return p, nil
}

// cutQuoted cuts a quoted-string, whose first octet is its opening quote, off p.
func cutQuoted(p []byte) (content, rest []byte, ok bool) {
	for i := 1; i < len(p); i++ {
		switch p[i] {
		case '\\':
			i++
		case '"':
			return p[1:i], p[i+1:], true
		}
	}
	return nil, nil, false
}
