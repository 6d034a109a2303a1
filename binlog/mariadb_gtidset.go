package binlog

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// A MariaDB set is one GTID for each domain, the last in log order, sorted by
// domain.

func findDomain(last []GTID, domain uint32) (i int, found bool) {
	return slices.BinarySearchFunc(last, domain, func(g GTID, domain uint32) int {
		return cmp.Compare(g.Domain, domain)
	})
}

// addDomain makes g its domain's last.
func (s *GTIDSet) addDomain(g GTID) {
	i, found := findDomain(s.domains, g.Domain)
	if found {
		s.domains[i] = g
	} else {
		s.domains = slices.Insert(s.domains, i, g)
	}
	s.flavor, s.last = MariaDB, i
}

// reached reports whether a domain whose last transaction is last contains g, of
// the same domain.
func reached(last, g GTID) bool {
	return g.Seq < last.Seq || g == last
}

// parseMariaDBSet reads 0-1-5,1-2-7. A domain named twice is an error, as it is to
// the server: nothing says which of the two is the later.
func parseMariaDBSet(s string) ([]GTID, error) {
	var last []GTID
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		g, err := parseMariaDBGTID(part)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", clip(part), err)
		}
		last = append(last, g)
	}
	slices.SortFunc(last, func(a, b GTID) int { return cmp.Compare(a.Domain, b.Domain) })
	for i := 1; i < len(last); i++ {
		if last[i].Domain == last[i-1].Domain {
			return nil, fmt.Errorf("domain %d is named twice", last[i].Domain)
		}
	}
	return last, nil
}

// DecodeMariaDBGTIDList reads the body of a MariaDB GTID_LIST_EVENT, without the event's
// header and checksum: the set that was executed where the file begins. The event
// lists the last GTID of every (domain, server); of a domain's several the one
// that is last in the log comes last (rpl_binlog_state::get_gtid_list), and that
// one the set keeps. Body may come from anywhere, as with DecodeMySQLGTIDSet.
//
//	count and flags  4   the count in the lower 28 bits
//	each            16   domain 4, server 4, sequence number 8
func DecodeMariaDBGTIDList(body []byte) (*GTIDSet, error) {
	const each = 16
	if len(body) < 4 {
		return nil, fmt.Errorf("decode GTID list of %d bytes: too short", len(body))
	}
	count, list := binary.LittleEndian.Uint32(body)&(1<<28-1), body[4:]
	if uint64(len(list)) < uint64(count)*each {
		return nil, fmt.Errorf("decode GTID list of %d bytes: too short for %d GTIDs", len(body), count)
	}
	last := make([]GTID, 0, count)
	for ; count > 0; count-- {
		last = append(last, GTID{
			Flavor: MariaDB,
			Domain: binary.LittleEndian.Uint32(list),
			Server: binary.LittleEndian.Uint32(list[4:]),
			Seq:    binary.LittleEndian.Uint64(list[8:]),
		})
		list = list[each:]
	}
	slices.SortStableFunc(last, func(a, b GTID) int { return cmp.Compare(a.Domain, b.Domain) })
	s := NewGTIDSet(MariaDB)
	for i, g := range last {
		if i == len(last)-1 || last[i+1].Domain != g.Domain {
			s.domains = append(s.domains, g)
		}
	}
	return s, nil
}
