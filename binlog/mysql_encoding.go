package binlog

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The binary form of a MySQL set: what COM_BINLOG_DUMP_GTID carries and what a
// PREVIOUS_GTIDS_LOG_EVENT's body is. All numbers are little-endian.
//
//	header       8   classic: the number of sources; its top byte is 0
//	                 tagged (8.3 and later, when a tag is in the set):
//	                 1, the number of sources in 6 bytes, 1
//	per source, in order:
//	  uuid      16
//	  tag length 1   tagged only: a variable-length integer, here always one
//	                 byte: the length, shifted left by one
//	  tag            tagged only: 0-32 bytes
//	  intervals  8   how many
//	  each      16   first number, last number + 1
//
// (sql/rpl_gtid_set.cc: Gtid_set::encode, add_gtid_encoding, encode_nsids_format;
// libs/mysql/gtid: Tag::encode_tag.)
const (
	formatTagged   = 1
	sourceOverhead = 16 + 8
	intervalSize   = 16
)

// Encode is the binary form of a MySQL set, for COM_BINLOG_DUMP_GTID. It is the
// classic form, which every server reads, unless the set holds a tag. MariaDB has
// no such form (a replica there sets @slave_connect_state to the set's String):
// a MariaDB set is an error.
func (s *GTIDSet) Encode() ([]byte, error) {
	v := s.view()
	if v.flavor == MariaDB {
		return nil, errors.New("encode GTID set: MariaDB sets have no binary form")
	}
	size, header := 8, uint64(len(v.sources))
	for _, src := range v.sources {
		size += sourceOverhead + 1 + len(src.tag) + intervalSize*len(src.ivs)
		if src.tag != "" {
			header = formatTagged<<56 | uint64(len(v.sources))<<8 | formatTagged
		}
	}
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, size), header)
	for _, src := range v.sources {
		b = append(b, src.sid[:]...)
		if header>>56 == formatTagged {
			b = append(b, byte(len(src.tag))<<1)
			b = append(b, src.tag...)
		}
		b = binary.LittleEndian.AppendUint64(b, uint64(len(src.ivs)))
		for _, iv := range src.ivs {
			b = binary.LittleEndian.AppendUint64(b, iv.lo)
			b = binary.LittleEndian.AppendUint64(b, iv.hi+1)
		}
	}
	return b, nil
}

// DecodeMySQLGTIDSet reads the binary form of a MySQL set: the body of a
// PREVIOUS_GTIDS_LOG_EVENT, without the event's header and checksum. All of body
// must belong to the set. Body may come from anywhere: nothing is allocated that
// is not backed by its length. It is not kept.
func DecodeMySQLGTIDSet(body []byte) (*GTIDSet, error) {
	srcs, err := decodeSources(body)
	if err != nil {
		return nil, fmt.Errorf("decode GTID set of %d bytes: %w", len(body), err)
	}
	return &GTIDSet{flavor: MySQL, sources: canonical(srcs)}, nil
}

func decodeSources(body []byte) ([]source, error) {
	r := setReader{rest: body}
	header := r.uint64()
	if r.short {
		return nil, errors.New("ends within the header")
	}
	tagged := header>>56 == formatTagged
	n := header
	if tagged {
		n = header << 8 >> 16
	} else if header>>56 != 0 {
		return nil, fmt.Errorf("format %d is not known", header>>56)
	}
	var srcs []source
	for i := range n {
		var src source
		copy(src.sid[:], r.bytes(16))
		if tagged {
			length := r.bytes(1)
			if len(length) == 1 && (length[0]&1 != 0 || length[0]>>1 > maxTagLen) {
				return nil, fmt.Errorf("source %d: tag is longer than %d bytes", i, maxTagLen)
			}
			if len(length) == 1 && length[0] > 0 {
				src.tag = string(r.bytes(uint64(length[0] >> 1)))
				if !r.short && !validTag(src.tag) {
					return nil, fmt.Errorf("source %d: %w", i, errTag(src.tag))
				}
			}
		}
		count := r.uint64()
		if r.short || count > uint64(len(r.rest))/intervalSize {
			return nil, fmt.Errorf("ends within source %d of %d", i, n)
		}
		src.ivs = make([]interval, 0, count)
		before := uint64(0)
		for range count {
			first, end := r.uint64(), r.uint64()
			if first <= before || end <= first || end > maxGNO+1 {
				return nil, fmt.Errorf("source %d: interval from %d to before %d, after one that ends before %d", i, first, end, before)
			}
			src.ivs = append(src.ivs, interval{first, end - 1})
			before = end
		}
		srcs = append(srcs, src)
	}
	if len(r.rest) > 0 {
		return nil, fmt.Errorf("%d bytes behind the last of %d sources", len(r.rest), n)
	}
	return srcs, nil
}

// A setReader takes bytes off the front of rest. Once there are too few, short is
// true, and from then on all it gives is nil and 0.
type setReader struct {
	rest  []byte
	short bool
}

func (r *setReader) bytes(n uint64) []byte {
	if r.short || n > uint64(len(r.rest)) {
		r.short = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *setReader) uint64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}
