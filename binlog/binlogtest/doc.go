// Package binlogtest writes binary log files for tests and benchmarks, without a
// server. What comes in is transactions as a test thinks of them; what goes out,
// through an io.Writer, is the log that MySQL 8.3 and later or MariaDB 10.11 would
// have written for them, byte for byte in the same layout: mysqlbinlog,
// mariadb-binlog and replicas read it, checksums, offsets and GTIDs included.
//
// It serves the promises by making bad days cheap: a log can be truncated,
// corrupted, endless or enormous without anybody having to bring a server into
// that state.
package binlogtest
