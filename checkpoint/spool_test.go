package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
)

var (
	xidA = binlog.XID{Named: true, Format: 1, Global: 1, Data: "a"}
	xidB = binlog.XID{Named: true, Format: 1, Global: 1, Data: "b"}
)

// origin is a server as far as its log names transactions: the nth has the number n
// and begins at 100*n.
type origin struct {
	flavor binlog.Flavor
	server byte
	file   string
}

var (
	mysqlA   = origin{flavor: binlog.MySQL, server: 'A', file: "bin.000007"}
	mariaA   = origin{flavor: binlog.MariaDB, server: 'A', file: "bin.000007"}
	withoutA = origin{server: 'A', file: "bin.000007"}
)

func (o origin) logFile() binlog.File {
	return binlog.File{Name: o.file, Server: string(o.server), Created: time.Unix(1700000000, 0).UTC()}
}

func (o origin) gtid(n uint64) binlog.GTID {
	switch o.flavor {
	case binlog.MySQL:
		return binlog.GTID{Flavor: binlog.MySQL, SID: [16]byte{'A'}, Tag: "t", Seq: n}
	case binlog.MariaDB:
		return binlog.GTID{Flavor: binlog.MariaDB, Domain: 3, Server: 'A', Seq: n}
	default:
		return binlog.GTID{}
	}
}

func (o origin) tx(n uint64, x binlog.XID, outcome binlog.Outcome) *binlog.Transaction {
	return &binlog.Transaction{GTID: o.gtid(n), Start: 100 * n, End: 100*n + 100, XID: x, Outcome: outcome}
}

