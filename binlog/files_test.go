package binlog_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/binlog/binlogtest"
)

// listener is a Handler that writes down what it hears, a line each, and whether
// it was told in the order that Handler promises.
type listener struct {
	lines    []string
	ended    []string // GTIDs
	files    []string
	warnings []binlog.Warning
	wanted   bool // ask for every table's rows
	images   int  // bytes of rows
	largest  int  // bytes of one event of rows
	quiet    bool // write nothing down
	within   bool
	disorder string
}

func (l *listener) order(ok bool, what string) {
	if !ok && l.disorder == "" {
		l.disorder = what
	}
}

func (l *listener) File(f binlog.File) error {
	if !l.quiet {
		l.files = append(l.files, f.Name)
	}
	return nil
}

func (l *listener) Previous(*binlog.GTIDSet) error { return nil }

func (l *listener) Begin(t *binlog.Transaction) error {
	l.order(!l.within, "a beginning within a transaction")
	l.within = true
	if !l.quiet {
		l.lines = append(l.lines, "begin "+t.GTID.String())
	}
	return nil
}

func (l *listener) Statement(s *binlog.Statement) error {
	l.order(l.within, "a statement outside of a transaction")
	if !l.quiet {
		l.lines = append(l.lines, string(s.Text))
	}
	return nil
}

func (l *listener) Table(t *binlog.Table) (bool, error) {
	l.order(l.within, "a table outside of a transaction")
	if !l.quiet {
		l.lines = append(l.lines, fmt.Sprintf("%s.%s", t.Schema, t.Name))
	}
	return l.wanted, nil
}

func (l *listener) Rows(r *binlog.Rows) error {
	l.order(l.within, "rows outside of a transaction")
	l.images += len(r.Body)
	l.largest = max(l.largest, len(r.Body))
	return nil
}

func (l *listener) End(t *binlog.Transaction) error {
	l.order(l.within, "an end outside of a transaction")
	l.order(t.End > t.Start, "a transaction that ends before it begins")
	l.within = false
	if !l.quiet {
		l.lines = append(l.lines, "end "+t.Outcome.String())
		l.ended = append(l.ended, t.GTID.String())
	}
	return nil
}

func (l *listener) Broken() error {
	l.order(l.within, "a break outside of a transaction")
	l.within = false
	return nil
}

func (l *listener) Moved() (binlog.Position, error) {
	return binlog.Position{}, errors.New("files do not move")
}

func (l *listener) Checkpoint(string) error { return nil }
func (l *listener) Idle(uint64) error       { return nil }
func (l *listener) Warn(w binlog.Warning)   { l.warnings = append(l.warnings, w) }

// read reads files, or what stands for standard input.
func read(t testing.TB, l *listener, stdin []byte, paths ...string) error {
	t.Helper()
	files, err := binlog.NewFiles(paths, bytes.NewReader(stdin))
	if err != nil {
		return err
	}
	files.KeepRows = l.wanted
	err = files.Run(context.Background(), l)
	if l.disorder != "" {
		t.Errorf("the handler was told of %s", l.disorder)
	}
	return err
}

// sample is a small log with transactions of several kinds.
type sample struct {
	name  string
	log   []byte
	ends  []int    // where each transaction ends
	gtids []string // of each transaction
	heard []string // what a listener writes down of it all
	// starts has where each event starts, and the end of the file.
	starts []int
}

