// Package binlog reads the binary log of MySQL and MariaDB servers: live, as a
// replica would, or from log files. What comes in is events; what goes out, to a
// Handler, is transactions in log order: where each begins, the text of its
// statements, the tables and rows it changed, and how it ended. A transaction is
// streamed, never gathered, and events nobody asked for are walked over without
// being copied. The package also owns places in a log: GTIDs and their sets,
// files and offsets. It keeps the first promise's reading half: after any
// interruption the reading goes on at the end of the last transaction that was
// read whole, and nothing is skipped in silence.
package binlog
