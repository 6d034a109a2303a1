package binlog

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// GTIDSet says which transactions have been executed.
//
// A MySQL set is exactly that: any number of transactions under any number of
// source UUIDs and tags. A MariaDB set is the last GTID in log order of each
// domain, and stands for all before them; how such a set is to be asked says
// Contains.
//
// The zero value is an empty set that takes the flavor of what is first added. A
// nil *GTIDSet may be read, and reads as an empty one. A set has one user at a
// time, or a lock around it; only methods that do not change it may run side by
// side. No two sets share memory.
type GTIDSet struct {
	flavor  Flavor
	sources []source // MySQL; see source
	domains []GTID   // MariaDB; see mariadb_gtidset.go
	last    int      // a hint: the index of the source or domain used last
}

// NewGTIDSet is an empty set that takes GTIDs of flavor only, or, of
// FlavorUnknown, a zero GTIDSet.
func NewGTIDSet(flavor Flavor) *GTIDSet {
	return &GTIDSet{flavor: flavor}
}

// ParseGTIDSet reads a set as servers print it:
//
//	uuid:1-5:7,uuid:1-3:tag:1-5     MySQL: intervals, those behind a tag are the tag's
//	0-1-5,1-2-7                     MariaDB: domain-server-number, a domain once
//
// White space, newlines and empty parts are ignored, order does not matter.
// FlavorUnknown lets the syntax decide. Empty text is the empty set.
func ParseGTIDSet(flavor Flavor, text string) (*GTIDSet, error) {
	if flavor == FlavorUnknown {
		flavor = guessFlavor(text)
	}
	s := NewGTIDSet(flavor)
	var err error
	switch flavor {
	case MySQL:
		s.sources, err = parseMySQLSet(text)
	case MariaDB:
		s.domains, err = parseMariaDBSet(text)
	default: // nothing but white space and commas
	}
	if err != nil {
		return nil, fmt.Errorf("GTID set: %w", err)
	}
	return s, nil
}

// view is what s holds, for reading: nothing where s is nil.
func (s *GTIDSet) view() GTIDSet {
	if s == nil {
		return GTIDSet{}
	}
	return *s
}

// Flavor is the flavor of the transactions the set holds or may hold;
// FlavorUnknown for an empty set that takes any.
func (s *GTIDSet) Flavor() Flavor { return s.view().flavor }

// Empty reports whether nothing is in the set.
func (s *GTIDSet) Empty() bool {
	v := s.view()
	return len(v.sources) == 0 && len(v.domains) == 0
}

// Count is the number of transactions in a MySQL set (at most 2^64-1 is said). Of
// a MariaDB set it is the number of domains, for how many transactions lie before
// each domain's last is not known.
func (s *GTIDSet) Count() uint64 {
	v := s.view()
	n := uint64(len(v.domains))
	for _, src := range v.sources {
		for _, iv := range src.ivs {
			size := iv.hi - iv.lo + 1
			if n > math.MaxUint64-size {
				return math.MaxUint64
			}
			n += size
		}
	}
	return n
}

// Add adds g.
//
// To a MySQL set GTIDs may be added in any order, and again. To a MariaDB set they
// are added in log order, for g becomes its domain's last even where its number is
// less than the one before (without gtid_strict_mode a log may hold that).
//
// The zero GTID, one of another flavor than the set's, and one that no server can
// have given out are errors and leave the set as it is. The next transaction of
// the source or domain that was last added to costs a few nanoseconds and
// allocates nothing (BenchmarkAdd, TestAddAllocatesNothing).
func (s *GTIDSet) Add(g GTID) error {
	if s.flavor == MySQL && g.Flavor == MySQL && s.last < len(s.sources) {
		if src := &s.sources[s.last]; src.sid == g.SID && src.tag == g.Tag {
			if iv := &src.ivs[len(src.ivs)-1]; iv.hi+1 == g.Seq && g.Seq <= maxGNO {
				iv.hi = g.Seq
				return nil
			}
		}
	}
	if err := s.add(g); err != nil {
		return fmt.Errorf("add GTID %q to set: %w", g, err)
	}
	return nil
}

func (s *GTIDSet) add(g GTID) error {
	switch {
	case g.Flavor == FlavorUnknown:
		return errors.New("the transaction has no GTID")
	case s.flavor != FlavorUnknown && s.flavor != g.Flavor:
		return fmt.Errorf("it is %s's and the set is %s's", g.Flavor, s.flavor)
	case g.Flavor == MySQL:
		return s.addSource(g.SID, g.Tag, g.Seq, g.Seq)
	case s.last < len(s.domains) && s.domains[s.last].Domain == g.Domain:
		s.domains[s.last] = g
	default:
		s.addDomain(g)
	}
	return nil
}

// AddRange adds MySQL's transactions lo … hi, both inclusive, of (sid, tag), or
// says why it cannot and leaves the set as it is: a MariaDB set, a tag or numbers
// that no server can have given out, hi < lo.
func (s *GTIDSet) AddRange(sid [16]byte, tag string, lo, hi uint64) error {
	if s.flavor == MariaDB {
		return fmt.Errorf("add %d-%d to GTID set: ranges are MySQL's and the set is MariaDB's", lo, hi)
	}
	if err := s.addSource(sid, tag, lo, hi); err != nil {
		return fmt.Errorf("add to GTID set: %w", err)
	}
	return nil
}