// samples are logs of both flavors, with checksums unless bare.
func samples(t testing.TB, bare bool) (list []sample) {
	t.Helper()
	for _, flavor := range []binlog.Flavor{binlog.MySQL, binlog.MariaDB} {
		for _, compress := range []bool{false, true} {
			s := sample{name: flavor.String()}
			if compress {
				s.name += " compressed"
			}
			var b bytes.Buffer
			l := binlogtest.NewWriter(&b, binlogtest.Config{Flavor: flavor, NoChecksums: bare})
			xid := binlog.XID{Named: true, Format: 1, Global: 1, Data: "x"}
			for _, tx := range []binlogtest.Tx{
				{Statements: []binlogtest.Stmt{{Text: "INSERT /* mc: a */", RowBytes: 10}}},
				{Statements: []binlogtest.Stmt{{Text: "UPDATE /* mc: b */", Rows: 2}, {Table: "u"}, {Text: "UPDATE /* mc: c */"}}},
				{End: binlogtest.Alone, Statements: []binlogtest.Stmt{{Text: "TRUNCATE /* mc: d */ t", Query: true}}},
				{End: binlogtest.CommitQuery, Statements: []binlogtest.Stmt{{Text: "INSERT /* mc: e */ INTO m", Query: true}}},
				{End: binlogtest.Prepare, XID: xid, Statements: []binlogtest.Stmt{{Text: "INSERT /* mc: f */"}}},
				{End: binlogtest.XACommit, XID: xid},
			} {
				tx.Compress = compress
				l.Transaction(tx)
				s.ends = append(s.ends, int(l.Offset()))
			}
			l.Rotate("bin.000002")
			if err := l.Err(); err != nil {
				t.Fatal(err)
			}
			s.log = b.Bytes()
			for at := 4; at < len(s.log); at += int(binary.LittleEndian.Uint32(s.log[at+9:])) {
				s.starts = append(s.starts, at)
			}
			s.starts = append(s.starts, len(s.log))
			heard := &listener{}
			if err := read(t, heard, s.log, "-"); err != nil {
				t.Fatal(err)
			}
			s.gtids, s.heard = heard.ended, heard.lines
			if len(s.gtids) != len(s.ends) {
				t.Fatalf("%s: %d transactions, expected %d:\n%s", s.name, len(s.gtids), len(s.ends), strings.Join(s.heard, "\n"))
			}
			list = append(list, s)
		}
	}
	return list
}

// before gives the transactions that end at or before an offset.
func (s *sample) before(offset int) []string {
	n := 0
	for n < len(s.ends) && s.ends[n] <= offset {
		n++
	}
	return s.gtids[:n]
}

// event gives the start of the event at an offset.
func (s *sample) event(offset int) int {
	i, found := slices.BinarySearch(s.starts, offset)
	if !found {
		i--
	}
	if i < 0 {
		return 0
	}
	return s.starts[i]
}

// checkCorrupt checks that an error names the place, and that exactly what is
// whole in front of it was heard.
func (s *sample) checkCorrupt(t *testing.T, what string, err error, l *listener, path string, offset int) {
	t.Helper()
	var corrupt *binlog.CorruptError
	switch {
	case !errors.As(err, &corrupt):
		t.Errorf("%s: got %v, expected a *CorruptError", what, err)
	case corrupt.File != path || corrupt.Offset != uint64(offset):
		t.Errorf("%s: got %v, expected it to name %s, offset %d", what, err, path, offset)
	}
	if want := s.before(offset); !slices.Equal(want, l.ended) {
		t.Errorf("%s: read transactions %v, expected %v", what, l.ended, want)
	}
	if n := len(l.lines); n > len(s.heard) || !slices.Equal(s.heard[:n], l.lines) {
		t.Errorf("%s: heard what is not in the log:\n%s", what, strings.Join(l.lines, "\n"))
	}
}

func TestATruncatedLogIsReadUpToTheCut(t *testing.T) {
	for _, bare := range []bool{false, true} {
		for _, s := range samples(t, bare) {
			t.Run(fmt.Sprintf("%s bare=%v", s.name, bare), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "bin.000001")
				if err := os.WriteFile(path, s.log, 0o600); err != nil {
					t.Fatal(err)
				}
				for cut := len(s.log); cut >= 0; cut-- {
					if err := os.Truncate(path, int64(cut)); err != nil {
						t.Fatal(err)
					}
					l := &listener{}
					err := read(t, l, nil, path)
					what := fmt.Sprintf("cut at %d", cut)
					if slices.Contains(s.starts, cut) && (cut > 4 && cut <= s.head() || slices.Contains(s.ends, cut)) || cut == len(s.log) {
						// Nothing is missing that a reader could know of.
						if err != nil {
							t.Errorf("%s: %v", what, err)
						}
						if want := s.before(cut); !slices.Equal(want, l.ended) {
							t.Errorf("%s: read transactions %v, expected %v", what, l.ended, want)
						}
						continue
					}
					s.checkCorrupt(t, what, err, l, path, s.event(cut))
					if t.Failed() {
						return
					}
				}
			})
		}
	}
}

