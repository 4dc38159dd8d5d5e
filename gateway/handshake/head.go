package handshake

import (
	"bytes"
	"net/url"
)

// Head is the head of one request. All its slices alias the bytes that Parse
// was given: they are valid as long as those stay unchanged. A Head can be
// parsed into again and again, and then allocates nothing; a copy of the
// struct shares Fields with the original.
type Head struct {
	Method []byte
	Target []byte // the request target as sent
	Path   []byte // of the target, percent-encoded as sent; "/…", or "*" for OPTIONS
	Query  []byte // of the target, behind the first "?"
	Minor  int    // of the HTTP version, whose major number is 1
	Host   []byte // of an absolute target, else the Host field; empty only in HTTP/1.0

	Origin        []byte
	HasOrigin     bool // browsers send one with each upgrade, others need not
	Authorization []byte
	Key           []byte // Sec-WebSocket-Key

	Fields []Field // all header fields, in the order received

	seen, twice fieldSet
	upgrade     bool  // Upgrade names websocket
	connection  bool  // Connection names upgrade
	version13   bool  // Sec-WebSocket-Version is 13
	length      int64 // Content-Length
	body        bool  // announced by Content-Length or Transfer-Encoding
	deflate     deflateOffer
}

// Field is one header field, its value without surrounding white space.
type Field struct {
	Name, Value []byte

	kind fieldSet // the one that it is, or none
}

// fieldSet is a set of the header fields that mean something here.
type fieldSet uint16

const (
	hostField fieldSet = 1 << iota
	originField
	expectField
	upgradeField
	trailerField
	connectionField
	authorizationField
	contentLengthField
	keyField
	transferEncodingField
	versionField
	protocolField
	extensionsField
)

// fieldOf returns the one field of that name, or the empty set.
func fieldOf(name []byte) fieldSet {
	switch len(name) {
	case len("host"):
		if equalFold(name, "host") {
			return hostField
		}
	case len("origin"):
		switch {
		case equalFold(name, "origin"):
			return originField
		case equalFold(name, "expect"):
			return expectField
		}
	case len("upgrade"):
		switch {
		case equalFold(name, "upgrade"):
			return upgradeField
		case equalFold(name, "trailer"):
			return trailerField
		}
	case len("connection"):
		if equalFold(name, "connection") {
			return connectionField
		}
	case len("authorization"):
		if equalFold(name, "authorization") {
			return authorizationField
		}
	case len("content-length"):
		if equalFold(name, "content-length") {
			return contentLengthField
		}
	case len("sec-websocket-key"):
		switch {
		case equalFold(name, "sec-websocket-key"):
			return keyField
		case equalFold(name, "transfer-encoding"):
			return transferEncodingField
		}
	case len("sec-websocket-version"):
		if equalFold(name, "sec-websocket-version") {
			return versionField
		}
	case len("sec-websocket-protocol"):
		if equalFold(name, "sec-websocket-protocol") {
			return protocolField
		}
	case len("sec-websocket-extensions"):
		if equalFold(name, "sec-websocket-extensions") {
			return extensionsField
		}
	}
	return 0
}

// End returns the length of the request head in p, with the empty line that
// ends it, or -1 if p holds no end yet. Octets before from were searched by an
// earlier call: pass the length p had then, so that a client which sends one
// octet at a time costs no more than one which sends all at once.
func End(p []byte, from int) int {
	from = max(from-len("\r\n\r"), 0)
	i := bytes.Index(p[from:], []byte("\r\n\r\n"))
	if i < 0 {
		return -1
	}
	return from + i + len("\r\n\r\n")
}

// Parse reads head, a request's first octet to the end of the empty line (see
// End), into h. One empty line before the request line is skipped. The error is an *Error; h is then good for nothing. See the
// package comment for what is refused. More than maxFields header fields are
// answered with 431.
func Parse(head []byte, maxFields int, h *Head) error {
	*h = Head{Fields: h.Fields[:0]}
	line, rest, ok := cutLine(SkipEmptyLine(head))
	if !ok {
		return ErrLineEnd
	}
	if err := h.requestLine(line); err != nil {
		return err
	}
	for {
		line, rest, ok = cutLine(rest)
		if !ok {
			return ErrLineEnd
		}
		if len(line) == 0 {
			break
		}
		if len(h.Fields) >= maxFields {
			return ErrTooManyFields
		}
		if err := h.field(line); err != nil {
			return err
		}
	}
	if len(rest) > 0 {
		return ErrLineEnd
	}
	return h.framing()
}

// cutLine cuts the first line and its CRLF off p.
func cutLine(p []byte) (line, rest []byte, ok bool) {
	i := bytes.IndexByte(p, '\n')
	if i < 1 || p[i-1] != '\r' {
		return nil, nil, false
	}
	return p[:i-1], p[i+1:], true
}