// position is where everything up to the nth transaction has been executed.
func (o origin) position(t testing.TB, n uint64) binlog.Position {
	t.Helper()
	p := binlog.Position{File: o.logFile(), Offset: 100*n + 100}
	if o.flavor == binlog.FlavorUnknown {
		return p
	}
	p.GTIDs = binlog.NewGTIDSet(o.flavor)
	for i := uint64(1); i <= n; i++ {
		if err := p.GTIDs.Add(o.gtid(i)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// said is a key as it comes back.
type said struct{ cause, schema, table, key string }

func keysNamed(prefix string, n int) []said {
	keys := make([]said, n)
	for i := range keys {
		keys[i] = said{"tag", "shop", "users", prefix + strconv.Itoa(i)}
	}
	return keys
}

func openSpool(t testing.TB, dir string) *Spool {
	t.Helper()
	s, err := OpenSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func collect(t testing.TB, c *Collector, tx *binlog.Transaction, f binlog.File, keys []said) {
	t.Helper()
	if err := c.Begin(tx, f); err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		cause := batcher.Tag
		if k.cause == "rule" {
			cause = batcher.Rule
		}
		c.Statement(cause, []byte(k.schema), []byte(k.table))
		if err := c.Key([]byte(k.key)); err != nil {
			t.Fatal(err)
		}
	}
}

func prepare(t testing.TB, s *Spool, o origin, n uint64, x binlog.XID, keys []said) {
	t.Helper()
	c := s.NewCollector()
	tx := o.tx(n, x, binlog.Prepared)
	collect(t, c, tx, o.logFile(), keys)
	if err := c.Prepared(tx); err != nil {
		t.Fatal(err)
	}
}

func decide(t testing.TB, s *Spool, o origin, n uint64, x binlog.XID, outcome binlog.Outcome) *Entry {
	t.Helper()
	e, err := s.Decide(o.tx(n, x, outcome), o.logFile())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// about checks that a decision is about the PREPARE number n, and that its keys come.
func about(t testing.TB, e *Entry, o origin, n uint64, keys []said) {
	t.Helper()
	if e == nil {
		t.Fatalf("the decision is about nothing, expected the PREPARE number %d", n)
	}
	if want := (Place{GTID: o.gtid(n), File: o.logFile(), Start: 100 * n}); e.Prepare != want {
		t.Fatalf("the decision is about %v, expected %v", e.Prepare, want)
	}
	if got := read1(t, e); !slices.Equal(got, keys) {
		t.Fatalf("the keys are %v, expected %v", got, keys)
	}
}

func read1(t testing.TB, e *Entry) (got []said) {
	t.Helper()
	err := e.Each(func(s Statement, key []byte) error {
		got = append(got, said{s.Cause.String(), string(s.Schema), string(s.Table), string(key)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// files are the names in a directory; of the spool's own, how they end.
func files(t testing.TB, dir string) (kept, others []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), keptSuffix) {
			kept = append(kept, filepath.Join(dir, e.Name()))
		} else {
			others = append(others, filepath.Join(dir, e.Name()))
		}
	}
	return kept, others
}

// theFile is the only file of the spool in dir.
func theFile(t testing.TB, dir string) string {
	t.Helper()
	kept, others := files(t, dir)
	if len(kept) != 1 || len(others) != 0 {
		t.Fatalf("files are %v and %v, expected one of the spool's alone", kept, others)
	}
	return kept[0]
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func eachOrigin(t *testing.T, test func(t *testing.T, o origin)) {
	t.Helper()
	for name, o := range map[string]origin{"MySQL": mysqlA, "MariaDB": mariaA, "without GTIDs": withoutA} {
		t.Run(name, func(t *testing.T) { test(t, o) })
	}
}

func TestKeysOfAPreparedTransactionSurviveARestart(t *testing.T) {
	eachOrigin(t, func(t *testing.T, o origin) {
		dir := filepath.Join(t.TempDir(), "xa")
		keys := []said{
			{"tag", "shop", "users", "user:1"},
			{"rule", "shop", "users", "user:1"},
			{"rule", "shop", "orders", strings.Repeat("k", batcher.MaxKey)},
			{"rule", "", "", "\x00\xff\n"},
			{"rule", strings.Repeat("s", 255), strings.Repeat("t", 255), "user:1"},
			{"rule", strings.Repeat("s", 255), strings.Repeat("t", 255), "user:2"},
		}
		x := binlog.XID{Named: true, Format: -1, Global: 64, Data: strings.Repeat("../\x00", 16) + strings.Repeat("\xff", 64)}
		prepare(t, openSpool(t, dir), o, 4, x, keys)
		s := openSpool(t, dir)
		if got := s.XIDs(); !slices.Equal(got, []binlog.XID{x}) {
			t.Errorf("undecided are %v, expected %v", got, x)
		}
		e := decide(t, s, o, 5, x, binlog.XACommitted)
		about(t, e, o, 4, keys)
		if e.XID != x || e.Keys != uint64(len(keys)) {
			t.Errorf("entry is %+v", e)
		}
		if got := s.XIDs(); len(got) != 0 {
			t.Errorf("undecided after the decision: %v", got)
		}
	})
}

func TestADecisionOnWhatWasNeverPreparedIsToldApart(t *testing.T) {
	s := openSpool(t, t.TempDir())
	if e := decide(t, s, mysqlA, 2, xidA, binlog.XACommitted); e != nil {
		t.Errorf("decision on nothing: %v", e)
	}
	// One without keys is known all the same.
	prepare(t, s, mysqlA, 3, xidA, nil)
	about(t, decide(t, s, mysqlA, 4, xidA, binlog.XACommitted), mysqlA, 3, nil)
	if _, err := s.Decide(mysqlA.tx(5, xidA, binlog.Prepared), mysqlA.logFile()); err == nil {
		t.Error("a PREPARE was taken for a decision")
	}
}

func TestARollbackReleasesNothing(t *testing.T) {
	dir := t.TempDir()
	prepare(t, openSpool(t, dir), mysqlA, 1, xidA, keysNamed("k", 3))
	s := openSpool(t, dir)
	about(t, decide(t, s, mysqlA, 2, xidA, binlog.XARolledBack), mysqlA, 1, nil)
	// Nor when it is read again.
	about(t, decide(t, openSpool(t, dir), mysqlA, 2, xidA, binlog.XARolledBack), mysqlA, 1, nil)
}

func TestReadingThatWasStoppedBeginsAgain(t *testing.T) {
	full := errors.New("full")
	large := keysNamed(strings.Repeat("k", 200), 1000) // in a file
	for name, keys := range map[string][]said{"small": keysNamed("k", 10), "large": large} {
		t.Run(name, func(t *testing.T) {
			s := openSpool(t, t.TempDir())
			prepare(t, s, mysqlA, 1, xidA, keys)
			c := s.NewCollector()
			tx := mysqlA.tx(3, xidB, binlog.Committed)
			collect(t, c, tx, mysqlA.logFile(), keys)
			one, err := c.OnePhase(tx)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range []*Entry{decide(t, s, mysqlA, 2, xidA, binlog.XACommitted), one} {
				for stop := range len(keys) {
					if stop > 20 {
						break
					}
					n := 0
					err := e.Each(func(Statement, []byte) error {
						if n == stop {
							return full
						}
						n++
						return nil
					})
					if err != full {
						t.Fatalf("stopped at key %d: %v", stop, err)
					}
				}
				if got := read1(t, e); !slices.Equal(got, keys) {
					t.Fatalf("after it was stopped, %d keys, expected %d", len(got), len(keys))
				}
			}
		})
	}
}

func TestAPrepareThatIsReadAgainReplacesItsFile(t *testing.T) {
	eachOrigin(t, func(t *testing.T, o origin) {
		dir := t.TempDir()
		s := openSpool(t, dir)
		prepare(t, s, o, 1, xidA, keysNamed("old", 5))
		prepare(t, s, o, 1, xidA, keysNamed("new", 3))
		theFile(t, dir)
		s = openSpool(t, dir)
		prepare(t, s, o, 1, xidA, keysNamed("newer", 4))
		theFile(t, dir)
		about(t, decide(t, s, o, 2, xidA, binlog.XACommitted), o, 1, keysNamed("newer", 4))
		// With its decision, too: it is not there to be decided again.
		prepare(t, s, o, 1, xidA, keysNamed("newest", 6))
		theFile(t, dir)
		for range 2 {
			if e := decide(t, s, o, 9, xidA, binlog.XACommitted); e != nil {
				t.Fatalf("another decision is about what is decided: %v", e)
			}
			about(t, decide(t, s, o, 2, xidA, binlog.XACommitted), o, 1, keysNamed("newest", 6))
			s = openSpool(t, dir)
		}
	})
}

func TestAnXIDMayBeUsedAgain(t *testing.T) {
	eachOrigin(t, func(t *testing.T, o origin) {
		dir := t.TempDir()
		s := openSpool(t, dir)
		first, second := keysNamed("first", 3), keysNamed("second", 4)
		prepare(t, s, o, 1, xidA, first)
		about(t, decide(t, s, o, 2, xidA, binlog.XACommitted), o, 1, first)
		s = openSpool(t, dir)
		prepare(t, s, o, 3, xidA, second)
		for range 2 {
			// The first one's, read again, is not about the second.
			about(t, decide(t, s, o, 2, xidA, binlog.XACommitted), o, 1, first)
			if got := s.XIDs(); !slices.Equal(got, []binlog.XID{xidA}) {
				t.Fatalf("undecided are %v", got)
			}
			s = openSpool(t, dir)
		}
		about(t, decide(t, s, o, 4, xidA, binlog.XARolledBack), o, 3, nil)
		s = openSpool(t, dir)
		about(t, decide(t, s, o, 2, xidA, binlog.XACommitted), o, 1, first)
		about(t, decide(t, s, o, 4, xidA, binlog.XARolledBack), o, 3, nil)
	})
}

// A reading that is behind another meets PREPAREs and decisions after the other has
// stored what comes later.
func TestReadingsBehindOneAnotherDoNotMixDecisionsUp(t *testing.T) {
	eachOrigin(t, func(t *testing.T, o origin) {
		first, second := keysNamed("first", 3), keysNamed("second", 4)
		ahead := openSpool(t, t.TempDir())
		prepare(t, ahead, o, 3, xidA, second)
		if e := decide(t, ahead, o, 2, xidA, binlog.XACommitted); e != nil {
			t.Errorf("a decision is about a PREPARE behind it: %v", e)
		}
		prepare(t, ahead, o, 1, xidA, first)
		about(t, decide(t, ahead, o, 4, xidA, binlog.XACommitted), o, 3, second)
		about(t, decide(t, ahead, o, 2, xidA, binlog.XACommitted), o, 1, first)
	})
}

// Places of two servers tell nothing; numbers of one source do.
func TestTheOrderIsToldByNumbersOnAnotherServer(t *testing.T) {
	for name, o := range map[string]origin{"MySQL": mysqlA, "MariaDB": mariaA} {
		t.Run(name, func(t *testing.T) {
			other := o
			other.server = 'B'
			s := openSpool(t, t.TempDir())
			prepare(t, s, o, 3, xidA, keysNamed("second", 4))
			if e := decide(t, s, other, 2, xidA, binlog.XACommitted); e != nil {
				t.Errorf("a decision is about a PREPARE behind it: %v", e)
			}
			prepare(t, s, other, 1, xidA, keysNamed("first", 3))
			about(t, decide(t, s, o, 4, xidA, binlog.XACommitted), o, 3, keysNamed("second", 4))
			// The same transaction on another server is the same transaction.
			about(t, decide(t, s, other, 4, xidA, binlog.XACommitted), o, 3, keysNamed("second", 4))
		})
	}
}

func TestOnePhaseKeepsNothing(t *testing.T) {
	for name, keys := range map[string][]said{
		"none": nil, "small": keysNamed("k", 10), "large": keysNamed(strings.Repeat("k", 200), 1000),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openSpool(t, dir)
			c := s.NewCollector()
			tx := mysqlA.tx(1, xidA, binlog.Committed)
			collect(t, c, tx, mysqlA.logFile(), keys)
			e, err := c.OnePhase(tx)
			if err != nil {
				t.Fatal(err)
			}
			about(t, e, mysqlA, 1, keys)
			about(t, e, mysqlA, 1, keys)
			kept, others := files(t, dir)
			if len(kept) != 0 || name != "large" && len(others) != 0 {
				t.Errorf("files %v and %v", kept, others)
			}
			if len(s.XIDs()) != 0 {
				t.Error("it is waiting for a decision")
			}
			if err := c.Abort(); err != nil {
				t.Fatal(err)
			}
			if kept, others := files(t, dir); len(kept)+len(others) != 0 {
				t.Errorf("files that stayed: %v and %v", kept, others)
			}
			if err := e.Each(func(Statement, []byte) error { return nil }); len(keys) > 0 && !errors.Is(err, errGivenUp) {
				t.Errorf("keys that were given up: %v", err)
			}
		})
	}
}

func TestAnInterruptedTransactionIsForgotten(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir)
	c := s.NewCollector()
	tx := mysqlA.tx(1, xidA, binlog.Prepared)
	collect(t, c, tx, mysqlA.logFile(), keysNamed(strings.Repeat("x", 200), 1000))
	collect(t, c, tx, mysqlA.logFile(), keysNamed("k", 2))
	if err := c.Abort(); err != nil {
		t.Fatal(err)
	}
	if err := c.Prepared(tx); err == nil {
		t.Error("what was aborted was kept")
	}
	if err := c.Key([]byte("k")); err == nil {
		t.Error("a key outside a transaction was taken")
	}
	collect(t, c, tx, mysqlA.logFile(), keysNamed("k", 3))
	if err := c.Prepared(mysqlA.tx(2, xidA, binlog.Prepared)); err == nil {
		t.Error("another transaction's end was taken")
	}
	if err := c.Prepared(tx); err != nil {
		t.Fatal(err)
	}
	if err := c.Prepared(tx); err == nil {
		t.Error("it was kept twice")
	}
	theFile(t, dir)
	about(t, decide(t, s, mysqlA, 2, xidA, binlog.XACommitted), mysqlA, 1, keysNamed("k", 3))
}

// MySQL's XA_PREPARE event has 32 bits for a format that SQL writes as a greater
// number, as 4294967295 in XA COMMIT.
func TestADecisionIsMatchedByTheXIDThatSQLHas(t *testing.T) {
	s := openSpool(t, t.TempDir())
	c := s.NewCollector()
	x := binlog.XID{Named: true, Format: 1<<32 - 1, Global: 1, Data: "ab"}
	tx := mysqlA.tx(1, x, binlog.Prepared)
	collect(t, c, tx, mysqlA.logFile(), keysNamed("k", 3))
	tx.XID.Format = -1
	if err := c.Prepared(tx); err != nil {
		t.Fatal(err)
	}
	about(t, decide(t, s, mysqlA, 2, x, binlog.XACommitted), mysqlA, 1, keysNamed("k", 3))
}

func TestWhatNoServerSendsIsRefused(t *testing.T) {
	s := openSpool(t, t.TempDir())
	c := s.NewCollector()
	f := mysqlA.logFile()
	for name, begin := range map[string]func(tx *binlog.Transaction, f *binlog.File){
		"long XID":         func(tx *binlog.Transaction, _ *binlog.File) { tx.XID.Data = strings.Repeat("x", maxXID+1) },
		"global part":      func(tx *binlog.Transaction, _ *binlog.File) { tx.XID.Global = 2 },
		"no XID":           func(tx *binlog.Transaction, _ *binlog.File) { tx.XID = binlog.XID{} },
		"long name":        func(_ *binlog.Transaction, f *binlog.File) { f.Name = strings.Repeat("f", maxFileName+1) },
		"long server":      func(_ *binlog.Transaction, f *binlog.File) { f.Server = strings.Repeat("s", maxServer+1) },
		"long tag in GTID": func(tx *binlog.Transaction, _ *binlog.File) { tx.GTID.Tag = strings.Repeat("t", maxTag+1) },
	} {
		tx, f := mysqlA.tx(1, xidA, binlog.Prepared), f
		begin(tx, &f)
		if err := c.Begin(tx, f); err == nil {
			t.Errorf("%s: was begun", name)
		}
	}
	collect(t, c, mysqlA.tx(1, xidA, binlog.Prepared), f, nil)
	for _, key := range [][]byte{nil, bytes.Repeat([]byte{'k'}, batcher.MaxKey+1)} {
		if err := c.Key(key); err == nil {
			t.Errorf("a key of %d bytes was taken", len(key))
		}
	}
}

// What is on disk when the process dies while it stores a PREPARE is a piece of N.new,
// or the whole of it, beside what was there before.
func TestACrashWhileStoringLeavesWhatWasThere(t *testing.T) {
	whole := t.TempDir()
	prepare(t, openSpool(t, whole), mysqlA, 1, xidA, keysNamed("new", 3))
	content := readFile(t, theFile(t, whole))
	for _, before := range []string{"nothing", "undecided", "decided"} {
		t.Run(before, func(t *testing.T) {
			for n := range len(content) + 1 {
				dir := t.TempDir()
				s := openSpool(t, dir)
				if before != "nothing" {
					prepare(t, s, mysqlA, 1, xidA, keysNamed("old", 5))
				}
				if before == "decided" {
					decide(t, s, mysqlA, 2, xidA, binlog.XACommitted)
				}
				writeFile(t, filepath.Join(dir, "1"+newSuffix), content[:n])
				s = openSpool(t, dir)
				if _, others := files(t, dir); len(others) != 0 {
					t.Fatalf("%v stayed", others)
				}
				e := decide(t, s, mysqlA, 2, xidA, binlog.XACommitted)
				if before == "nothing" {
					if e != nil {
						t.Fatalf("half of a file was taken: %v", e)
					}
					// It is read again.
					prepare(t, s, mysqlA, 1, xidA, keysNamed("old", 5))
					e = decide(t, s, mysqlA, 2, xidA, binlog.XACommitted)
				}
				about(t, e, mysqlA, 1, keysNamed("old", 5))
			}
		})
	}
}

// What a crash leaves of a decision is a piece of its record, or room for it in which
// nothing, or something else, has been written.
func TestACrashWhileDecidingLeavesItUndecided(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir)
	prepare(t, s, mysqlA, 1, xidA, keysNamed("k", 3))
	path := theFile(t, dir)
	body := readFile(t, path)
	decide(t, s, mysqlA, 2, xidA, binlog.XACommitted)
	record := readFile(t, path)[len(body):]
	pieces := [][]byte{make([]byte, recordHead+maxDecision)}
	for n := range len(record) {
		pieces = append(pieces, record[:n], make([]byte, n+1))
		if n < recordHead {
			continue
		}
		changed := slices.Clone(record)
		changed[n] ^= 0x10
		pieces = append(pieces, changed)
	}
	for _, piece := range pieces {
		writeFile(t, path, slices.Concat(body, piece))
		s := openSpool(t, dir)
		if got := s.XIDs(); !slices.Equal(got, []binlog.XID{xidA}) {
			t.Fatalf("after %q undecided are %v", piece, got)
		}
		// It is read again; or, after a failover, another is.
		about(t, decide(t, s, mysqlA, 3, xidA, binlog.XACommitted), mysqlA, 1, keysNamed("k", 3))
		if b := readFile(t, path); len(b) != len(body)+len(record) {
			t.Fatalf("%q left %d bytes behind the decision", piece, len(b)-len(body)-len(record))
		}
		s = openSpool(t, dir)
		if len(s.XIDs()) != 0 {
			t.Fatalf("after %q and a decision it is undecided", piece)
		}
		about(t, decide(t, s, mysqlA, 3, xidA, binlog.XACommitted), mysqlA, 1, keysNamed("k", 3))
	}
}

func TestADamagedFileIsAnErrorThatNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir)
	prepare(t, s, mysqlA, 1, xidA, keysNamed("k", 3))
	path := theFile(t, dir)
	body := readFile(t, path)
	decide(t, s, mysqlA, 2, xidA, binlog.XACommitted)
	decided := readFile(t, path)
	e := decide(t, s, mysqlA, 2, xidA, binlog.XACommitted)
	check := func(what string, content []byte) {
		t.Helper()
		writeFile(t, path, content)
		if _, err := OpenSpool(dir); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, expected an error that names the file", what, err)
		}
	}
	for i := range body {
		for _, bit := range []byte{1, 0x80} {
			changed := slices.Clone(decided)
			changed[i] ^= bit
			check(fmt.Sprintf("byte %d changed", i), changed)
			err := e.Each(func(Statement, []byte) error { return nil })
			// Damage that comes later is met when the keys are read.
			if err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("byte %d changed: the keys are read with %v, expected an error that names the file", i, err)
			}
		}
		check(fmt.Sprintf("cut at %d", i), body[:i])
	}
	check("a decision that was damaged, and one behind it", slices.Concat(body, decided[len(body):len(decided)-1], []byte{0}, decided[len(body):]))
	check("much behind it", slices.Concat(decided, make([]byte, recordHead+maxDecision+1)))
	check("nothing", nil)

	writeFile(t, path, decided)
	moved := filepath.Join(dir, strings.Repeat("0", 32)+keptSuffix)
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSpool(dir); err == nil || !strings.Contains(err.Error(), moved) {
		t.Errorf("another's name: %v", err)
	}
	// The way out.
	if err := os.Rename(moved, path+".away"); err != nil {
		t.Fatal(err)
	}
	if e := decide(t, openSpool(t, dir), mysqlA, 2, xidA, binlog.XACommitted); e != nil {
		t.Errorf("it is known: %v", e)
	}
}

