package mcproto

import (
	"fmt"
	"strconv"
)

// MaxStale is the longest time a value may be marked stale for, in seconds.
// memcached reads a greater number as a date (REALTIME_MAXDELTA in its sources:
// thirty days).
const MaxStale = 30 * 24 * 60 * 60

// ErrStale is what [AppendMetaStale] returns for a time it cannot ask for.
var ErrStale = fmt.Errorf("a value can be marked stale for 1 to %d seconds (30 days)", MaxStale)

// The commands below carry neither the meta protocol's q flag nor the text
// protocol's noreply: each is owed one answer, in order. With q an error could not
// be matched to its key, and noreply hides what a router's servers refused.

// AppendMetaDelete appends "md KEY\r\n" to dst. It is answered [Deleted],
// [NotFound], [ClientError] or [ServerError]. If key is not valid, dst is returned
// as it was, with [ErrKey].
func AppendMetaDelete[K Bytes](dst []byte, key K) ([]byte, error) {
	if !ValidKey(key) {
		return dst, ErrKey
	}
	dst = append(dst, "md "...)
	dst = append(dst, key...)
	return append(dst, "\r\n"...), nil
}

// AppendMetaStale appends "md KEY I Tn\r\n" to dst: the value stays, marked stale,
// for that many seconds (1 to [MaxStale]). It is answered as a delete is. Readers
// who know nothing of staleness still get the old value, unmarked. If key or
// seconds is not valid, dst is returned as it was, with [ErrKey] or [ErrStale].
func AppendMetaStale[K Bytes](dst []byte, key K, seconds int) ([]byte, error) {
	if !ValidKey(key) {
		return dst, ErrKey
	}
	if seconds < 1 || seconds > MaxStale {
		return dst, ErrStale
	}
	dst = append(dst, "md "...)
	dst = append(dst, key...)
	dst = append(dst, " I T"...)
	dst = strconv.AppendInt(dst, int64(seconds), 10)
	return append(dst, "\r\n"...), nil
}

// AppendTextDelete appends "delete KEY\r\n" to dst. It is answered as
// [AppendMetaDelete] says. If key is not valid, dst is returned as it was, with
// [ErrKey].
func AppendTextDelete[K Bytes](dst []byte, key K) ([]byte, error) {
	if !ValidKey(key) {
		return dst, ErrKey
	}
	dst = append(dst, "delete "...)
	dst = append(dst, key...)
	return append(dst, "\r\n"...), nil
}

// AppendRoutedDelete appends "delete ROUTEKEY\r\n" to dst, route being a router's
// routing prefix, /region/cluster/. The router takes it off, so that it does not
// count towards the key's length. It is answered as [AppendMetaDelete] says. If key
// or route is not valid, dst is returned as it was, with [ErrKey].
func AppendRoutedDelete[K Bytes](dst []byte, route string, key K) ([]byte, error) {
	if !ValidKey(key) || !ValidKey(route) {
		return dst, ErrKey
	}
	dst = append(dst, "delete "...)
	dst = append(dst, route...)
	dst = append(dst, key...)
	return append(dst, "\r\n"...), nil
}

// AppendTextHoldoff appends "delete KEY SECONDS\r\n" to dst: the key is deleted, and
// a server that knows the hold-off refuses to add it for that many seconds (1 to
// [MaxStale]). memcached 1.6 does not: late versions ignore the time, earlier ones
// refuse the command. It is answered as [AppendMetaDelete] says. If key or seconds is
// not valid, dst is returned as it was, with [ErrKey] or [ErrStale].
func AppendTextHoldoff[K Bytes](dst []byte, key K, seconds int) ([]byte, error) {
	if !ValidKey(key) {
		return dst, ErrKey
	}
	if seconds < 1 || seconds > MaxStale {
		return dst, ErrStale
	}
	dst = append(dst, "delete "...)
	dst = append(dst, key...)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, int64(seconds), 10)
	return append(dst, "\r\n"...), nil
}

// CountDeletes takes the run of [Deleted] and [NotFound] answers that b starts
// with, at most limit of them, and says how many of each there were and how many
// bytes they took. It stops in front of the first answer that is anything else or
// not there in full: that one is [ParseAnswer]'s.
//
// It says nothing that ParseAnswer would not say, several times as fast, since a
// batch's answers are hardly anything else. BenchmarkCountDeletes guards it.
func CountDeletes(b []byte, limit int) (deleted, notFound, n int) {
	for deleted+notFound < limit {
		switch rest := b[n:]; {
		case hasPrefix(rest, "NF\r\n"):
			notFound++
			n += len("NF\r\n")
		case hasPrefix(rest, "HD\r\n"):
			deleted++
			n += len("HD\r\n")
		case hasPrefix(rest, "NOT_FOUND\r\n"):
			notFound++
			n += len("NOT_FOUND\r\n")
		case hasPrefix(rest, "DELETED\r\n"):
			deleted++
			n += len("DELETED\r\n")
		default:
			return deleted, notFound, n
		}
	}
	return deleted, notFound, n
}

// hasPrefix compiles to a load or two and a comparison where prefix is a constant.
func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}
