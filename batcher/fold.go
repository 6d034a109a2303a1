package batcher

import "github.com/mcsqueal/mcsqueal/binlog"

// folding moves a position past many transactions. Those that follow each other in
// their source's numbers are held together and folded as one, which takes a
// fraction of the time.
type folding struct {
	pos *binlog.Position

	held   bool
	source uint32
	gtid   binlog.GTID // the last of those held
	lo     uint64      // the first number of those held
	end    uint64
}

// add folds what ended with the end or advance record that p has just passed.
func (f *folding) add(p *place) error {
	if f.held && f.source == p.source {
		if f.gtid.Flavor != binlog.MySQL {
			// MariaDB: the last in log order stands for the others.
			f.gtid.Seq, f.lo, f.end = p.inv.GTID.Seq, p.lo, p.end
			return nil
		}
		if p.lo == f.gtid.Seq+1 {
			f.gtid.Seq, f.end = p.inv.GTID.Seq, p.end
			return nil
		}
	}
	if err := f.flush(&p.inv.File); err != nil {
		return err
	}
	f.held, f.source, f.gtid, f.lo, f.end = true, p.source, p.inv.GTID, p.lo, p.end
	return nil
}

// flush folds what is held; all of it ended in file. It must be called before the
// file changes, and at the end.
func (f *folding) flush(file *binlog.File) error {
	if !f.held {
		return nil
	}
	f.held = false
	if err := addRun(f.pos, &f.gtid, f.lo); err != nil {
		return err
	}
	return f.pos.Fold(f.gtid, *file, f.end)
}

// addRun adds MySQL's transactions lo … last to pos's set, if that is more than one.
func addRun(pos *binlog.Position, last *binlog.GTID, lo uint64) error {
	if pos.GTIDs == nil || lo >= last.Seq {
		return nil
	}
	return pos.GTIDs.AddRange(last.SID, last.Tag, lo, last.Seq)
}

// foldTo moves p to the byte end of its chunk, and pos past all that ends on the
// way, save what had been executed at s already: there may be none.
func (p *place) foldTo(end int, sources []binlog.GTID, pos *binlog.Position, s *start) error {
	f := folding{pos: pos}
	buf := p.chunk.buf
	for p.off < end {
		if buf[p.off] == kindKey {
			p.off += 2 + int(buf[p.off+1])
			continue
		}
		if buf[p.off] == kindFile {
			if err := f.flush(&p.inv.File); err != nil {
				return err
			}
		}
		var err error
		switch p.step(buf, sources) {
		case kindBegin, kindContinued:
			p.skip = s.executed(p, p.inv.Start)
		case kindEnd:
			if !p.skip {
				err = f.add(p)
			}
		case kindAdvance:
			if s.executedRun(p) {
				err = addRun(pos, &p.inv.GTID, p.lo)
			} else {
				err = f.add(p)
			}
		}
		if err != nil {
			return err
		}
	}
	return f.flush(&p.inv.File)
}