func TestKeysAreForgottenWhenNoClusterNeedsThem(t *testing.T) {
	eachOrigin(t, func(t *testing.T, o origin) {
		at := func(n uint64) binlog.Position { return o.position(t, n) }
		// The PREPARE is number 3, the decision number 6.
		for name, c := range map[string]struct {
			reaches []Reach
			gone    bool
		}{
			"executed by all":                     {[]Reach{{Saved: at(6)}, {Saved: at(9), Read: at(20)}}, true},
			"not by one":                          {[]Reach{{Saved: at(6)}, {Saved: at(5)}}, false},
			"not by one that has read it all":     {[]Reach{{Saved: at(6)}, {Saved: at(5), Read: at(9)}}, false},
			"read, saved before the PREPARE":      {[]Reach{{Saved: at(6)}, {Saved: at(2), Read: at(3)}}, false},
			"one is away, and has read neither":   {[]Reach{{Saved: at(6)}, {Saved: at(1), Read: at(2)}}, true},
			"one has no position":                 {[]Reach{{Saved: at(6)}, {}}, false},
			"one has no position, and no reading": {[]Reach{{Saved: at(6)}, {Read: at(1)}}, true},
			"nobody is there":                     {nil, true},
		} {
			dir := t.TempDir()
			s := openSpool(t, dir)
			keys := keysNamed("k", 2)
			prepare(t, s, o, 3, xidA, keys)
			prepare(t, s, o, 4, xidB, keys)
			if err := s.Forget(c.reaches); err != nil {
				t.Fatal(err)
			}
			decide(t, s, o, 6, xidA, binlog.XACommitted)
			if err := s.Forget(c.reaches); err != nil {
				t.Fatal(err)
			}
			e := decide(t, s, o, 6, xidA, binlog.XACommitted)
			if c.gone != (e == nil) {
				t.Errorf("%s: it is gone: %v, expected %v", name, e == nil, c.gone)
			}
			if e != nil {
				about(t, e, o, 3, keys)
			}
			about(t, decide(t, s, o, 7, xidB, binlog.XACommitted), o, 4, keys)
			kept, _ := files(t, dir)
			if want := map[bool]int{true: 1, false: 2}[c.gone]; len(kept) != want {
				t.Errorf("%s: %d files, expected %d", name, len(kept), want)
			}
		}
	})
}

