package main

import (
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// bound tells something of a transaction in a file.
type bound func(t *binlog.Transaction, f binlog.File) bool

// and is the bound that holds where both do; nil always holds.
func and(a, b bound) bound {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return func(t *binlog.Transaction, f binlog.File) bool { return a(t, f) && b(t, f) }
}

// from tells whether a transaction comes behind a point in log files, where no
// server can be asked.
func from(p binlog.Point) bound {
	switch p.Kind {
	case binlog.PointGTID:
		return func(t *binlog.Transaction, _ binlog.File) bool { return !p.GTIDs.Contains(t.GTID) }
	case binlog.PointFile:
		at := binlog.File{Name: p.File}
		return func(t *binlog.Transaction, f binlog.File) bool {
			order, ok := named(f).Compare(at)
			return !ok || order > 0 || order == 0 && t.Start >= p.Offset
		}
	case binlog.PointTime:
		return func(t *binlog.Transaction, _ binlog.File) bool { return !time.UnixMicro(t.Time).Before(p.Time) }
	case binlog.PointNow:
		return func(*binlog.Transaction, binlog.File) bool { return false }
	}
	return nil
}

// upTo tells whether a transaction lies before or at a point.
func upTo(p binlog.Point) bound {
	switch p.Kind {
	case binlog.PointGTID:
		return func(t *binlog.Transaction, _ binlog.File) bool { return p.GTIDs.Contains(t.GTID) }
	case binlog.PointFile:
		at := binlog.File{Name: p.File}
		return func(t *binlog.Transaction, f binlog.File) bool {
			order, ok := named(f).Compare(at)
			return !ok || order < 0 || order == 0 && t.Start < p.Offset
		}
	case binlog.PointTime:
		return func(t *binlog.Transaction, _ binlog.File) bool { return !time.UnixMicro(t.Time).After(p.Time) }
	case binlog.PointOldest:
		return func(*binlog.Transaction, binlog.File) bool { return false }
	}
	return nil
}

// lastOf tells whether a transaction is the last before a point, or before where
// the log ended at the start. had is what was executed where the reading begins, if
// that is known.
func lastOf(p binlog.Point, had *binlog.GTIDSet, end *binlog.Position) bound {
	switch p.Kind {
	case binlog.PointOldest:
		return func(*binlog.Transaction, binlog.File) bool { return true }
	case binlog.PointGTID:
		// Everything in the set has come, now or before.
		seen := had.Clone()
		if seen == nil {
			seen = binlog.NewGTIDSet(p.GTIDs.Flavor())
		}
		byEnd := lastOf(binlog.Point{}, nil, end)
		return func(t *binlog.Transaction, f binlog.File) bool {
			return seen.Add(t.GTID) == nil && seen.Covers(p.GTIDs) || byEnd != nil && byEnd(t, f)
		}
	case binlog.PointFile:
		return behind(binlog.File{Name: p.File}, p.Offset)
	}
	if end == nil {
		return nil
	}
	return behind(named(end.File), end.Offset)
}

// behind tells whether a transaction ends at a place or behind it.
func behind(at binlog.File, offset uint64) bound {
	return func(t *binlog.Transaction, f binlog.File) bool {
		order, ok := named(f).Compare(at)
		return ok && (order > 0 || order == 0 && t.End >= offset)
	}
}

// named is a file by its name alone: who names a place by hand knows no more.
func named(f binlog.File) binlog.File { return binlog.File{Name: f.Name} }