// requestLine reads method, target and version (RFC 9112 §3).
func (h *Head) requestLine(line []byte) error {
	method, rest, ok := bytes.Cut(line, []byte{' '})
	if !ok || !isToken(method) {
		return ErrRequestLine
	}
	target, version, ok := bytes.Cut(rest, []byte{' '})
	if !ok || len(version) != len("HTTP/1.1") || string(version[:5]) != "HTTP/" || version[6] != '.' ||
		!isDigit(version[5]) || !isDigit(version[7]) {
		return ErrRequestLine
	}
	if version[5] != '1' {
		return ErrHTTPVersion
	}
	h.Method, h.Target, h.Minor = method, target, int(version[7]-'0')
	return h.target()
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// target splits the request target, which has one of the forms of RFC 9112
// §3.2. The authority form is that of CONNECT, which nobody needs here.
func (h *Head) target() error {
	switch {
	case string(h.Method) == "CONNECT":
		return ErrMethodUnsupported
	case len(h.Target) == 0 || hasControl(h.Target):
		return ErrTarget
	case h.Target[0] == '/':
		h.Path, h.Query, _ = bytes.Cut(h.Target, []byte{'?'})
		if !validEscapes(h.Path) {
			return ErrTarget
		}
		return nil
	case string(h.Target) == "*" && string(h.Method) == "OPTIONS":
		h.Path = h.Target
		return nil
	}
	return h.absoluteTarget()
}

// absoluteTarget splits a target of the form that proxies are sent. It is rare
// enough to leave the rules to net/url, so that net/http agrees with them.
func (h *Head) absoluteTarget() error {
	u, err := url.ParseRequestURI(string(h.Target))
	if err != nil || u.User != nil {
		return ErrTarget
	}
	switch u.Scheme {
	case "http", "https", "ws", "wss":
	default:
		return ErrTarget
	}
	_, rest, _ := bytes.Cut(h.Target, []byte("://"))
	rest, h.Query, _ = bytes.Cut(rest, []byte{'?'})
	slash := bytes.IndexByte(rest, '/')
	if slash < 0 {
		h.Host, h.Path = rest, []byte{'/'}
	} else {
		h.Host, h.Path = rest[:slash], rest[slash:]
	}
	if u.Host != string(h.Host) || !validHost(h.Host) {
		return ErrTarget
	}
	return nil
}

// validEscapes reports whether each "%" is followed by two hexadecimal digits.
func validEscapes(p []byte) bool {
	for {
		i := bytes.IndexByte(p, '%')
		if i < 0 {
			return true
		}
		if len(p) < i+3 || !isHex(p[i+1]) || !isHex(p[i+2]) {
			return false
		}
		p = p[i+3:]
	}
}

func isHex(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// field reads one header field (RFC 9112 §5). A folded line fails as a name
// that begins with white space.
func (h *Head) field(line []byte) error {
	colon := bytes.IndexByte(line, ':')
	if colon < 0 || !isToken(line[:colon]) || !validValue(line[colon+1:]) {
		return ErrField
	}
	name, value := line[:colon], trim(line[colon+1:])
	kind := fieldOf(name)
	h.Fields = append(h.Fields, Field{name, value, kind})
	h.twice |= h.seen & kind
	h.seen |= kind
	switch kind {
	case hostField:
		if !validHost(value) {
			return ErrHost
		}
		if h.Host == nil { // an absolute target has precedence, RFC 9112 §3.2.2
			h.Host = value
		}
	case originField:
		h.Origin, h.HasOrigin = value, true
	case authorizationField:
		h.Authorization = value
	case keyField:
		h.Key = value
	case versionField:
		h.version13 = string(value) == "13"
	case upgradeField:
		h.upgrade = h.upgrade || hasElement(value, "websocket")
	case connectionField:
		h.connection = h.connection || hasElement(value, "upgrade")
	case expectField:
		if !equalFold(value, "100-continue") {
			return ErrExpect
		}
	case trailerField:
		if hasElement(value, "transfer-encoding") || hasElement(value, "content-length") || hasElement(value, "trailer") {
			return ErrTrailer
		}
	case contentLengthField:
		return h.contentLength(value)
	case transferEncodingField:
		if !equalFold(value, "chunked") {
			return ErrTransferEncoding
		}
		h.body = true
	}
	return nil
}

// contentLength reads a length that fits 63 bits whatever its digits.
func (h *Head) contentLength(value []byte) error {
	if len(value) == 0 || len(value) > 18 {
		return ErrFraming
	}
	for _, c := range value {
		if !isDigit(c) {
			return ErrFraming
		}
		h.length = 10*h.length + int64(c-'0')
	}
	h.body = h.body || h.length > 0
	return nil
}

// framing holds the fields against each other that say whom the request is
// for and how long it is: two readers of it must not see two requests
// (RFC 9112 §3.2, §6.1, §6.3, §11.2).
func (h *Head) framing() error {
	switch {
	case h.twice&hostField != 0, h.seen&hostField == 0 && h.Minor > 0:
		return ErrHost
	case h.twice&transferEncodingField != 0:
		return ErrTransferEncoding
	case h.twice&contentLengthField != 0,
		h.seen&transferEncodingField != 0 && (h.seen&contentLengthField != 0 || h.Minor == 0):
		return ErrFraming
	case h.twice&expectField != 0:
		return ErrExpect
	}
	return nil
}