// A fails after it has sent P1, D1 and P2 of one XID, of which B has only P1; B then
// decides upon it by a transaction of its own.
func TestAFailoverTakesBackWhatWasLost(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir)
	first := keysNamed("first", 3)
	prepare(t, s, mysqlA, 1, xidA, first)
	decide(t, s, mysqlA, 2, xidA, binlog.XARolledBack)
	prepare(t, s, mysqlA, 3, xidA, keysNamed("lost", 4))
	start := mysqlA.position(t, 1)
	if err := s.Rewind([]binlog.Position{{}, start}); err != nil {
		t.Fatal(err)
	}
	theFile(t, dir)
	b := binlog.File{Name: "other.000001", Server: "B"}
	tx := &binlog.Transaction{GTID: binlog.GTID{Flavor: binlog.MySQL, SID: [16]byte{'B'}, Seq: 1}, Start: 4, XID: xidA, Outcome: binlog.XACommitted}
	for range 2 {
		e, err := s.Decide(tx, b)
		if err != nil {
			t.Fatal(err)
		}
		about(t, e, mysqlA, 1, first)
		s = openSpool(t, dir)
	}
	if e := decide(t, s, mysqlA, 2, xidA, binlog.XARolledBack); e != nil {
		t.Errorf("the lost decision stands: %v", e)
	}
	// A decision that some start has executed stands.
	prepare(t, s, mysqlA, 4, xidB, first)
	decide(t, s, mysqlA, 5, xidB, binlog.XACommitted)
	if err := s.Rewind([]binlog.Position{mysqlA.position(t, 4), mysqlA.position(t, 5)}); err != nil {
		t.Fatal(err)
	}
	if len(s.decided) != 1 {
		t.Errorf("%d are decided, expected 1: B's is undone, the other stands", len(s.decided))
	}
	about(t, decide(t, s, mysqlA, 5, xidB, binlog.XACommitted), mysqlA, 4, first)
	if err := s.Rewind(nil); err != nil {
		t.Fatal(err)
	}
	if kept, _ := files(t, dir); len(kept) != 0 || len(s.XIDs()) != 0 {
		t.Errorf("after a reset %v are left", kept)
	}
}

