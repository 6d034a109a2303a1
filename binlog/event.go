package binlog

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// Event types this package knows by name: MySQL's Log_event_type
// (libs/mysql/binlog/event/binlog_event.h) and, from 160 on, MariaDB's
// (sql/log_event.h).
const (
	typeQuery              = 2
	typeStop               = 3
	typeRotate             = 4
	typeIntvar             = 5
	typeAppendBlock        = 9
	typeDeleteFile         = 11
	typeRand               = 13
	typeUserVar            = 14
	typeFormatDescription  = 15
	typeXID                = 16
	typeBeginLoadQuery     = 17
	typeExecuteLoadQuery   = 18
	typeTableMap           = 19
	typeWriteRowsV0        = 20
	typeDeleteRowsV1       = 25
	typeIncident           = 26
	typeHeartbeat          = 27
	typeIgnorable          = 28
	typeRowsQuery          = 29
	typeWriteRowsV2        = 30
	typeDeleteRowsV2       = 32
	typeGTID               = 33
	typeAnonymousGTID      = 34
	typePreviousGTIDs      = 35
	typeTransactionContext = 36
	typeViewChange         = 37
	typeXAPrepare          = 38
	typePartialUpdateRows  = 39
	typeTransactionPayload = 40
	typeHeartbeatV2        = 41
	typeTaggedGTID         = 42

	typeAnnotateRows        = 160
	typeBinlogCheckpoint    = 161
	typeMariaGTID           = 162
	typeMariaGTIDList       = 163
	typeStartEncryption     = 164
	typeQueryCompressed     = 165
	typeWriteRowsCompressed = 166
	typeDeleteRowsComprV2   = 171
)

// Flags of an event's header.
const (
	flagInUse      = 0x01 // in a format description: the file is, or was at a crash, being written
	flagArtificial = 0x20 // made up by the dump thread; not in the file
	flagIgnorable  = 0x80 // may be skipped by who does not know it
)

const (
	headerSize   = 19
	checksumSize = 4
	// maxEventSize bounds what a size field may ask for: max_allowed_packet, and
	// so an event, is at most 1 GiB on both servers.
	maxEventSize = 1<<30 + 1<<20
)

// header is the common header of an event, version 4 (MySQL internals,
// "Binlog Event Header").
type header struct {
	timestamp uint32
	kind      uint8
	serverID  uint32
	size      uint32
	logPos    uint32 // end of the event in its file, modulo 2^32; 0 for artificial ones
	flags     uint16
}

func parseHeader(b []byte) header {
	_ = b[headerSize-1]
	return header{
		timestamp: binary.LittleEndian.Uint32(b),
		kind:      b[4],
		serverID:  binary.LittleEndian.Uint32(b[5:]),
		size:      binary.LittleEndian.Uint32(b[9:]),
		logPos:    binary.LittleEndian.Uint32(b[13:]),
		flags:     binary.LittleEndian.Uint16(b[17:]),
	}
}

// event is one event as it stands in the log. body aliases the stream's buffer
// and is good until the next one is asked for; its checksum is cut off.
type event struct {
	header
	body []byte
	// partial: the event was larger than the buffer and nobody needed it; body
	// holds only its beginning.
	partial bool
	// start is the offset of the event's first byte; end that of the first byte
	// behind it. In a live stream both follow from logPos.
	start, end uint64
}

// isRows tells whether an event of this type carries row images.
func isRows(kind uint8) bool {
	return kind >= typeWriteRowsV0 && kind <= typeDeleteRowsV1 ||
		kind >= typeWriteRowsV2 && kind <= typeDeleteRowsV2 ||
		kind == typePartialUpdateRows ||
		kind >= typeWriteRowsCompressed && kind <= typeDeleteRowsComprV2
}

// format is what a format description event says of the events behind it.
type format struct {
	flavor   Flavor
	version  string
	created  time.Time
	checksum bool // events end in a CRC32
}

// parseFormat reads the body of a format description event, its checksum still
// on it: whether there is one is written here.
func parseFormat(h header, body []byte) (format, error) {
	const fixed = 2 + 50 + 4 + 1
	if len(body) < fixed+1+checksumSize {
		return format{}, fmt.Errorf("format description of %d bytes, expected at least %d", len(body), fixed+1+checksumSize)
	}
	if v := binary.LittleEndian.Uint16(body); v != 4 {
		return format{}, fmt.Errorf("binary log version %d, expected 4 (MySQL 5.6 or MariaDB 10.0 and later)", v)
	}
	version := string(body[2:52])
	if i := strings.IndexByte(version, 0); i >= 0 {
		version = version[:i]
	}
	if n := body[56]; n != headerSize {
		return format{}, fmt.Errorf("event headers of %d bytes, expected %d", n, headerSize)
	}
	f := format{
		flavor:  MySQL,
		version: version,
		created: time.Unix(int64(h.timestamp), 0).UTC(),
	}
	if strings.Contains(strings.ToLower(version), "mariadb") {
		f.flavor = MariaDB
	}
	// The algorithm's byte and the event's own checksum stand at the end since
	// MySQL 5.6.1 and MariaDB 5.3, whatever the algorithm is.
	switch alg := body[len(body)-checksumSize-1]; alg {
	case 0:
	case 1:
		f.checksum = true
	default:
		return format{}, fmt.Errorf("checksum algorithm %d, expected 0 (none) or 1 (CRC32)", alg)
	}
	return f, nil
}
