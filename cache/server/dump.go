package server

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/mcsqueal/mcsqueal/cache"
)

// listing is a list of all keys that is being sent, as much at a time as there is room
// for.
type listing struct {
	walk   cache.Walk
	format listFormat
	only   []int // classes; nil: all
	// most bounds the keys, and listed counts them; room bounds the bytes. 0: no bound.
	most, listed uint64
	room         int
}

// listFormat is how a key is listed.
type listFormat uint8

const (
	listKnown listFormat = iota // with what is known of it
	listMeta                    // as an mg command
	listItem                    // as stats cachedump does
)

// listingStep is how many buckets of the index are listed in one go. There may be nothing
// to say of any of them, and others wait meanwhile.
const listingStep = 256

// dump begins a list of the keys of all classes, or of some.
func (s *Session) dump(meta bool, classes []byte, out *Output, first bool) {
	switch {
	case s.server.options.NoDump && meta:
		out.text("ERROR key dump not allowed\r\n")
		return
	case s.server.options.NoDump:
		out.text("ERROR metadump not allowed\r\n")
		return
	case !first:
		// The list comes out of turn in memcached; here it would not, but clients must
		// be able to rely on one behaviour.
		out.text("ERROR cannot pipeline other commands before ")
		if meta {
			out.text("mgdump\r\n")
		} else {
			out.text("metadump\r\n")
		}
		return
	}
	only, ok := s.classList(classes)
	if !ok {
		out.text("BADCLASS invalid class id\r\n")
		return
	}
	out.text("OK\r\n")
	s.listing = &listing{only: only}
	if meta {
		s.listing.format = listMeta
	}
}

// classList reads all, hash, or numbers of classes with commas between.
func (s *Session) classList(b []byte) (only []int, ok bool) {
	if string(b) == "all" || string(b) == "hash" {
		return nil, true
	}
	for word := range bytes.SplitSeq(b, []byte(",")) {
		n, ok := unsigned32(word)
		if !ok || n < 1 || int(n) > s.store.ClassCount() {
			return nil, false
		}
		if !slices.Contains(only, int(n)) {
			only = append(only, int(n))
		}
	}
	return only, true
}

// list goes on with the list. It reports whether that is complete.
func (s *Session) list(out *Output) bool {
	l := s.listing
	for range listingStep {
		if out.Full() {
			return false
		}
		from := len(out.Bytes)
		more := s.store.Walk(&l.walk, func(it cache.Item) { l.append(out, it) })
		if l.room > 0 {
			l.room -= len(out.Bytes) - from
			more = more && l.room > 0
		}
		if !more || l.full() {
			s.listing = nil
			if l.format == listMeta {
				out.text("EN\r\n")
			} else {
				out.text("END\r\n")
			}
			return true
		}
	}
	return false
}

func (l *listing) full() bool { return l.most > 0 && l.listed >= l.most }

func (l *listing) append(out *Output, it cache.Item) {
	if l.full() {
		return
	}
	if l.only != nil {
		if !slices.Contains(l.only, it.Class()) {
			return
		}
	}
	l.listed++
	switch l.format {
	case listMeta:
		out.text("mg ")
		out.key(it.Key(), it.Binary())
		out.text("\r\n")
		return
	case listItem:
		out.text("ITEM ")
		out.key(it.Key(), false)
		out.text(" [")
		out.number(uint64(it.Size()))
		out.text(" b; ")
		out.Bytes = strconv.AppendInt(out.Bytes, max(it.Expires(), 0), 10)
		out.text(" s]\r\n")
		return
	}
	b := appendEscaped(append(out.Bytes, "key="...), it.Key())
	b = strconv.AppendInt(append(b, " exp="...), it.Expires(), 10)
	b = strconv.AppendInt(append(b, " la="...), it.Accessed(), 10)
	b = strconv.AppendUint(append(b, " cas="...), it.CAS(), 10)
	b = append(b, " fetch="...)
	if it.Fetched() {
		b = append(b, "yes"...)
	} else {
		b = append(b, "no"...)
	}
	b = strconv.AppendInt(append(b, " cls="...), int64(it.Class()), 10)
	b = strconv.AppendInt(append(b, " size="...), int64(it.Memory()), 10)
	b = strconv.AppendUint(append(b, " flags="...), uint64(it.Flags()), 10)
	out.Bytes = append(b, " \n"...)
}

// appendEscaped appends a key as it can stand in a URL: letters, digits, and - _ . ~ stay.
func appendEscaped(dst, key []byte) []byte {
	for _, c := range key {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.', c == '~':
			dst = append(dst, c)
		default:
			const digits = "0123456789ABCDEF"
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}