// A reading that moves to another server takes back what it may have read alone there.
func TestADecisionThatAFailoverLosesIsTakenBack(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir)
	first := keysNamed("first", 3)
	prepare(t, s, mysqlA, 1, xidA, first)
	prepare(t, s, mysqlA, 2, xidB, first)
	decide(t, s, mysqlA, 3, xidB, binlog.XACommitted)
	decide(t, s, mysqlA, 4, xidA, binlog.XARolledBack)
	if err := s.Undecide(mysqlA.position(t, 3)); err != nil {
		t.Fatal(err)
	}
	b := binlog.File{Name: "other.000001", Server: "B"}
	tx := &binlog.Transaction{GTID: binlog.GTID{Flavor: binlog.MySQL, SID: [16]byte{'B'}, Seq: 1}, Start: 4, XID: xidA, Outcome: binlog.XACommitted}
	for range 2 {
		e, err := s.Decide(tx, b)
		if err != nil {
			t.Fatal(err)
		}
		about(t, e, mysqlA, 1, first)
		// The one that stands is about the same as before.
		about(t, decide(t, s, mysqlA, 3, xidB, binlog.XACommitted), mysqlA, 2, first)
		s = openSpool(t, dir)
	}
}

func TestATemporarySpoolLeavesNothing(t *testing.T) {
	parent := t.TempDir()
	s := TemporarySpool(parent)
	c := s.NewCollector()
	tx := mysqlA.tx(1, xidA, binlog.Committed)
	collect(t, c, tx, mysqlA.logFile(), keysNamed("k", 3))
	e, err := c.OnePhase(tx)
	if err != nil {
		t.Fatal(err)
	}
	about(t, e, mysqlA, 1, keysNamed("k", 3))
	if _, others := files(t, parent); len(others) != 0 {
		t.Errorf("%v was made before it was needed", others)
	}
	prepare(t, s, mysqlA, 2, xidA, keysNamed("k", 3))
	about(t, decide(t, s, mysqlA, 3, xidA, binlog.XACommitted), mysqlA, 2, keysNamed("k", 3))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, others := files(t, parent); len(others) != 0 {
		t.Errorf("%v stayed", others)
	}
}

