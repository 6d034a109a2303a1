package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/binlog/binlogtest"
)

// logFile writes a log file and tells its size.
func logFile(path string, c binlogtest.Config, write func(l *binlogtest.Writer)) (size int64, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, fmt.Errorf("make a log file: %w", err)
	}
	buffered := bufio.NewWriterSize(f, 1<<20)
	l := binlogtest.NewWriter(buffered, c)
	write(l)
	return int64(l.Offset()), errors.Join(l.Err(), buffered.Flush(), f.Close())
}

// eventFile writes a log file of about size bytes whose events have about each
// bytes on average, and tells how many keys it names. Every transaction is one
// statement that inserts a few rows, as a busy application's does, and one in every
// names a key; the others have a comment of another kind.
func eventFile(path string, c binlogtest.Config, size, each, every int) (bytes int64, keys int, err error) {
	bytes, err = logFile(path, c, func(l *binlogtest.Writer) {
		const rows = 3
		// A transaction's events: GTID, BEGIN, text, table, rows, commit. What stands
		// around the rows' contents is measured on the first.
		rowBytes := 0
		for i := 0; l.Err() == nil && l.Offset() < uint64(size); i++ {
			before := l.Offset()
			text := fmt.Sprintf("INSERT INTO shop.orders /* by: user:%d:orders */ (id, v) VALUES (%[1]d, ?)", i)
			if i%every == 0 {
				text = strings.Replace(text, "by", "mc", 1)
				keys++
			}
			l.Transaction(binlogtest.Tx{Statements: []binlogtest.Stmt{{Text: text, Schema: "shop", Table: "orders", Rows: rows, RowBytes: rowBytes}}})
			if i == 0 {
				events := 5 + rows
				if c.Flavor == binlog.MariaDB {
					events-- // no BEGIN
				}
				rowBytes = max(0, (each*events-int(l.Offset()-before))/rows)
			}
		}
		l.Rotate("bin.000002")
	})
	return bytes, keys, err
}

// keyFile writes a log file whose transactions name keys distinct keys, perTx in
// each.
func keyFile(path string, c binlogtest.Config, keys, perTx int) error {
	_, err := logFile(path, c, func(l *binlogtest.Writer) {
		for first := 0; l.Err() == nil && first < keys; first += perTx {
			l.Transaction(tagged(first, min(perTx, keys-first)))
		}
		l.Rotate("bin.000002")
	})
	return err
}

// tagged is a transaction of one statement that names n keys, from number first on.
func tagged(first, n int) binlogtest.Tx {
	var text strings.Builder
	text.WriteString("UPDATE /* mc:")
	for i := range n {
		fmt.Fprintf(&text, " "+keyFormat, first+i)
	}
	text.WriteString(" */ test.t SET v = v + 1 WHERE id = 1")
	return binlogtest.Tx{Statements: []binlogtest.Stmt{{Text: text.String(), RowBytes: 20}}}
}

// keyFormat is a key of usual length.
const keyFormat = "user:%08d:profile"
