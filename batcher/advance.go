package batcher

import "github.com/mcsqueal/mcsqueal/binlog"

// advance is a run of transactions without keys that is not in the Log yet: on
// MySQL consecutive numbers of one source and tag, on MariaDB the last GTID of a
// domain, which stands for those before it.
type advance struct {
	pending bool
	file    binlog.File
	fileNo  int
	gtid    binlog.GTID // the last of the run; zero as long as none has one
	source  uint32
	lo      uint64 // the first of the run
	seq     uint64 // of the last
	end     uint64
	time    int64
}

// addAdvance puts the open transaction, which has no keys, behind the pending run,
// or begins another with it once the pending one is in the Log.
func (w *Writer) addAdvance(end uint64) error {
	a := &w.advance
	if a.pending && !a.takes(w.tx.GTID, w.fileNo) {
		if err := w.putAdvance(); err != nil {
			return err
		}
	}
	if !a.pending {
		*a = advance{pending: true, file: w.file, fileNo: w.fileNo, gtid: w.tx.GTID, source: w.source, lo: w.tx.GTID.Seq}
	}
	if g := w.tx.GTID; !g.IsZero() {
		if a.gtid.IsZero() || g.Flavor == binlog.MariaDB {
			a.lo = g.Seq
		}
		a.gtid, a.source = g, w.source
	}
	if w.tx.Time != 0 {
		a.time = w.tx.Time
	}
	a.seq, a.end = w.seq, end
	return nil
}

// takes tells whether the run can take g, in the file of that number, as its next.
func (a *advance) takes(g binlog.GTID, fileNo int) bool {
	switch {
	case a.fileNo != fileNo:
		return false
	case g.IsZero() || a.gtid.IsZero():
		return true
	case g.Flavor == binlog.MariaDB:
		return g.Domain == a.gtid.Domain
	default:
		return g.Seq == a.gtid.Seq+1 && g.SID == a.gtid.SID && g.Tag == a.gtid.Tag
	}
}

// putAdvance appends the pending run.
func (w *Writer) putAdvance() error {
	a := &w.advance
	if !a.pending {
		return nil
	}
	if need := advanceSize + maxFile; !w.fits(need) {
		if err := w.grow(); err != nil {
			return err
		}
	}
	w.putFile(a.file, a.fileNo)
	w.buf = appendAdvance(w.buf, a)
	a.pending = false
	w.ready = false
	return nil
}