func TestAFailureToWriteIsToldAndPasses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "xa")
	s := openSpool(t, dir)
	keys := keysNamed(strings.Repeat("k", 200), 1000)
	prepare(t, s, mysqlA, 1, xidA, keys)
	away := dir + ".away"
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	c := s.NewCollector()
	tx := mysqlA.tx(3, xidB, binlog.Prepared)
	if err := c.Begin(tx, mysqlA.logFile()); err != nil {
		t.Fatal(err)
	}
	var failed error
	for _, k := range keys {
		if failed = c.Key([]byte(k.key)); failed != nil {
			break
		}
	}
	if failed == nil || !strings.Contains(failed.Error(), dir) {
		t.Fatalf("a key was written nowhere: %v", failed)
	}
	if err := c.Key([]byte("k")); err == nil {
		t.Error("a key behind those that are lost was taken")
	}
	if err := c.Prepared(tx); err == nil {
		t.Error("half of the keys were kept")
	}
	if _, err := s.Decide(mysqlA.tx(2, xidA, binlog.XACommitted), mysqlA.logFile()); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a decision was kept nowhere: %v", err)
	}
	if got := s.XIDs(); !slices.Equal(got, []binlog.XID{xidA}) {
		t.Errorf("after the decision failed undecided are %v", got)
	}
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	about(t, decide(t, s, mysqlA, 2, xidA, binlog.XACommitted), mysqlA, 1, keys)
	collect(t, c, tx, mysqlA.logFile(), keys)
	if err := c.Prepared(tx); err != nil {
		t.Fatal(err)
	}
	about(t, decide(t, openSpool(t, dir), mysqlA, 4, xidB, binlog.XACommitted), mysqlA, 3, keys)
}

