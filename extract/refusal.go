package extract

// Reason says why something that was meant as a key, or a statement that
// mentions a tag, gave no key. Its values are few and fixed, fit for a metric's
// label.
type Reason uint8

// The reasons. Those up to UnclosedValue are about one key, or one tag's list:
// its neighbours went out. Misread and Ambiguous are about a statement.
const (
	// none is the absence of a reason, in state kept while reading.
	none Reason = iota
	// TooLong: the key is longer than 250 bytes, memcached's limit.
	TooLong
	// ControlByte: the key has a byte up to 0x20 or 0x7f, which no memcached
	// protocol can carry in a key.
	ControlByte
	// Empty: a rule's key has no bytes, for its columns have none.
	Empty
	// BadEscape: a percent sign without two hexadecimal digits behind it.
	BadEscape
	// UnclosedValue: the comment ends inside a sqlcommenter value.
	UnclosedValue
	// Misread: the text cannot be what the server accepted, read in this way: it
	// ends inside a literal, a quoted name or a comment, or has a byte between
	// its tokens that no statement has there. The session's sql_mode or character
	// set is another than the one it was read with. No key of the statement
	// went out.
	Misread
	// Ambiguous: the statement mentions a tag behind a place which servers read
	// differently (a dollar-quoted text, for one). Keys before it went out.
	Ambiguous
)

// String gives the reason as a metric's label has it.
func (r Reason) String() string {
	switch r {
	case none:
		return "none"
	case TooLong:
		return "too_long"
	case ControlByte:
		return "control_byte"
	case Empty:
		return "empty"
	case BadEscape:
		return "bad_escape"
	case UnclosedValue:
		return "unclosed_value"
	case Misread:
		return "misread"
	case Ambiguous:
		return "ambiguous"
	}
	return "unknown"
}

// Reasons lists every reason there is, so that a metric can start each at zero.
func Reasons() []Reason {
	return []Reason{TooLong, ControlByte, Empty, BadEscape, UnclosedValue, Misread, Ambiguous}
}

// Refusal is something that was meant as a key and was not taken for one.
type Refusal struct {
	Reason Reason
	// Text is where it stood, as written and cut to 100 bytes. It may hold any
	// byte at all, and is good only during the call that hands it over.
	Text []byte
}

// refuse hands over a refusal with a sample of where it stood.
func refuse(refused func(Refusal), why Reason, where []byte) {
	const sample = 100
	refused(Refusal{Reason: why, Text: where[:min(len(where), sample)]})
}
