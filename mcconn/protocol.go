package mcconn

import "fmt"

// Protocol is what is spoken on a connection. The zero value is Auto.
type Protocol uint8

// The protocols.
const (
	// Auto asks the peer: Meta if it knows "mn", else Text.
	Auto Protocol = iota
	// Meta is memcached's meta protocol (md): memcached from 1.6.10 and its proxy.
	Meta
	// Text is the classic text protocol (delete): every cache and router.
	Text
)

var protocolNames = [...]string{Auto: "auto", Meta: "meta", Text: "text"}

// String is the protocol's name in a configuration: auto, meta or text.
func (p Protocol) String() string {
	if int(p) < len(protocolNames) {
		return protocolNames[p]
	}
	return fmt.Sprintf("protocol %d", uint8(p))
}

// MarshalText is String for encoders. It never fails.
func (p Protocol) MarshalText() ([]byte, error) {
	return []byte(p.String()), nil
}

// UnmarshalText takes a protocol's name; nothing at all is Auto.
func (p *Protocol) UnmarshalText(text []byte) error {
	switch string(text) {
	case "", "auto":
		*p = Auto
	case "meta":
		*p = Meta
	case "text":
		*p = Text
	default:
		return fmt.Errorf("protocol %q: want auto, meta or text", text)
	}
	return nil
}