func TestKeysBehindAFailedWriteAreNotTaken(t *testing.T) {
	s := openSpool(t, t.TempDir())
	c := s.NewCollector()
	tx := mysqlA.tx(1, xidA, binlog.Prepared)
	collect(t, c, tx, mysqlA.logFile(), keysNamed(strings.Repeat("k", 200), 1000))
	if err := c.file.Close(); err != nil {
		t.Fatal(err)
	}
	key := bytes.Repeat([]byte{'k'}, batcher.MaxKey)
	for i := range 2 * collectBytes / len(key) {
		if err := c.Key(key); i > collectBytes/len(key) && !errors.Is(err, os.ErrClosed) {
			t.Fatalf("a key behind those that are lost: %v", err)
		}
	}
	if err := c.Prepared(tx); !errors.Is(err, os.ErrClosed) {
		t.Errorf("half of the keys were kept: %v", err)
	}
	if len(s.XIDs()) != 0 {
		t.Error("half of the keys are waiting for a decision")
	}
}

func TestManyKeysTakeNoMemory(t *testing.T) {
	const keys = 500_000
	s := openSpool(t, t.TempDir())
	c := s.NewCollector()
	tx := mysqlA.tx(1, xidA, binlog.Prepared)
	key, want := bytes.Repeat([]byte{'k'}, 40), make([]byte, 0, 8)
	n := 0
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if err := c.Begin(tx, mysqlA.logFile()); err != nil {
				b.Fatal(err)
			}
			c.Statement(batcher.Tag, []byte("shop"), []byte("users"))
			for i := range keys {
				if err := c.Key(strconv.AppendInt(key[:32], int64(i), 10)); err != nil {
					b.Fatal(err)
				}
			}
			if err := c.Prepared(tx); err != nil {
				b.Fatal(err)
			}
			e := decide(b, s, mysqlA, 2, xidA, binlog.XACommitted)
			n = 0
			if err := e.Each(func(_ Statement, k []byte) error {
				if want := strconv.AppendInt(want[:0], int64(n), 10); !bytes.Equal(k[32:], want) {
					return fmt.Errorf("key %d is %q", n, k)
				}
				n++
				return nil
			}); err != nil {
				b.Fatal(err)
			}
		}
	}).AllocedBytesPerOp()
	if n != keys {
		t.Fatalf("%d keys came back, expected %d", n, keys)
	}
	// The collector's buffer, grown once, and the reader's; the keys take 20 MB.
	if most := int64(1 << 20); allocated > most {
		t.Errorf("%d bytes were allocated for %d keys, expected at most %d", allocated, keys, most)
	}
}

