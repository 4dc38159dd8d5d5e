package session

// Member is a session's place in the index of its hub: in [Users] by the user
// that it is, and in [Groups] by the groups that it is in. It is embedded in
// what the gateway knows of the session, so that neither index allocates
// anything for finding a user's sessions. A Member must stay where it is in
// memory while it is in an index, and belongs to the goroutine of its loop.
type Member struct {
	// User is who the session is, empty for an anonymous one. It must not
	// change while the member is in Users.
	User string
	// Slot is the session's place in its loop, which is what the indexes find.
	// It must not change while the member is in an index.
	Slot uint32

	// hash is that of User while the member is in Users.
	hash uint32
	// The first of a user's sessions stands in the table: next is the first
	// session of the next user in its bucket, kin the second session of its
	// own. The others stand in a line that begins there: next is who stands
	// behind, kin who stands ahead, which for the second session is the first.
	// So a bucket is as short as it has users, however many sessions they have.
	next, kin *Member
	// groups is the latest of the member's memberships, which are a list.
	groups *membership
}

// key and chain make a Member the entry of a table.
func (m *Member) key() (string, uint32) { return m.User, m.hash }
func (m *Member) chain() **Member       { return &m.next }
