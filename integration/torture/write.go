package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"
)

// write is one transaction: what it says, and what became of it.
type write struct {
	id         int64
	what       string // for people: "one key"
	statements []string
	keys       []string // all that its statements name
	ending     ending
	// padding makes its keys longer.
	padding string
	// prompt: its keys are set right before it, because they were another's just now.
	prompt bool

	mu    sync.Mutex // guards what follows
	state fate
	began time.Time // when its commit was asked for
	ended time.Time // when that was answered, or found out
}

// ending is how a transaction is meant to end.
type ending uint8

const (
	alone     ending = iota // of one statement, without BEGIN
	commits                 // COMMIT
	rollsBack               // ROLLBACK
	xaCommits               // XA PREPARE, and XA COMMIT later
	xaRollsBack
	xaOnePhase
)

func (e ending) isXA() bool { return e >= xaCommits }

// fate is what has become of a write.
type fate uint8

const (
	open fate = iota
	committed
	// void: it was rolled back, or nothing shows that it was committed.
	void
	// unused: it was not begun before the end.
	unused
)

func (w *write) fate() fate {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// settle says what has become of it.
func (w *write) settle(f fate, began time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state, w.began, w.ended = f, began, time.Now()
}

// committing is when its commit was asked for and answered.
func (w *write) committing() (began, ended time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.began, w.ended
}

// value is what its keys have in the caches.
func (w *write) value() string { return strconv.FormatInt(w.id, 10) }

// xid names it as an XA transaction.
func (w *write) xid() string { return fmt.Sprintf("'torture-%d'", w.id) }

// author makes up the writes of one writer.
type author struct {
	random *rand.Rand
	writer int64
	count  int64
	xa     bool
	// hot is a key that is written again and again, so many times more.
	hot   string
	times int
}

const (
	// writesEach is how many writes a writer's numbers leave room for.
	writesEach = 1_000_000
	// rowsEach is how many rows a write may have.
	rowsEach = 16
)

func newAuthor(seed uint64, writer int, xa bool) *author {
	return &author{random: rand.New(rand.NewPCG(seed, uint64(writer)+1)), writer: int64(writer), xa: xa}
}

// next makes up a write.
func (a *author) next() *write {
	a.count++
	w := &write{id: a.writer*writesEach + a.count, ending: commits, padding: a.padding()}
	if a.xa {
		a.distributed(w)
		return w
	}
	if a.times > 0 {
		a.times--
		w.what, w.prompt, w.ending = "the same key again", true, alone
		w.say(a.hot)
		return w
	}
	switch n := a.random.IntN(1000); {
	case n < 8:
		w.what = "thousands of keys"
		for range 2 + a.random.IntN(6) {
			w.add(300 + a.random.IntN(500))
		}
	case n < 60:
		w.what, w.ending = "rolled back", rollsBack
		for range 1 + a.random.IntN(3) {
			w.add(1 + a.random.IntN(4))
		}
	case n < 200:
		w.what = "several statements"
		for range 2 + a.random.IntN(5) {
			w.add(a.random.IntN(8))
		}
	case n < 400:
		w.what, w.ending = "several keys", a.oneOf(alone, commits)
		w.add(2 + a.random.IntN(20))
	case n < 420:
		a.hot, a.times = fmt.Sprintf("torture:hot:%d", w.id), 1+a.random.IntN(15)
		w.what, w.ending, w.prompt = "the same key again", alone, true
		w.say(a.hot)
	default:
		w.what, w.ending = "one key", a.oneOf(alone, alone, commits)
		w.add(1)
	}
	return w
}

// distributed makes an XA transaction of it.
func (a *author) distributed(w *write) {
	w.what, w.ending = "XA", a.oneOf(xaCommits, xaCommits, xaCommits, xaCommits, xaRollsBack, xaOnePhase)
	for range 1 + a.random.IntN(3) {
		w.add(1 + a.random.IntN(10))
	}
}

// padding is mostly none, and at most what leaves a key within 250 bytes.
func (a *author) padding() string {
	switch n := a.random.IntN(10); {
	case n < 6:
		return ""
	case n < 9:
		return ":" + strings.Repeat("x", a.random.IntN(50))
	default:
		return ":" + strings.Repeat("x", a.random.IntN(225))
	}
}

func (a *author) oneOf(endings ...ending) ending { return endings[a.random.IntN(len(endings))] }

// add adds a statement that names n keys of the write's own.
func (w *write) add(n int) {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("torture:%d:%d%s", w.id, len(w.keys)+i, w.padding)
	}
	w.say(keys...)
}

// say adds a statement that names keys.
func (w *write) say(keys ...string) {
	w.keys = append(w.keys, keys...)
	tag := ""
	if len(keys) > 0 {
		tag = "/* mc: " + strings.Join(keys, " ") + " */"
	}
	row := w.row(len(w.statements))
	statement := fmt.Sprintf("INSERT %s INTO writes VALUES (%d, 'of write %d')", tag, row, w.id)
	if len(w.statements)%2 == 1 {
		statement = fmt.Sprintf("INSERT INTO writes VALUES (%d, 'of write %d') %s", row, w.id, tag)
	}
	w.statements = append(w.statements, statement)
}

// row is the id of the nth row that it writes.
func (w *write) row(n int) int64 { return w.id*rowsEach + int64(n) }
