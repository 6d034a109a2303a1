package main

import (
	"fmt"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// bound tells something of a transaction in a file, or that it cannot be told.
type bound func(t *binlog.Transaction, f binlog.File) (bool, error)

// bounds are those of one reading. The first that cannot be applied ends it: nothing
// is delivered that may not have been asked for. They are the reading's goroutine's,
// and err is to be looked at when that has ended.
type bounds struct{ err error }

// wanted tells whether a transaction lies within all of several bounds; nil always
// holds.
func (b *bounds) wanted(all ...bound) func(*binlog.Transaction, binlog.File) bool {
	return func(t *binlog.Transaction, f binlog.File) bool {
		if b.err != nil {
			return false
		}
		for _, holds := range all {
			if holds == nil {
				continue
			}
			if ok, err := holds(t, f); !ok || err != nil {
				b.err = err
				return false
			}
		}
		return true
	}
}

// last tells whether a transaction is the last by one of several bounds; nil never is.
func (b *bounds) last(all ...bound) func(*binlog.Transaction, binlog.File) bool {
	return func(t *binlog.Transaction, f binlog.File) bool {
		if b.err != nil {
			return true
		}
		for _, is := range all {
			if is == nil {
				continue
			}
			if ok, err := is(t, f); ok || err != nil {
				b.err = err
				return true
			}
		}
		return false
	}
}

// from tells whether a transaction comes behind a point in log files, where no
// server can be asked.
func from(p binlog.Point) bound {
	const flag = "--from"
	switch p.Kind {
	case binlog.PointGTID:
		return func(t *binlog.Transaction, f binlog.File) (bool, error) {
			return !p.GTIDs.Contains(t.GTID), sameFlavor(flag, p, t, f)
		}
	case binlog.PointFile:
		return func(t *binlog.Transaction, f binlog.File) (bool, error) {
			order, err := compare(flag, p, t, f)
			return order > 0 || order == 0 && t.Start >= p.Offset, err
		}
	case binlog.PointTime:
		return func(t *binlog.Transaction, _ binlog.File) (bool, error) {
			return !time.UnixMicro(t.Time).Before(p.Time), nil
		}
	case binlog.PointNow:
		return never
	}
	return nil
}

// upTo tells whether a transaction lies before or at a point; a file's offset is at the
// transaction that begins there, as a dry run prints it.
func upTo(p binlog.Point) bound {
	const flag = "--to"
	switch p.Kind {
	case binlog.PointGTID:
		return func(t *binlog.Transaction, f binlog.File) (bool, error) {
			return p.GTIDs.Contains(t.GTID), sameFlavor(flag, p, t, f)
		}
	case binlog.PointFile:
		return func(t *binlog.Transaction, f binlog.File) (bool, error) {
			order, err := compare(flag, p, t, f)
			return order < 0 || order == 0 && t.Start <= p.Offset, err
		}
	case binlog.PointTime:
		return func(t *binlog.Transaction, _ binlog.File) (bool, error) {
			return !time.UnixMicro(t.Time).After(p.Time), nil
		}
	case binlog.PointOldest:
		return never
	}
	return nil
}

func never(*binlog.Transaction, binlog.File) (bool, error)  { return false, nil }
func always(*binlog.Transaction, binlog.File) (bool, error) { return true, nil }

// lastOf tells whether a transaction is the last before a point. had is what was
// executed where the reading begins, if that is known.
func lastOf(p binlog.Point, had *binlog.GTIDSet) bound {
	switch p.Kind {
	case binlog.PointOldest:
		return always
	case binlog.PointGTID:
		// Everything in the set has come, now or before.
		seen := had.Clone()
		if seen == nil {
			seen = binlog.NewGTIDSet(p.GTIDs.Flavor())
		}
		return func(t *binlog.Transaction, _ binlog.File) (bool, error) {
			return seen.Add(t.GTID) == nil && seen.Covers(p.GTIDs), nil
		}
	case binlog.PointFile:
		return func(t *binlog.Transaction, f binlog.File) (bool, error) {
			order, ok := named(f).Compare(binlog.File{Name: p.File})
			return ok && (order > 0 || order == 0 && t.End > p.Offset), nil
		}
	}
	return nil
}

// endAt tells whether a transaction is the last before a position where the log ended.
func endAt(end binlog.Position) bound {
	return func(t *binlog.Transaction, f binlog.File) (bool, error) {
		order, ok := named(f).Compare(named(end.File))
		return ok && (order > 0 || order == 0 && t.End >= end.Offset), nil
	}
}

// named is a file by its name alone: who names a place by hand knows no more.
func named(f binlog.File) binlog.File { return binlog.File{Name: f.Name} }

// instead is what else may bound a reading of files.
const instead = "name the file as its server did, or give the bound as gtid:SET or time:RFC3339"

// compare orders the file of a transaction and that of a point.
func compare(flag string, p binlog.Point, t *binlog.Transaction, f binlog.File) (int, error) {
	order, ok := named(f).Compare(binlog.File{Name: p.File})
	switch {
	case ok:
		return order, nil
	case f.Name == "":
		return 0, fmt.Errorf("%s %s cannot be applied to the transaction at offset %d: the log does not say the name of the file it was written to; %s", flag, p, t.Start, instead)
	}
	return 0, fmt.Errorf("%s %s cannot be applied to the transaction at %s:%d: the names do not tell which file is the older; %s", flag, p, f.Name, t.Start, instead)
}

// sameFlavor is an error where a point's GTIDs say nothing of a transaction.
func sameFlavor(flag string, p binlog.Point, t *binlog.Transaction, f binlog.File) error {
	if p.GTIDs.Empty() || t.GTID.Flavor == p.GTIDs.Flavor() && !t.GTID.IsZero() {
		return nil
	}
	where := fmt.Sprintf("the transaction at offset %d", t.Start)
	if f.Name != "" {
		where = fmt.Sprintf("the transaction at %s:%d", f.Name, t.Start)
	}
	if t.GTID.IsZero() {
		return fmt.Errorf("%s %s cannot be applied: %s has no GTID; give the bound as file:NAME:OFFSET or time:RFC3339", flag, p, where)
	}
	return fmt.Errorf("%s %s cannot be applied: %s has the GTID %s, a %s server's, and the set is %s's", flag, p, where, t.GTID, t.GTID.Flavor, p.GTIDs.Flavor())
}

// checkFiles refuses bounds that cannot be applied to files of these names.
func checkFiles(flag string, p binlog.Point, paths []string) error {
	if p.Kind != binlog.PointFile {
		return nil
	}
	for _, path := range paths {
		if path == "-" {
			return usagef("%s %s: standard input has no name that could be compared; %s", flag, p, instead)
		}
		if _, ok := (binlog.File{Name: binlog.LogName(path)}).Compare(binlog.File{Name: p.File}); !ok {
			return usagef("%s %s: %s is not named as a file of that log is, so nothing tells whether it is the older; %s", flag, p, path, instead)
		}
	}
	return nil
}

// checkFlavor refuses a set of GTIDs that means nothing to a source.
func checkFlavor(flag string, p binlog.Point, source binlog.Flavor) error {
	if p.Kind != binlog.PointGTID || p.GTIDs.Empty() || p.GTIDs.Flavor() == source {
		return nil
	}
	return usagef("%s %s: the set is %s's, and the source is %s", flag, p, p.GTIDs.Flavor(), source)
}
