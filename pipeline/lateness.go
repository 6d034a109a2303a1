package pipeline

import "github.com/mcsqueal/mcsqueal/histogram"

// lateness gathers how late transactions are, in microseconds, for who meets a million
// of them a second: neighbours that are about as late as each other are told as one. It
// is one goroutine's.
type lateness struct {
	to    *histogram.Histogram // nil: nobody wants to know
	first int64                // of those that are held
	sum   int64
	n     int64
}

// near is what part of the first one's lateness others may differ by to be held with
// it, as a shift: less than half of what a histogram tells apart.
const near = 5

// add takes note of one.
func (l *lateness) add(late int64) {
	if l.to == nil {
		return
	}
	late = max(0, late)
	if d := l.first >> near; l.n == 0 || late < l.first-d || late > l.first+d {
		l.tell()
		l.first = late
	}
	l.sum += late
	l.n++
}

// tell tells of those that are held.
func (l *lateness) tell() {
	if l.n > 0 {
		l.to.Observe(l.sum/l.n, uint64(l.n))
		l.sum, l.n = 0, 0
	}
}

// bursts are when transactions were read that wait to be visible, and how many at each
// time: what is read at one go is read at one time. It takes no more room for many: when
// it is full, what comes counts as read when the last of them was.
type bursts struct {
	each [maxBursts]burst
	n    int
}

type burst struct {
	read int64 // microseconds since 1970
	n    uint64
}

const maxBursts = 64

// add takes note of a transaction.
func (b *bursts) add(read int64) {
	if b.n == 0 || b.each[b.n-1].read != read && b.n < maxBursts {
		b.each[b.n] = burst{read: read}
		b.n++
	}
	b.each[b.n-1].n++
}

// tell tells how long they have been waiting by now, if anybody wants to know.
func (b *bursts) tell(to *histogram.Histogram, now int64) {
	if to == nil {
		return
	}
	for _, each := range b.each[:b.n] {
		to.Observe(now-each.read, each.n)
	}
}
