package handshake

// Upgrade reports whether the request asks for WebSocket, with whatever
// method and however wrongly otherwise: Check has the say on that.
func (h *Head) Upgrade() bool { return h.upgrade }

// Check holds a parsed head against what RFC 6455 §4.2.1 wants of an opening
// handshake. The error is an *Error. Upgrader.Upgrade may be called only after
// Check has returned nil.
func (h *Head) Check() error {
	switch {
	case !h.upgrade:
		return ErrUpgrade
	case string(h.Method) != "GET":
		return ErrMethod
	case h.Minor < 1:
		return ErrHTTP10
	case !h.connection:
		return ErrConnection
	case !h.version13 || h.twice&versionField != 0:
		return ErrVersion
	case !validKey(h.Key) || h.twice&keyField != 0:
		return ErrKey
	case h.body:
		return ErrBody
	case h.twice&(originField|authorizationField) != 0:
		return ErrRepeated
	}
	if err := h.checkSubprotocols(); err != nil {
		return err
	}
	return h.checkExtensions()
}

// validKey reports whether key is the base64 of 16 octets (RFC 6455 §4.1): 21
// digits, one whose last four bits are 0, and "==".
func validKey(key []byte) bool {
	if len(key) != 24 || key[22] != '=' || key[23] != '=' {
		return false
	}
	for _, c := range key[:21] {
		if !isDigit(c) && (c < 'A' || 'Z' < c) && (c < 'a' || 'z' < c) && c != '+' && c != '/' {
			return false
		}
	}
	switch key[21] {
	case 'A', 'Q', 'g', 'w':
		return true
	}
	return false
}

// subprotocols yields what the Sec-WebSocket-Protocol fields name, taken as one
// list. Its empty elements a recipient ignores (RFC 9110 §5.6.1.2).
func (h *Head) subprotocols(yield func(name []byte) bool) {
	if h.seen&protocolField == 0 {
		return
	}
	for _, f := range h.Fields {
		if f.kind != protocolField {
			continue
		}
		for list := f.Value; list != nil; {
			var name []byte
			if name, list = cutElement(list); len(name) > 0 && !yield(name) {
				return
			}
		}
	}
}

// checkSubprotocols wants 1#token (RFC 6455 §4.1), if there is such a field.
func (h *Head) checkSubprotocols() error {
	named := h.seen&protocolField == 0
	for name := range h.subprotocols {
		if !isToken(name) {
			return ErrProtocols
		}
		named = true
	}
	if !named {
		return ErrProtocols
	}
	return nil
}

// AppendSubprotocols appends the subprotocols that the client speaks, in its
// order of preference, to dst. The strings are copies.
func (h *Head) AppendSubprotocols(dst []string) []string {
	for name := range h.subprotocols {
		dst = append(dst, string(name))
	}
	return dst
}

// selectSubprotocol returns the first of the client's subprotocols that
// supported has, as the string in supported, or "".
func (h *Head) selectSubprotocol(supported []string) string {
	for name := range h.subprotocols {
		for _, s := range supported {
			if string(name) == s {
				return s
			}
		}
	}
	return ""
}
