package binlog

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A source is what a MySQL set holds under one (UUID, tag). A set keeps its
// sources in the server's own order: by UUID, then by tag, both as bytes, the
// untagged first (Tsid_map::get_sorted_sidno). None is empty.
type source struct {
	sid [16]byte
	tag string
	ivs []interval
}

func compareSources(a, b source) int { return a.compare(&b.sid, b.tag) }

func (src *source) compare(sid *[16]byte, tag string) int {
	if c := bytes.Compare(src.sid[:], sid[:]); c != 0 {
		return c
	}
	return strings.Compare(src.tag, tag)
}

// findSource says where (sid, tag) is in srcs, or would go. It is written out
// because slices.BinarySearchFunc copies every source that it looks at.
func findSource(srcs []source, sid *[16]byte, tag string) (i int, found bool) {
	lo, hi := 0, len(srcs)
	for lo < hi {
		mid := (lo + hi) / 2
		switch c := srcs[mid].compare(sid, tag); {
		case c == 0:
			return mid, true
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return lo, false
}

// canonical makes any list of sources one that a set may hold, reusing its memory.
func canonical(srcs []source) []source {
	slices.SortStableFunc(srcs, compareSources)
	out := srcs[:0]
	for _, src := range srcs {
		if n := len(out); n > 0 && compareSources(out[n-1], src) == 0 {
			out[n-1].ivs = append(out[n-1].ivs, src.ivs...)
		} else {
			out = append(out, src)
		}
	}
	clear(srcs[len(out):])
	for i := range out {
		out[i].ivs = join(out[i].ivs)
	}
	return slices.DeleteFunc(out, func(src source) bool { return len(src.ivs) == 0 })
}

// combine applies op to the intervals of each (UUID, tag) that is in a or b; op
// returns new memory.
func combine(a, b []source, op func(x, y []interval) []interval) []source {
	var out []source
	for len(a) > 0 || len(b) > 0 {
		var src source
		var x, y []interval
		order := 0
		switch {
		case len(a) == 0:
			order = 1
		case len(b) == 0:
			order = -1
		default:
			order = compareSources(a[0], b[0])
		}
		if order <= 0 {
			src, x, a = a[0], a[0].ivs, a[1:]
		}
		if order >= 0 {
			src, y, b = b[0], b[0].ivs, b[1:]
		}
		if src.ivs = op(x, y); len(src.ivs) > 0 {
			out = append(out, src)
		}
	}
	return out
}

// addSource adds lo … hi under (sid, tag): the way of all that is not the next
// transaction of the source used last.
func (s *GTIDSet) addSource(sid [16]byte, tag string, lo, hi uint64) error {
	switch {
	case lo < 1 || lo > maxGNO:
		return errGNO(strconv.FormatUint(lo, 10))
	case hi > maxGNO:
		return errGNO(strconv.FormatUint(hi, 10))
	case lo > hi:
		return fmt.Errorf("transaction numbers %d-%d: the last is less than the first", lo, hi)
	}
	i, found := findSource(s.sources, &sid, tag)
	if !found {
		if tag != "" && !validTag(tag) {
			return errTag(tag)
		}
		s.sources = slices.Insert(s.sources, i, source{sid: sid, tag: tag})
	}
	s.flavor, s.last = MySQL, i
	s.sources[i].ivs = insert(s.sources[i].ivs, lo, hi)
	return nil
}

// parseMySQLSet reads uuid:1-5:7:tag:1-3,uuid:… . Within a UUID a tag holds for
// all intervals up to the next tag.
func parseMySQLSet(s string) ([]source, error) {
	var srcs []source
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue // as the server does
		}
		uuid, rest, more := strings.Cut(part, ":")
		sid, err := parseUUID(uuid)
		if err != nil {
			return nil, err
		}
		src := source{sid: sid}
		for more {
			var item string
			item, rest, more = strings.Cut(rest, ":")
			if tag, ok := parseTag(item); ok {
				switch {
				case len(src.ivs) > 0:
					srcs = append(srcs, src)
				case src.tag != "":
					return nil, fmt.Errorf("tag %q of source %s has no transaction numbers", src.tag, uuid)
				}
				src = source{sid: sid, tag: tag}
				continue
			}
			iv, err := parseInterval(item)
			if err != nil {
				return nil, fmt.Errorf("source %s: %w", uuid, err)
			}
			src.ivs = append(src.ivs, iv)
		}
		if len(src.ivs) == 0 {
			return nil, fmt.Errorf("%q has no transaction numbers; write uuid:first-last", clip(part))
		}
		srcs = append(srcs, src)
	}
	return canonical(srcs), nil
}

func parseInterval(s string) (iv interval, err error) {
	first, last, isRange := strings.Cut(s, "-")
	if iv.lo, err = parseGNO(first); err != nil {
		return interval{}, err
	}
	if iv.hi = iv.lo; isRange {
		if iv.hi, err = parseGNO(last); err != nil {
			return interval{}, err
		}
	}
	if iv.lo > iv.hi {
		return interval{}, fmt.Errorf("transaction numbers %q: the last is less than the first", clip(s))
	}
	return iv, nil
}

// appendSources writes srcs as the server prints them, without its newlines
// (Gtid_set::to_string): a UUID once, then its tags with their intervals.
func appendSources(b []byte, srcs []source) []byte {
	for i, src := range srcs {
		if i == 0 || src.sid != srcs[i-1].sid {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendUUID(b, src.sid)
		}
		if src.tag != "" {
			b = append(b, ':')
			b = append(b, src.tag...)
		}
		for _, iv := range src.ivs {
			b = append(b, ':')
			b = strconv.AppendUint(b, iv.lo, 10)
			if iv.hi > iv.lo {
				b = append(b, '-')
				b = strconv.AppendUint(b, iv.hi, 10)
			}
		}
	}
	return b
}
