package auth

// Reason is why a client or a backend is not let in.
type Reason uint8

const (
	ReasonMissing   Reason = iota // there is no token where one is needed
	ReasonMalformed               // it is no token, or none that is understood
	ReasonSignature               // nobody who may has signed it
	ReasonExpired                 // it has expired, or is not valid yet
	ReasonAudience                // it is meant for somebody else
	ReasonIssuer                  // who has issued it is not known
	ReasonKeys                    // there is no key to verify it with, or none could be had
	ReasonRole                    // its roles or groups are not understood

	reasons // how many there are
)

// String returns the name of r as it stands in metrics.
func (r Reason) String() string {
	if r < reasons {
		return [reasons]string{"missing", "malformed", "signature", "expired", "audience", "issuer", "keys", "role"}[r]
	}
	return "none"
}

// Error says that a token was refused. Its text never holds any of the token.
type Error struct {
	Reason Reason
	text   string
}

// Error says what is wrong with the token.
func (e *Error) Error() string { return e.text }
