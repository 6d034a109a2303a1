package binlogtest

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/mcsqueal/mcsqueal/binlog"
)

const (
	defaultSchema = "test"
	defaultTable  = "t"
)

// query writes a Query event (Query_event in statement_events.h).
func (l *Writer) query(tx *Tx, flags uint16, schema, text string) {
	compress := tx.Compress && l.c.Flavor == binlog.MariaDB && flags&flagSuppressUse == 0
	kind := uint8(typeQuery)
	if compress {
		kind = typeQueryCompressed
	}
	start := l.open(kind, flags)
	const thread = 9
	l.buf = binary.LittleEndian.AppendUint32(l.buf, thread)
	l.buf = binary.LittleEndian.AppendUint32(l.buf, 0) // seconds it took
	l.buf = append(l.buf, byte(len(schema)))
	l.buf = binary.LittleEndian.AppendUint16(l.buf, 0) // error
	vars := len(l.buf)
	l.buf = binary.LittleEndian.AppendUint16(l.buf, 0) // the status variables' length: below
	l.statusVars(tx)
	binary.LittleEndian.PutUint16(l.buf[vars:], uint16(len(l.buf)-vars-2))
	l.buf = append(l.buf, schema...)
	l.buf = append(l.buf, 0)
	if compress {
		l.buf = l.pack.maria(l.buf, []byte(text))
	} else {
		l.buf = append(l.buf, text...)
	}
	l.close(start)
}

// statusVars writes what a session's statements depend on, by codes in rising
// order (Query_event::Query_event_status_vars).
func (l *Writer) statusVars(tx *Tx) {
	l.buf = append(l.buf, 0, 0, 0, 0, 0) // flags2
	l.buf = append(l.buf, 1)             // sql_mode
	l.buf = binary.LittleEndian.AppendUint64(l.buf, tx.SQLMode)
	l.buf = append(l.buf, 6, 3, 's', 't', 'd') // catalog
	l.buf = append(l.buf, 4)                   // character sets: client, connection, server
	for range 3 {
		l.buf = binary.LittleEndian.AppendUint16(l.buf, tx.Collation)
	}
	if l.c.Flavor == binlog.MySQL {
		l.buf = append(l.buf, 18, 255, 0) // default_collation_for_utf8mb4
	}
}

// Types of columns (MySQL field_types.h).
const (
	columnBigint = 8
	columnBlob   = 252
)

// insert writes a Table_map event and the rows.
func (l *Writer) insert(tx *Tx, s Stmt) {
	if s.Table == "" {
		s.Table = defaultTable
	}
	if len(s.Schema) > 64 || len(s.Table) > 64 {
		l.fail(fmt.Errorf("table %s.%s: names have at most 64 bytes", s.Schema, s.Table))
		return
	}
	name := s.Schema + "." + s.Table
	id, known := l.tables[name]
	if !known {
		id = 100 + uint64(len(l.tables))
		l.tables[name] = id
	}
	l.tableMap(id, s)
	rows := max(s.Rows, 1)
	for i := range rows {
		l.rows++
		l.row(tx, id, s.RowBytes, i == rows-1)
	}
}

// tableMap says which table an id stands for (Table_map_event in rows_event.h),
// with the metadata of binlog_row_metadata=FULL.
func (l *Writer) tableMap(id uint64, s Stmt) {
	start := l.open(typeTableMap, 0)
	l.tableID(id)
	l.buf = append(l.buf, 1, 0) // flags
	l.buf = append(l.buf, byte(len(s.Schema)))
	l.buf = append(l.buf, s.Schema...)
	l.buf = append(l.buf, 0, byte(len(s.Table)))
	l.buf = append(l.buf, s.Table...)
	l.buf = append(l.buf, 0)
	l.buf = append(l.buf, 2, columnBigint, columnBlob)
	l.buf = append(l.buf, 1, 4)                      // the blob's length has four bytes
	l.buf = append(l.buf, 1<<1)                      // v may be NULL
	l.buf = append(l.buf, 1, 1, 0)                   // signedness: id is signed
	l.buf = append(l.buf, 2, 1, 63)                  // character set: binary
	l.buf = append(l.buf, 4, 5, 2, 'i', 'd', 1, 'v') // names
	l.buf = append(l.buf, 8, 1, 0)                   // primary key: id
	if l.c.Flavor == binlog.MySQL {
		l.buf = append(l.buf, 12, 1, 0xc0) // visibility: both are
	}
	l.close(start)
}

func (l *Writer) tableID(id uint64) {
	l.buf = binary.LittleEndian.AppendUint32(l.buf, uint32(id))
	l.buf = binary.LittleEndian.AppendUint16(l.buf, uint16(id>>32))
}

// row writes an event with one row: version 2 on MySQL, 1 on MariaDB.
func (l *Writer) row(tx *Tx, table uint64, size int, last bool) {
	maria := l.c.Flavor == binlog.MariaDB
	kind := uint8(typeWriteRowsV2)
	compress := maria && tx.Compress
	if maria {
		kind = typeWriteRowsV1
		if compress {
			kind = typeWriteRowsV1Compressed
		}
	}
	start := l.open(kind, 0)
	l.tableID(table)
	flags := byte(0)
	if last {
		flags = 1 // the statement's end
	}
	l.buf = append(l.buf, flags, 0)
	if !maria {
		l.buf = append(l.buf, 2, 0) // no extra data but this length
	}
	l.buf = append(l.buf, 2, 0b11) // two columns, both are here
	image := len(l.buf)
	l.buf = append(l.buf, 0) // none is NULL
	l.buf = binary.LittleEndian.AppendUint64(l.buf, l.rows)
	l.buf = binary.LittleEndian.AppendUint32(l.buf, uint32(size))
	for size > 0 {
		n := min(size, len(filling))
		l.buf = append(l.buf, filling[:n]...)
		size -= n
	}
	if compress {
		packed := l.pack.maria(nil, l.buf[image:])
		l.buf = append(l.buf[:image], packed...)
	}
	l.close(start)
}

// filling is what v holds.
var filling = bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog; "), 1000)