func TestAKeyIsCollectedWithoutAllocating(t *testing.T) {
	s := openSpool(t, t.TempDir())
	c := s.NewCollector()
	if err := c.Begin(mysqlA.tx(1, xidA, binlog.Prepared), mysqlA.logFile()); err != nil {
		t.Fatal(err)
	}
	key, schema, tables := []byte("user:12345"), []byte("shop"), [][]byte{[]byte("users"), []byte("orders")}
	one := func() {
		for i := range 10_000 {
			c.Statement(batcher.Tag, schema, tables[i/100%2])
			if err := c.Key(key); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := testing.AllocsPerRun(10, one); n != 0 {
		t.Errorf("%v allocations for 10,000 keys", n)
	}
	if err := c.Abort(); err != nil {
		t.Fatal(err)
	}
}

// Readings work on the spool at once, each on the same transactions, while what all
// of them have is forgotten.
func TestReadingsWorkAtOnce(t *testing.T) {
	const readings, transactions = 4, 40
	dir := t.TempDir()
	s := openSpool(t, dir)
	var read [readings]uint64 // by each; guarded by mu
	var mu sync.Mutex
	forget := func() error {
		var reaches []Reach
		mu.Lock()
		for _, n := range read {
			reaches = append(reaches, Reach{Saved: mysqlA.position(t, n)})
		}
		mu.Unlock()
		return s.Forget(reaches)
	}
	var wg sync.WaitGroup
	for r := range readings {
		wg.Go(func() {
			c := s.NewCollector()
			for n := uint64(1); n < 2*transactions; n += 2 {
				x := []binlog.XID{xidA, xidB}[n/2%2]
				tx := mysqlA.tx(n, x, binlog.Prepared)
				keys := keysNamed(fmt.Sprintf("%d:", n), 5)
				err := c.Begin(tx, mysqlA.logFile())
				for _, k := range keys {
					c.Statement(batcher.Tag, []byte(k.schema), []byte(k.table))
					err = errors.Join(err, c.Key([]byte(k.key)))
				}
				if err = errors.Join(err, c.Prepared(tx)); err != nil {
					t.Error(err)
					return
				}
				e, err := s.Decide(mysqlA.tx(n+1, x, binlog.XACommitted), mysqlA.logFile())
				if err != nil || e == nil {
					t.Errorf("decision on %d: %v, %v", n, e, err)
					return
				}
				var got []said
				err = e.Each(func(s Statement, key []byte) error {
					got = append(got, said{s.Cause.String(), string(s.Schema), string(s.Table), string(key)})
					return nil
				})
				if err != nil || !slices.Equal(got, keys) {
					t.Errorf("keys of %d: %v, %v", n, got, err)
					return
				}
				mu.Lock()
				read[r] = n + 1
				mu.Unlock()
				if err := forget(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := forget(); err != nil {
		t.Fatal(err)
	}
	if kept, others := files(t, dir); len(kept)+len(others) != 0 {
		t.Errorf("%v and %v stayed", kept, others)
	}
}

// BenchmarkSpool guards a key's way to disk and back, and what a small transaction
// costs, the syncs included.
func BenchmarkSpool(b *testing.B) {
	f := mysqlA.logFile()
	key := []byte("user:1234567890")
	collect := func(b *testing.B, c *Collector, tx *binlog.Transaction, keys int) {
		b.Helper()
		if err := c.Begin(tx, f); err != nil {
			b.Fatal(err)
		}
		c.Statement(batcher.Tag, []byte("shop"), []byte("users"))
		for range keys {
			if err := c.Key(key); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("collect", func(b *testing.B) {
		c := TemporarySpool(b.TempDir()).NewCollector()
		b.ReportAllocs()
		collect(b, c, mysqlA.tx(1, xidA, binlog.Prepared), b.N)
		if err := c.Abort(); err != nil {
			b.Fatal(err)
		}
	})
	b.Run("each", func(b *testing.B) {
		s := TemporarySpool(b.TempDir())
		c := s.NewCollector()
		tx := mysqlA.tx(1, xidA, binlog.Prepared)
		collect(b, c, tx, b.N)
		if err := c.Prepared(tx); err != nil {
			b.Fatal(err)
		}
		e := decide(b, s, mysqlA, 2, xidA, binlog.XACommitted)
		b.ReportAllocs()
		b.ResetTimer()
		if err := e.Each(func(Statement, []byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	})
	for name, s := range map[string]*Spool{"synced": openSpool(b, b.TempDir()), "temporary": TemporarySpool(b.TempDir())} {
		b.Run("transaction/"+name, func(b *testing.B) {
			c := s.NewCollector()
			b.ReportAllocs()
			for i := range uint64(b.N) {
				tx := mysqlA.tx(2*i+1, xidA, binlog.Prepared)
				collect(b, c, tx, 3)
				if err := c.Prepared(tx); err != nil {
					b.Fatal(err)
				}
				e := decide(b, s, mysqlA, 2*i+2, xidA, binlog.XACommitted)
				if err := e.Each(func(Statement, []byte) error { return nil }); err != nil {
					b.Fatal(err)
				}
				if err := s.Forget(nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// FuzzSpoolFile reads what may stand in a file: as it is, and as a body that is made
// whole, so that what lies behind the sum is met, too.
func FuzzSpoolFile(f *testing.F) {
	dir := f.TempDir()
	for i, o := range []origin{mysqlA, mariaA, withoutA} {
		s := openSpool(f, dir)
		prepare(f, s, o, 1, xidA, append(keysNamed("k", i), said{"rule", "s", "t", strings.Repeat("k", 250)}))
		f.Add(readFile(f, theFile(f, dir)))
		decide(f, s, o, 2, xidA, binlog.XACommitted)
		b := readFile(f, theFile(f, dir))
		f.Add(b)
		f.Add(b[:len(b)-5])
		if err := s.Rewind(nil); err != nil {
			f.Fatal(err)
		}
	}
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		readAny(t, b)
		sealed, _ := appendEnd(slices.Clone(b), 0)
		readAny(t, sealed)
	})
}

// readAny reads a file and checks that whatever was read can be written again, and is
// then the same.
func readAny(t *testing.T, b []byte) {
	t.Helper()
	var keys []said
	gather := func(s Statement, key []byte) error {
		if len(key) == 0 || len(key) > batcher.MaxKey {
			t.Fatalf("a key of %d bytes", len(key))
		}
		keys = append(keys, said{string(rune(s.Cause)), string(s.Schema), string(s.Table), string(key)})
		return nil
	}
	e, err := read(bytes.NewReader(b), int64(len(b)), gather)
	if err != nil {
		return
	}
	if e.size > int64(len(b)) || e.body.size > e.size || len(keys) != int(e.keys) {
		t.Fatalf("of %d bytes and %d keys read as %+v", len(b), len(keys), e)
	}
	again := appendHead(nil, &e.head)
	for _, k := range keys {
		cause := []rune(k.cause)[0]
		again = appendStatement(again, &Statement{Cause: batcher.Cause(cause), Schema: []byte(k.schema), Table: []byte(k.table)})
		again = appendKey(again, []byte(k.key))
	}
	again, sum := appendEnd(again, 0)
	if e.decision != nil {
		again = appendDecision(again, sum, e.decision)
	}
	first := keys
	keys = nil
	same, err := read(io.MultiReader(bytes.NewReader(again)), int64(len(again)), gather)
	if err != nil {
		t.Fatalf("what was read cannot be read again: %v", err)
	}
	if !slices.Equal(keys, first) || same.head != e.head || same.id != e.id || (same.decision == nil) != (e.decision == nil) ||
		e.decision != nil && *same.decision != *e.decision {
		t.Fatalf("read as %+v, and again as %+v", e, same)
	}
}