// Contains reports whether g has been executed.
//
// Of a MariaDB set it asks whether g's number is less than that of its domain's
// last GTID, or g is that GTID. This is right where numbers rise along the log
// within a domain, which gtid_strict_mode enforces. Without it, transactions that
// several servers wrote to one domain at the same time may lie in the log out of
// order, and one still to come may be said to be contained: where the place in the
// log is known, Position.Executed is the better question. An equal number from
// another server is another transaction, and not contained. The zero GTID is in no
// set.
func (s *GTIDSet) Contains(g GTID) bool {
	v := s.view()
	switch g.Flavor {
	case MySQL:
		i, found := findSource(v.sources, &g.SID, g.Tag)
		return found && covers(v.sources[i].ivs, g.Seq, g.Seq)
	case MariaDB:
		i, found := findDomain(v.domains, g.Domain)
		return found && reached(v.domains[i], g)
	default:
		return false
	}
}

// Covers reports whether s contains all that other does: s ⊇ other. It allocates
// nothing.
func (s *GTIDSet) Covers(other *GTIDSet) bool {
	v, o := s.view(), other.view()
	for _, src := range o.sources {
		i, found := findSource(v.sources, &src.sid, src.tag)
		if !found {
			return false
		}
		for _, iv := range src.ivs {
			if !covers(v.sources[i].ivs, iv.lo, iv.hi) {
				return false
			}
		}
	}
	for _, g := range o.domains {
		if !s.Contains(g) {
			return false
		}
	}
	return true
}

// Missing is a new set: what other contains and s does not, other minus s. For
// MariaDB these are the domains in which s has not reached other's last GTID, with
// that GTID.
func (s *GTIDSet) Missing(other *GTIDSet) *GTIDSet {
	v, o := s.view(), other.view()
	out := NewGTIDSet(o.flavor)
	out.sources = combine(o.sources, v.sources, subtract)
	for _, g := range o.domains {
		if !s.Contains(g) {
			out.domains = append(out.domains, g)
		}
	}
	return out
}

// Union adds to s all that other contains. For MariaDB s gets the higher number of
// each domain, for a set does not say which is later in the log. Sets of two
// flavors are an error, which leaves s as it is.
func (s *GTIDSet) Union(other *GTIDSet) error {
	o := other.view()
	switch {
	case other.Empty():
		return nil
	case s.flavor != FlavorUnknown && s.flavor != o.flavor:
		return fmt.Errorf("union of GTID sets: one is %s's, the other %s's", s.flavor, o.flavor)
	}
	s.flavor = o.flavor
	s.sources = combine(s.sources, o.sources, union)
	for _, g := range o.domains {
		if i, found := findDomain(s.domains, g.Domain); !found || s.domains[i].Seq < g.Seq {
			s.addDomain(g)
		}
	}
	return nil
}

// Intersect is a new set: what both contain. For MariaDB that is the GTID with the
// lower number of each domain that is in both (s's of two that differ in the
// server alone).
func (s *GTIDSet) Intersect(other *GTIDSet) *GTIDSet {
	v, o := s.view(), other.view()
	out := NewGTIDSet(v.flavor)
	if v.flavor == FlavorUnknown {
		out.flavor = o.flavor
	}
	out.sources = combine(v.sources, o.sources, intersect)
	for _, g := range v.domains {
		if i, found := findDomain(o.domains, g.Domain); found {
			if o.domains[i].Seq < g.Seq {
				g = o.domains[i]
			}
			out.domains = append(out.domains, g)
		}
	}
	return out
}

// Clone is a copy that shares no memory with s; nil for nil.
func (s *GTIDSet) Clone() *GTIDSet {
	if s == nil {
		return nil
	}
	c := *s
	c.domains = slices.Clone(s.domains)
	c.sources = slices.Clone(s.sources)
	for i := range c.sources {
		c.sources[i].ivs = slices.Clone(c.sources[i].ivs)
	}
	return &c
}

// Equal reports whether both contain the same. Empty sets are equal, whatever
// their flavors.
func (s *GTIDSet) Equal(other *GTIDSet) bool {
	v, o := s.view(), other.view()
	return slices.Equal(v.domains, o.domains) &&
		slices.EqualFunc(v.sources, o.sources, func(a, b source) bool {
			return a.sid == b.sid && a.tag == b.tag && slices.Equal(a.ivs, b.ivs)
		})
}

// String is the set as the server prints it, on one line: MySQL's by UUID, then by
// tag, the untagged first; MariaDB's by domain. "" for an empty set.
func (s *GTIDSet) String() string { return string(s.Append(nil)) }

// Append appends String to b.
func (s *GTIDSet) Append(b []byte) []byte {
	v := s.view()
	b = appendSources(b, v.sources)
	for i, g := range v.domains {
		if i > 0 {
			b = append(b, ',')
		}
		b = g.Append(b)
	}
	return b
}

// MarshalText is String, so that a set is a string in JSON (a nil one null).
func (s *GTIDSet) MarshalText() ([]byte, error) { return s.Append(nil), nil }

// UnmarshalText is ParseGTIDSet for s's flavor, or where that is unknown the
// flavor that the syntax tells.
func (s *GTIDSet) UnmarshalText(text []byte) error {
	parsed, err := ParseGTIDSet(s.flavor, string(text))
	if err != nil {
		return err
	}
	*s = *parsed
	return nil
}
