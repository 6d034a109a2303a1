package binlogtest

import (
	"encoding/binary"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// What the servers whose logs these are say of themselves.
const (
	mysqlVersion   = "9.7.4"
	mysqlVersionID = 90704
	mariaVersion   = "10.11.18-MariaDB-log"
)

// The lengths of the fixed parts of events' bodies, by type from 1 on, as the
// servers write them into their format descriptions.
var (
	mysqlPostHeaders = []byte{
		0, 13, 0, 8, 0, 0, 0, 0, 4, 0, 4, 0, 0, 0, 99, 0, 4, 26, 8, 0, 0,
		0, 0, 0, 0, 2, 0, 0, 0, 10, 10, 10, 42, 42, 0, 18, 52, 0, 10, 40, 0, 0,
	}
	mariaPostHeaders = append(append([]byte{
		56, 13, 0, 8, 0, 18, 0, 4, 4, 4, 4, 18, 0, 0, 228, 0, 4, 26, 8, 0, 0,
		0, 8, 8, 8, 2, 0, 0, 0, 10, 10, 10, 0, 0, 0, 0, 0, 0, 10, 10, 10,
	}, make([]byte, 118)...),
		0, 4, 19, 4, 0, 13, 8, 8, 8, 10, 10, 10)
)

// formatDescription is the first event of every file (Format_description_event in
// control_events.h).
func (l *Writer) formatDescription() {
	version, lengths := mysqlVersion, mysqlPostHeaders
	if l.c.Flavor == binlog.MariaDB {
		version, lengths = mariaVersion, mariaPostHeaders
	}
	sum := l.sum
	l.sum = checksumSize // this event always has one
	start := l.open(typeFormatDescription, 0)
	l.buf = binary.LittleEndian.AppendUint16(l.buf, 4)
	var name [50]byte
	copy(name[:], version)
	l.buf = append(l.buf, name[:]...)
	l.buf = append(l.buf, 0, 0, 0, 0) // created: only in the first file behind a server's start
	l.buf = append(l.buf, headerSize)
	l.buf = append(l.buf, lengths...)
	l.buf = append(l.buf, byte(sum/checksumSize)) // the algorithm: 1 is CRC32
	l.close(start)
	l.sum = sum
}

// previous says which transactions the files before this one hold.
func (l *Writer) previous() {
	if l.c.Flavor == binlog.MariaDB {
		l.gtidList()
		return
	}
	encoded, err := l.c.Previous.Encode()
	if err != nil {
		l.fail(err)
		return
	}
	start := l.open(typePreviousGTIDs, flagIgnorable)
	l.buf = append(l.buf, encoded...)
	l.close(start)
}

// gtidList is MariaDB's form of it: the last GTID of each domain
// (Gtid_list_log_event in sql/log_event.h).
func (l *Writer) gtidList() {
	list := l.domains()
	start := l.open(typeMariaGTIDList, 0)
	l.buf = binary.LittleEndian.AppendUint32(l.buf, uint32(len(list)))
	for _, g := range list {
		l.buf = binary.LittleEndian.AppendUint32(l.buf, g.Domain)
		l.buf = binary.LittleEndian.AppendUint32(l.buf, g.Server)
		l.buf = binary.LittleEndian.AppendUint64(l.buf, g.Seq)
	}
	l.close(start)
}