// head gives where the first transaction begins.
func (s *sample) head() int {
	for _, at := range s.starts {
		switch s.log[at+4] {
		case 33, 162: // GTID events
			return at
		}
	}
	return 0
}

func TestAFlippedByteEndsTheReading(t *testing.T) {
	for _, s := range samples(t, false) {
		t.Run(s.name, func(t *testing.T) {
			log := slices.Clone(s.log)
			for i := range log {
				for _, flip := range []byte{0x01, 0x80, 0xff} {
					const flags = 4 + 17
					if i == flags && flip == 0x01 {
						continue // a server sets and clears this one, behind the checksum's back
					}
					log[i] ^= flip
					l := &listener{}
					err := read(t, l, log, "-")
					log[i] ^= flip
					s.checkCorrupt(t, fmt.Sprintf("byte %d xor %#x", i, flip), err, l, "standard input", s.event(i))
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

func TestALogStillInUseIsRead(t *testing.T) {
	var b bytes.Buffer
	w := binlogtest.NewWriter(&b, binlogtest.Config{InUse: true})
	w.Transaction(binlogtest.Tx{})
	l := &listener{}
	if err := read(t, l, b.Bytes(), "-"); err != nil || len(l.ended) != 1 {
		t.Errorf("%d transactions, %v", len(l.ended), err)
	}
}

func TestWhatIsNoLogIsRefused(t *testing.T) {
	var whole bytes.Buffer
	w := binlogtest.NewWriter(&whole, binlogtest.Config{})
	w.Transaction(binlogtest.Tx{})
	log := whole.Bytes()
	change := func(at int, b ...byte) []byte {
		changed := slices.Clone(log)
		copy(changed[at:], b)
		return changed
	}
	fde := int(binary.LittleEndian.Uint32(log[4+9:])) // bytes
	headless := slices.Concat(log[:4], log[4+fde:])
	var sealed bytes.Buffer
	w = binlogtest.NewWriter(&sealed, binlogtest.Config{Flavor: binlog.MariaDB})
	w.Event(164, 0, make([]byte, 17)) // Start_encryption
	packed := pack(t, "gzip", log)
	damaged := slices.Clone(packed)
	damaged[len(damaged)/2] ^= 0x10
	for _, test := range []struct {
		name   string
		log    []byte
		offset uint64
		says   string
	}{
		{"encrypted by MySQL", change(0, 0xfd), 0, "encrypted"},
		{"encrypted by MariaDB", sealed.Bytes(), uint64(sealed.Len() - 40), "encrypted"},
		{"text", []byte("BEGIN;\nINSERT INTO t VALUES (1);\n"), 0, "not a binary log"},
		{"empty", nil, 0, "found 0 bytes and the end"},
		{"three bytes", log[:3], 0, "found 3 bytes and the end"},
		{"the first four bytes alone", log[:4], 4, "expected a format description event, found the end"},
		{"without a format description", headless, 4, "expected a format description event first"},
		{"of version 3", change(4+19, 3), 4, "binary log version 3"},
		{"an event smaller than its header", change(4+fde+9, 5, 0, 0, 0), uint64(4 + fde), "expected an event's size between"},
		{"an event larger than any", change(4+fde+9, 0, 0, 0, 0x80), uint64(4 + fde), "expected an event's size between"},
		{"an event of a gibibyte that is not there", change(4+fde+9, 0, 0, 0, 0x40), uint64(4 + fde), "truncated"},
		{"damaged gzip", damaged, 0, "compressed"},
		{"gzip, truncated", packed[:len(packed)-20], 0, "truncated"},
		{"gzip's first bytes", packed[:5], 0, "compressed"},
		{"zstd's first bytes", []byte("\x28\xb5\x2f\xfdwhatever this may be"), 0, "compressed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bin.000001")
			if err := os.WriteFile(path, test.log, 0o600); err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := read(t, &listener{}, nil, path)
			runtime.ReadMemStats(&after)
			var corrupt *binlog.CorruptError
			if !errors.As(err, &corrupt) || corrupt.File != path || !strings.Contains(err.Error(), test.says) || corrupt.Offset < test.offset {
				t.Errorf("got %v, expected a *CorruptError at %s, offset %d that says %q", err, path, test.offset, test.says)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
				t.Errorf("%d bytes were allocated for a file of %d", used, len(test.log))
			}
		})
	}
}

func TestWhatIsNoFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	for path, says := range map[string]string{
		dir:                         "is a directory; name the log files in it",
		filepath.Join(dir, "there"): "no such file",
	} {
		if _, err := binlog.NewFiles([]string{path}, nil); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, expected it to say %q", path, err, says)
		}
	}
}

// pack compresses.
func pack(t testing.TB, how string, b []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	var z io.WriteCloser = gzip.NewWriter(&packed)
	if how == "zstd" {
		var err error
		if z, err = zstd.NewWriter(&packed); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func TestLogsAreReadInEveryPacking(t *testing.T) {
	for _, s := range samples(t, false) {
		t.Run(s.name, func(t *testing.T) {
			dir := t.TempDir()
			put := func(name string, b []byte) string {
				path := filepath.Join(dir, name)
				if err := os.WriteFile(path, b, 0o600); err != nil {
					t.Fatal(err)
				}
				return path
			}
			plain := put("bin.000001", s.log)
			gz := put("bin.000002.gz", pack(t, "gzip", s.log))
			zst := put("bin.000003.zst", pack(t, "zstd", s.log))
			twice := slices.Concat(s.log, s.log)
			for _, test := range []struct {
				name  string
				stdin []byte
				paths []string
				files []string
			}{
				{"plain", nil, []string{plain}, []string{"bin.000001"}},
				{"gzip", nil, []string{gz}, []string{"bin.000002"}},
				{"zstd", nil, []string{zst}, []string{"bin.000003"}},
				{"several in a row", nil, []string{plain, gz, zst}, []string{"bin.000001", "bin.000002", "bin.000003"}},
				{"standard input", s.log, []string{"-"}, []string{""}},
				{"standard input among files", s.log, []string{plain, "-", gz}, []string{"bin.000001", "", "bin.000002"}},
				{"several in one stream", twice, []string{"-"}, []string{"", "bin.000002"}},
				{"several in one gzip stream", pack(t, "gzip", twice), []string{"-"}, []string{"", "bin.000002"}},
				{"several gzip files in one stream", slices.Concat(pack(t, "gzip", s.log), pack(t, "gzip", s.log)), []string{"-"}, []string{"", "bin.000002"}},
				{"several zstd files in one stream", slices.Concat(pack(t, "zstd", s.log), pack(t, "zstd", s.log)), []string{"-"}, []string{"", "bin.000002"}},
			} {
				l := &listener{}
				if err := read(t, l, test.stdin, test.paths...); err != nil {
					t.Errorf("%s: %v", test.name, err)
				}
				if diff := cmp.Diff(slices.Repeat(s.heard, len(test.files)), l.lines); diff != "" {
					t.Errorf("%s (-want +got):\n%s", test.name, diff)
				}
				if diff := cmp.Diff(test.files, l.files); diff != "" {
					t.Errorf("%s: files (-want +got):\n%s", test.name, diff)
				}
			}
		})
	}
}

func TestProgressSaysHowMuchOfTheFilesHasBeenRead(t *testing.T) {
	s := samples(t, false)[0]
	packed := pack(t, "gzip", s.log)
	path := filepath.Join(t.TempDir(), "bin.000001.gz")
	if err := os.WriteFile(path, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		paths []string
		total int64
	}{{[]string{path, path}, 2 * int64(len(packed))}, {[]string{path, "-"}, -1}} {
		files, err := binlog.NewFiles(test.paths, bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		if read, total := files.Progress(); read != 0 || total != test.total {
			t.Errorf("%v: %d of %d before", test.paths, read, total)
		}
		if err := files.Run(t.Context(), &listener{}); err != nil {
			t.Fatal(err)
		}
		if read, _ := files.Progress(); read != 2*int64(len(packed)) {
			t.Errorf("%v: %d bytes read, expected %d", test.paths, read, 2*len(packed))
		}
	}
}

// What is missing from a file that is cut within a transaction is missed however much
// follows: in the next file, or in the same one.
func TestALogThatEndsWithinATransactionEndsTheReading(t *testing.T) {
	for _, s := range samples(t, false) {
		t.Run(s.name, func(t *testing.T) {
			dir := t.TempDir()
			cut, ok := filepath.Join(dir, "bin.000001"), filepath.Join(dir, "bin.000002")
			if err := os.WriteFile(ok, s.log, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, at := range s.starts {
				whole := at <= s.head() || slices.Contains(s.ends, at) || at == len(s.log)
				if err := os.WriteFile(cut, s.log[:at], 0o600); err != nil {
					t.Fatal(err)
				}
				for _, packing := range []struct {
					name  string
					stdin []byte
					paths []string
				}{
					{cut, nil, []string{cut, ok}},
					{"standard input", slices.Concat(s.log[:at], s.log), []string{"-"}},
				} {
					l := &listener{}
					err := read(t, l, packing.stdin, packing.paths...)
					what := fmt.Sprintf("%s cut at %d", packing.name, at)
					switch {
					case at == 4: // no log at all
						if err == nil || len(l.ended) > 0 {
							t.Errorf("%s: read %v, %v", what, l.ended, err)
						}
					case whole:
						if want := slices.Concat(s.before(at), s.gtids); err != nil || !slices.Equal(want, l.ended) {
							t.Errorf("%s: read %v, %v, expected %v", what, l.ended, err, want)
						}
					default:
						s.checkCorrupt(t, what, err, l, packing.name, at)
					}
				}
			}
		})
	}
}

func TestAnUnknownEventIsSaidAndReadOver(t *testing.T) {
	var b bytes.Buffer
	w := binlogtest.NewWriter(&b, binlogtest.Config{})
	at := w.Offset()
	w.Event(99, 0, []byte("what is this?"))
	w.Event(26, 0, []byte("\x01\x00\x04lost")) // Incident
	w.Transaction(binlogtest.Tx{})
	l := &listener{}
	if err := read(t, l, b.Bytes(), "-"); err != nil || len(l.ended) != 1 {
		t.Fatalf("%d transactions, %v", len(l.ended), err)
	}
	if len(l.warnings) != 2 || l.warnings[0].Kind != binlog.UnknownEvent || l.warnings[0].Offset != at ||
		l.warnings[1].Kind != binlog.Incident || !strings.Contains(l.warnings[1].Detail, "lost") {
		t.Errorf("warnings: %v", l.warnings)
	}
}

// allocated gives how many bytes a reading allocates.
func allocated(t *testing.T, l *listener, log []byte) uint64 {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := read(t, l, log, "-"); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestAHugeRowsEventIsWalkedOver(t *testing.T) {
	const size = 20 << 20
	for _, compress := range []bool{false, true} {
		var b bytes.Buffer
		w := binlogtest.NewWriter(&b, binlogtest.Config{})
		w.Transaction(binlogtest.Tx{Compress: compress, Statements: []binlogtest.Stmt{{Text: "before"}, {Text: "huge", RowBytes: size}, {Text: "behind"}}})
		log := b.Bytes()
		l := &listener{}
		most := uint64(1 << 20)
		if compress {
			most = 16 << 20 // zstd's window
		}
		if used := allocated(t, l, log); used > most {
			t.Errorf("compressed=%v: walking over an event of %d bytes allocated %d, expected at most %d", compress, size, used, most)
		}
		if want := []string{"begin 6d637371-7565-8a6c-8000-000000000001:1", "before", "test.t", "huge", "test.t", "behind", "test.t", "end committed"}; !slices.Equal(want, l.lines) {
			t.Errorf("compressed=%v: heard %q", compress, l.lines)
		}
		l = &listener{wanted: true}
		if err := read(t, l, log, "-"); err != nil || l.largest < size {
			t.Errorf("compressed=%v: asked for, the largest event has %d bytes, %v", compress, l.largest, err)
		}
		if !compress {
			log[len(log)/2] ^= 1
			if err := read(t, &listener{}, log, "-"); err == nil || !strings.Contains(err.Error(), "checksum error") {
				t.Errorf("a byte of an event that is walked over was flipped: %v", err)
			}
		}
	}
}

func TestAHugeTextIsReadWhole(t *testing.T) {
	text := strings.Repeat("SELECT 'a long text' ", 300_000)
	for _, compress := range []bool{false, true} {
		for _, flavor := range []binlog.Flavor{binlog.MySQL, binlog.MariaDB} {
			var b bytes.Buffer
			w := binlogtest.NewWriter(&b, binlogtest.Config{Flavor: flavor})
			w.Transaction(binlogtest.Tx{Compress: compress, Statements: []binlogtest.Stmt{{Text: text}, {Text: text, Query: true}}})
			w.Transaction(binlogtest.Tx{Statements: []binlogtest.Stmt{{Text: "behind"}}})
			l := &listener{}
			if err := read(t, l, b.Bytes(), "-"); err != nil {
				t.Fatal(err)
			}
			texts := slices.DeleteFunc(l.lines, func(s string) bool { return s != text && s != "behind" })
			if !slices.Equal(texts, []string{text, text, "behind"}) {
				t.Errorf("%s compressed=%v: heard %d texts", flavor, compress, len(texts))
			}
		}
	}
}

func TestReadingAllocatesNothingForAnEvent(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates, too; the same test without it counts")
	}
	for _, flavor := range []binlog.Flavor{binlog.MySQL, binlog.MariaDB} {
		for _, text := range []string{"", "UPDATE /* mc: a */ t SET v = 1"} {
			for _, packed := range []bool{false, flavor == binlog.MySQL} {
				run := func(transactions int) float64 {
					var b bytes.Buffer
					w := binlogtest.NewWriter(&b, binlogtest.Config{Flavor: flavor})
					for range transactions {
						w.Transaction(binlogtest.Tx{Compress: packed, Statements: []binlogtest.Stmt{{Text: text, RowBytes: 50}, {Text: text, Rows: 3}}})
					}
					l := &listener{quiet: true}
					return testing.AllocsPerRun(2, func() {
						if err := read(t, l, b.Bytes(), "-"); err != nil {
							t.Fatal(err)
						}
					})
				}
				// Enough that every buffer there is has been used once.
				const n = 4000
				if each := (run(2*n) - run(n)) / n; each > 0.01 {
					t.Errorf("%s, text %q, compressed=%v: %.2f allocations for each transaction", flavor, text, packed, each)
				}
			}
		}
	}
}

// FuzzFiles reads anything at all: never a panic, a handler that is told things in
// order, and no memory that the input's size does not back.
func FuzzFiles(f *testing.F) {
	for _, bare := range []bool{false, true} {
		for _, s := range samples(f, bare) {
			f.Add(s.log, false)
			f.Add(s.log, true)
			f.Add(slices.Concat(s.log, s.log), false)
			if !bare {
				f.Add(pack(f, "gzip", s.log), false)
				f.Add(pack(f, "zstd", s.log), false)
			}
		}
	}
	f.Fuzz(func(t *testing.T, log []byte, wanted bool) {
		const most = 64 << 10
		if len(log) > most {
			t.Skip("compressed, it may honestly be large")
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := read(t, &listener{quiet: true, wanted: wanted}, log, "-")
		runtime.ReadMemStats(&after)
		var corrupt *binlog.CorruptError
		if err != nil && !errors.As(err, &corrupt) {
			t.Errorf("%v does not say where", err)
		}
		// What zstd's window and zlib's best ratio allow.
		if used := after.TotalAlloc - before.TotalAlloc; used > 1<<30 {
			t.Errorf("%d bytes were allocated for %d", used, len(log))
		}
	})
}

func BenchmarkFiles(b *testing.B) {
	for _, size := range []int{50, 2000} {
		b.Run(fmt.Sprintf("rows of %d bytes", size), func(b *testing.B) {
			var log bytes.Buffer
			w := binlogtest.NewWriter(&log, binlogtest.Config{})
			for log.Len() < 8<<20 {
				w.Transaction(binlogtest.Tx{Statements: []binlogtest.Stmt{{Text: "UPDATE /* mc: user:1 */ t SET v = 1 WHERE id = 1", RowBytes: size}}})
			}
			b.SetBytes(int64(log.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if err := read(b, &listener{quiet: true}, log.Bytes(), "-"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
