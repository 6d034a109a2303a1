package integration

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// stretch is a piece of a server's log in two files, and what is known of it from
// outside.
type stretch struct {
	db *harness.Database
	s  *harness.Session
	// first and second are the keys in the order in which they must come out: of the
	// first file and of the second. tables has the table of each, without its test's
	// name; "" where the log does not say.
	first, second []string
	tables        map[string]string
	// before, between and after are places in the log: in front of the first key,
	// behind the last one of the first file, behind all.
	before, between, after mark
	// files are copies of the log files, oldest first.
	files []string
}

// mark is one place in the log, in all its forms.
type mark struct {
	file     string
	offset   uint64
	executed string
	time     time.Time // whole seconds; nothing was committed in the second that it begins
}

func (m mark) at() string   { return fmt.Sprintf("file:%s:%d", m.file, m.offset) }
func (m mark) gtid() string { return "gtid:" + m.executed }
func (m mark) when() string { return "time:" + m.time.UTC().Format(time.RFC3339) }

// markIn notes a place, between two whole seconds.
func markIn(t *testing.T, s *harness.Session) mark {
	t.Helper()
	now := func() (seconds int64) {
		if err := s.Conn.QueryRowContext(t.Context(), "SELECT UNIX_TIMESTAMP(SYSDATE())").Scan(&seconds); err != nil {
			t.Fatal(err)
		}
		return seconds
	}
	began := now()
	harness.Await(t, "the server's clock goes on", func() bool { return now() > began })
	m := mark{executed: s.Executed(t), time: time.Unix(now(), 0)}
	m.file, m.offset = s.Place(t)
	harness.Await(t, "the server's clock goes on", func() bool { return now() > m.time.Unix() })
	return m
}

// newStretch writes one.
func newStretch(t *testing.T, db *harness.Database) *stretch {
	t.Helper()
	s := db.Session(t)
	s.Exec(t, "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(2000))")
	x := &stretch{db: db, s: s, tables: map[string]string{}}
	named := func(half *[]string, table string, keys ...string) {
		for _, key := range keys {
			*half = append(*half, db.Key(key))
			x.tables[db.Key(key)] = table
		}
	}
	s.Exec(t, "FLUSH BINARY LOGS")
	x.before = markIn(t, s)

	s.Exec(t, "INSERT /* mc: {a2} {a1} */ INTO t VALUES (1, '/* mc: {no} */')")
	s.Exec(t, "INSERT /* mc: {a1} */ INTO settled VALUES ()")
	named(&x.first, "t", "a2", "a1")
	x.first, x.tables[db.Key("a1")] = append(x.first, db.Key("a1")), ""
	s.Exec(t, "BEGIN; UPDATE /* mc: {b1} {b2} */ t SET name = 'x'; INSERT /* mc: {b1} {b3} */ INTO settled VALUES (); COMMIT")
	named(&x.first, "t", "b1", "b2")
	named(&x.first, "settled", "b3")
	s.Exec(t, "BEGIN; UPDATE /* mc: {no} */ t SET name = 'y'; ROLLBACK")
	other := db.Session(t)
	other.Exec(t, "XA START '"+db.Schema+"'; INSERT /* mc: {x1} */ INTO t VALUES (2, 'x'); XA END '"+db.Schema+"'; XA PREPARE '"+db.Schema+"'")
	s.Exec(t, "INSERT /* mc: {c1} */ INTO settled VALUES ()")
	named(&x.first, "settled", "c1")
	other.Exec(t, "XA COMMIT '"+db.Schema+"'")
	named(&x.first, "t", "x1")
	other.Close()

	x.between = markIn(t, s)
	s.Exec(t, "FLUSH BINARY LOGS")

	s.Exec(t, "ALTER /* mc: {d1} */ TABLE t COMMENT 'x'")
	named(&x.second, "", "d1")
	if db.IsMySQL() {
		s.Exec(t, "SET SESSION binlog_transaction_compression = ON")
	}
	s.Exec(t, "INSERT /* mc: {e1} {e2} */ INTO t VALUES (3, REPEAT('z', 500))")
	named(&x.second, "t", "e1", "e2")
	if db.IsMySQL() {
		s.Exec(t, "SET SESSION binlog_transaction_compression = OFF")
	}
	s.Exec(t, "SET SESSION binlog_format = STATEMENT")
	s.Exec(t, "UPDATE /* mc: {f1} */ t SET name = 'x'")
	named(&x.second, "", "f1")
	s.Exec(t, "SET SESSION binlog_format = ROW")
	s.Exec(t, "INSERT INTO t VALUES (?, ?) /* mc: {g1} */", 4, db.Named("' /* mc: {no} */"))
	named(&x.second, "t", "g1")
	x.after = markIn(t, s)
	s.Exec(t, "FLUSH BINARY LOGS")

	logs, err := db.LogFiles()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, log := range logs {
		name := filepath.Base(log)
		if name < x.before.file || name > x.after.file {
			continue
		}
		data, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		x.files = append(x.files, filepath.Join(dir, name))
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

// keys are all of them, in order.
func (x *stretch) keys() []string { return slices.Concat(x.first, x.second) }

// mine is a flag that lets only keys of the test through: others use the server, too.
func (x *stretch) mine() string { return "--match=^" + x.db.Schema + ":" }

// dry runs a replay with --dry-run and gives its lines.
func (x *stretch) dry(t *testing.T, cfg *harness.Settings, args ...string) []line {
	t.Helper()
	p := cfg.Replay(t, append([]string{"--dry-run", x.mine()}, args...)...)
	if p.Status() != 0 {
		t.Fatalf("replay %s: exit status %d:\n%s", args, p.Status(), p.Stderr.String())
	}
	return lines(t, p)
}

func TestReplayGivesTheSameKeysFromServerAndFiles(t *testing.T) {
	t.Parallel()
	// Its own, since there is an XA transaction in it, which must not be prepared when
	// others' daemons start.
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		x := newStretch(t, db)
		nowhere := harness.Configure(t, db.SourceURL()) // no cluster at all
		fromServer := x.dry(t, nowhere, "--from", "oldest")
		if diff := cmp.Diff(x.keys(), keysOf(t, fromServer)); diff != "" {
			t.Errorf("keys from the server (-written +replayed):\n%s", diff)
		}
		for _, l := range fromServer {
			x.check(t, l)
		}
		needsNothing := harness.Call{Args: append([]string{"replay", "--dry-run", x.mine(), "--files"}, x.files...), Env: []string{"MCSQUEAL_PASSWORD="}}
		p := needsNothing.Run(t)
		if p.Status() != 0 {
			t.Fatalf("exit status %d:\n%s", p.Status(), p.Stderr.String())
		}
		if diff := cmp.Diff(fromServer, lines(t, p)); diff != "" {
			t.Errorf("lines (-from the server +from files):\n%s", diff)
		}
		t.Run("bounds", x.testBounds)
		t.Run("bounds that say nothing", x.testBoundsThatSayNothing)
		t.Run("packed", x.testPacked)
		t.Run("delivery", x.testDelivery)
		t.Run("broken files", x.testBrokenFiles)
	})
}

// check holds a line to what the server itself says of the place.
func (x *stretch) check(t *testing.T, l line) {
	t.Helper()
	if l.Action != "delete" || l.Cause != "tag" || l.Schema != x.db.Schema || l.Clusters != nil {
		t.Errorf("line %+v; want a delete for a tag in schema %s", l, x.db.Schema)
	}
	if table := x.tables[l.Key]; table != "" && l.Table != table {
		t.Errorf("line %+v; want table %s", l, table)
	}
	if l.Time == nil || l.Time.Before(x.before.time.Add(-time.Second)) || l.Time.After(x.after.time.Add(time.Second)) {
		t.Errorf("line %+v; want a time from %v to %v", l, x.before.time, x.after.time)
	}
	if l.Log != x.before.file && l.Log != x.after.file || l.GTID == "" {
		t.Errorf("line %+v; want a GTID, in %s or %s", l, x.before.file, x.after.file)
		return
	}
	for row := range x.s.Rows(t, fmt.Sprintf("SHOW BINLOG EVENTS IN '%s' FROM %d LIMIT 1", l.Log, l.Pos)) {
		if !strings.HasPrefix(row["Event_type"], "Gtid") || !strings.Contains(row["Info"], l.GTID) {
			t.Errorf("line %+v: at that place the server has %v", l, row)
		}
	}
}

// testBounds holds replay to its bounds, in every form, from the server and from files.
func (x *stretch) testBounds(t *testing.T) {
	cfg := harness.Configure(t, x.db.SourceURL())
	all := x.dry(t, cfg, "--from", "oldest")
	// One transaction in the middle, by its own place: it begins where its line says.
	i := slices.IndexFunc(all, func(l line) bool { return l.Key == x.db.Key("b1") })
	b := all[i]
	next := all[i+3]
	place := fmt.Sprintf("file:%s:%d", b.Log, b.Pos)
	for _, c := range []struct {
		from, to string
		want     []string
	}{
		{"oldest", "now", x.keys()},
		{"now", "", nil},
		{x.before.gtid(), "", x.keys()},
		{x.before.when(), "", x.keys()},
		{x.between.at(), "", x.second},
		{x.between.gtid(), "", x.second},
		{x.between.when(), "", x.second},
		{x.after.gtid(), "", nil},
		{"oldest", x.between.at(), x.first},
		{"oldest", x.between.when(), x.first},
		{x.before.at(), x.between.gtid(), x.first},
		{x.before.gtid(), x.between.gtid(), x.first},
		{x.between.gtid(), x.after.when(), x.second},
		{x.between.when(), x.after.at(), x.second},
		{x.between.at(), x.between.at(), nil},
		{x.between.gtid(), x.between.gtid(), nil},
		// The bound is inclusive: what begins at it, has its GTID or its time, comes out.
		{place, place, x.db.Keys("b1", "b2", "b3")},
		{place, fmt.Sprintf("file:%s:%d", next.Log, next.Pos-1), x.db.Keys("b1", "b2", "b3")},
		{place, fmt.Sprintf("file:%s:%d", next.Log, next.Pos), x.db.Keys("b1", "b2", "b3", "c1")},
		{place, "gtid:" + b.GTID, x.db.Keys("b1", "b2", "b3")},
		{"oldest", fmt.Sprintf("file:%s:99999999", x.before.file), x.first},
		{x.before.at(), "time:" + all[len(x.first)-1].Time.Format(time.RFC3339Nano), x.first},
		{"time:" + all[len(x.first)].Time.Format(time.RFC3339Nano), "", x.second},
	} {
		t.Run(fmt.Sprintf("from %s to %s", strings.ReplaceAll(c.from, "/", "_"), strings.ReplaceAll(c.to, "/", "_")), func(t *testing.T) {
			args := []string{"--from", c.from}
			if c.to != "" {
				args = append(args, "--to", c.to)
			}
			if diff := cmp.Diff(c.want, keysOf(t, x.dry(t, cfg, args...))); diff != "" {
				t.Errorf("from the server (-want +got):\n%s", diff)
			}
			if c.to == "now" {
				return // files have no now
			}
			if diff := cmp.Diff(c.want, keysOf(t, x.dry(t, cfg, append(args, append([]string{"--files"}, x.files...)...)...))); diff != "" {
				t.Errorf("from files (-want +got):\n%s", diff)
			}
		})
	}
}

// testBoundsThatSayNothing gives bounds that cannot be applied to what is read: then
// nothing is delivered, and the exit status says so.
func (x *stretch) testBoundsThatSayNothing(t *testing.T) {
	dir := t.TempDir()
	renamed, all := filepath.Join(dir, "m"), filepath.Join(dir, x.before.file)
	var joined []byte
	for i, file := range x.files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := os.WriteFile(renamed, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		joined = append(joined, data...)
	}
	if err := os.WriteFile(all, joined, 0o600); err != nil {
		t.Fatal(err)
	}
	foreign, own := "gtid:0-1-3", "mysql"
	if !x.db.IsMySQL() {
		foreign, own = "gtid:3e11fa47-71ca-11e1-9e33-c80aa9429562:1-3", "mariadb"
	}
	at := x.before.at()
	for _, c := range []struct {
		name   string
		status int
		args   []string
		stdin  []byte
		parts  []string
	}{
		{"from a file by another name", 2, []string{"--from", at, "--files", renamed}, nil, []string{"--from " + at, renamed, "gtid:SET"}},
		{"to a file by another name", 2, []string{"--to", at, "--files", x.files[0], renamed}, nil, []string{"--to " + at, renamed}},
		{"from a file of another log", 2, []string{"--from", "file:other.000001:4", "--files", x.files[0]}, nil, []string{"other.000001", x.files[0]}},
		{"from a file in standard input", 2, []string{"--from", at, "--files", "-"}, joined, []string{"standard input has no name"}},
		{"to a file in standard input", 2, []string{"--to", at, "--files", x.files[0], "-"}, joined, []string{"standard input has no name"}},
		{"from another kind of server's GTIDs", 1, []string{"--from", foreign, "--files", x.files[0]}, nil, []string{"--from " + foreign, own, x.before.file}},
		{"to another kind of server's GTIDs", 1, []string{"--to", foreign, "--files", x.files[0]}, nil, []string{"--to " + foreign, own, x.before.file}},
		{"from another kind of server's GTIDs, of the server", 2, []string{"--from", foreign}, nil, []string{"--from " + foreign, "the source is " + own}},
		{"to another kind of server's GTIDs, of the server", 2, []string{"--from", "oldest", "--to", foreign}, nil, []string{"--to " + foreign, "the source is " + own}},
		{"from behind a file's end", 1, []string{"--from", fmt.Sprintf("file:%s:99999999", x.before.file)}, nil, []string{x.before.file + " ends at offset"}},
		{"from a file the server lacks", 1, []string{"--from", "file:bin.999999:4"}, nil, []string{"bin.999999", "it has the files bin.0"}},
		{"to a file the server lacks", 1, []string{"--from", "oldest", "--to", "file:bin.999999:4"}, nil, []string{"bin.999999", "it has the files bin.0"}},
		{"to a file of another log, of the server", 1, []string{"--from", "oldest", "--to", "file:other.000001:4"}, nil, []string{"other.000001", "it has the files bin.0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := harness.Call{Args: append([]string{"replay", "--dry-run", "--source", x.db.SourceURL(), x.mine()}, c.args...), Stdin: bytes.NewReader(c.stdin)}.Run(t)
			p.MustEnd(t, c.status, c.parts...)
			if printed := p.Stdout.String(); printed != "" {
				t.Errorf("it printed %s", harness.Clip(printed))
			}
		})
	}
	// In one stream the log says the name of the file behind the first.
	t.Run("from a file within another", func(t *testing.T) {
		got := keysOf(t, x.dry(t, harness.Configure(t, x.db.SourceURL()), "--from", fmt.Sprintf("file:%s:4", x.after.file), "--files", all))
		if diff := cmp.Diff(x.second, got); diff != "" {
			t.Errorf("keys (-want +got):\n%s", diff)
		}
	})
}

// testPacked reads the files compressed, from standard input, and one by one.
func (x *stretch) testPacked(t *testing.T) {
	dir := t.TempDir()
	var plain bytes.Buffer
	var gzipped, zstandard []string
	for _, file := range x.files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		plain.Write(data)
		gzipped = append(gzipped, pack(t, filepath.Join(dir, filepath.Base(file)+".gz"), data, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }))
		zstandard = append(zstandard, pack(t, filepath.Join(dir, filepath.Base(file)+".zst"), data, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }))
	}
	read := func(name string) io.Reader {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.NewReader(data)
	}
	for _, c := range []struct {
		name  string
		files []string
		stdin io.Reader
		want  []string
	}{
		{name: "gzip", files: gzipped, want: x.keys()},
		{name: "zstd", files: zstandard, want: x.keys()},
		{name: "mixed", files: []string{zstandard[0], x.files[1]}, want: x.keys()},
		{name: "the first", files: x.files[:1], want: x.first},
		{name: "the second", files: x.files[1:], want: x.second},
		{name: "standard input", files: []string{"-"}, stdin: read(x.files[0]), want: x.first},
		{name: "standard input, zstd", files: []string{"-"}, stdin: read(zstandard[0]), want: x.first},
		{name: "standard input, all", files: []string{"-"}, stdin: bytes.NewReader(plain.Bytes()), want: x.keys()},
		{name: "a file and standard input", files: []string{gzipped[0], "-"}, stdin: read(gzipped[1]), want: x.keys()},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := harness.Call{Args: append([]string{"replay", "--dry-run", x.mine(), "--files"}, c.files...), Stdin: c.stdin}.Run(t)
			if p.Status() != 0 {
				t.Errorf("exit status %d:\n%s", p.Status(), p.Stderr.String())
			}
			if diff := cmp.Diff(c.want, keysOf(t, lines(t, p))); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
		})
	}
}

// pack writes a compressed file and gives its name.
func pack(t *testing.T, name string, data []byte, packer func(io.Writer) (io.WriteCloser, error)) string {
	t.Helper()
	var packed bytes.Buffer
	w, err := packer(&packed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// testDelivery delivers for good.
func (x *stretch) testDelivery(t *testing.T) {
	east, west := harness.NewCache(t), harness.NewCache(t)
	cfg := harness.Configure(t, x.db.SourceURL(), "clusters:", cluster("east", "servers", east.Addr()), cluster("west", "routers", west.Addr()))
	filled := func() {
		t.Helper()
		east.Fill(t, x.keys()...)
		west.Fill(t, x.keys()...)
	}
	ok := func(p *harness.Process) {
		t.Helper()
		if p.Status() != 0 {
			t.Errorf("exit status %d:\n%s", p.Status(), p.Stderr.String())
		}
	}
	t.Run("to every cluster", func(t *testing.T) {
		filled()
		east.Fill(t, x.db.Key("no"))
		ok(cfg.Replay(t, "--from", "oldest"))
		east.MustLack(t, x.keys()...)
		west.MustLack(t, x.keys()...)
		east.MustHave(t, x.db.Key("no"))
	})
	t.Run("to one cluster", func(t *testing.T) {
		filled()
		ok(cfg.Replay(t, "--from", x.before.at(), "--cluster", "west"))
		east.MustHave(t, x.keys()...)
		west.MustLack(t, x.keys()...)
	})
	t.Run("of files, to a cluster of the command line", func(t *testing.T) {
		filled()
		ok(harness.Mcsqueal(t, append([]string{"replay", "--cluster", "there=" + east.Addr(), "--files"}, x.files...)...))
		east.MustLack(t, x.keys()...)
		west.MustHave(t, x.keys()...)
	})
	t.Run("of what matches", func(t *testing.T) {
		filled()
		ok(cfg.Replay(t, "--from", x.before.at(), "--match", "^"+x.db.Schema+":[ab]"))
		chosen := x.db.Keys("a1", "a2", "b1", "b2", "b3")
		rest := slices.DeleteFunc(x.keys(), func(key string) bool { return slices.Contains(chosen, key) })
		east.MustLack(t, chosen...)
		east.MustHave(t, rest...)
	})
	t.Run("of a stretch", func(t *testing.T) {
		filled()
		ok(cfg.Replay(t, "--from", x.before.gtid(), "--to", x.between.gtid()))
		east.MustLack(t, x.first...)
		east.MustHave(t, x.second...)
	})
	t.Run("leaves no state", func(t *testing.T) {
		if _, err := os.Stat(cfg.StateDir); !os.IsNotExist(err) {
			t.Errorf("%s is there: %v", cfg.StateDir, err)
		}
	})
	for _, c := range []struct {
		name   string
		status int
		args   []string
		parts  []string
	}{
		{"without a source of keys", 2, []string{}, []string{"--from", "--files"}},
		{"from no position", 2, []string{"--from", "yesterday"}, []string{"--from", "yesterday", "oldest, now, gtid:SET, file:NAME:OFFSET or time:"}},
		{"to no position", 2, []string{"--from", "oldest", "--to", "file:bin"}, []string{"--to"}},
		{"that matches nothing", 2, []string{"--from", "oldest", "--match", "("}, []string{"--match"}},
		{"to an unknown cluster", 2, []string{"--from", "oldest", "--cluster", "north"}, []string{"north"}},
		{"at a rate below zero", 2, []string{"--from", "oldest", "--rate=-1"}, []string{"--rate"}},
		{"with an unknown flag", 2, []string{"--form", "oldest"}, []string{"--form"}},
		{"from a file that is gone", 1, []string{"--from", "file:bin.999999:4"}, []string{"bin.999999"}},
		{"of a file that is not there", 1, []string{"--files", "/nonexistent/bin.000001"}, []string{"/nonexistent/bin.000001"}},
		{"of a folder", 1, []string{"--files", "/"}, []string{"is a directory"}},
	} {
		t.Run(c.name, func(t *testing.T) { cfg.Replay(t, c.args...).MustEnd(t, c.status, c.parts...) })
	}
	t.Run("to nowhere", func(t *testing.T) {
		harness.Configure(t, x.db.SourceURL()).Replay(t, "--from", "oldest").MustEnd(t, 2, "--cluster", "--dry-run")
	})
}

// A file that ends badly ends a replay with what came before, however slowly that goes
// out: nobody would read it again.
func TestFailedReplayDeliversWhatCameBefore(t *testing.T) {
	t.Parallel()
	db := harness.MySQL(t) // the source has no part in it
	m := harness.NewCache(t)
	s := db.Session(t)
	s.Exec(t, "FLUSH BINARY LOGS")
	file, _ := s.Place(t)
	keys := db.Numbered("k", 240)
	s.Commit(t, keys...)
	s.Commit(t, db.Key("next"))
	s.Exec(t, "FLUSH BINARY LOGS")
	data, err := os.ReadFile(filepath.Join(db.DataDir(), file))
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), file)
	if err := os.WriteFile(broken, data[:bytes.Index(data, []byte(db.Key("next")))], 0o600); err != nil {
		t.Fatal(err)
	}
	m.Fill(t, keys...)
	p := harness.Mcsqueal(t, "replay", "--cluster", "east="+m.Addr(), "--match", "^"+db.Schema+":", "--rate", "20", "--files", broken)
	p.MustEnd(t, 1, broken, "expected")
	m.MustLack(t, keys...)
}

// testBrokenFiles holds replay to saying where a file ends being one, after all that
// comes before.
func (x *stretch) testBrokenFiles(t *testing.T) {
	data, err := os.ReadFile(x.files[0])
	if err != nil {
		t.Fatal(err)
	}
	all := x.dry(t, harness.Configure(t, x.db.SourceURL()), "--files", x.files[0])
	c1 := all[slices.IndexFunc(all, func(l line) bool { return l.Key == x.db.Key("c1") })]
	upTo := x.first[:slices.Index(x.first, x.db.Key("c1"))]
	damaged := slices.Clone(data)
	damaged[c1.Pos+40] ^= 1
	for _, c := range []struct {
		name  string
		data  []byte
		want  []string
		parts []string
	}{
		{"truncated between transactions", data[:c1.Pos], upTo, nil},
		{"truncated within a transaction", data[:c1.Pos+70], upTo, []string{"expected"}},
		{"damaged", damaged, upTo, []string{fmt.Sprint(c1.Pos), "checksum", "expected"}},
		{"text", []byte("Dear diary, today I saw a squirrel.\n"), nil, []string{"offset 0", "expected"}},
		{"empty", nil, nil, []string{"offset 0", "expected"}},
		{"encrypted", append([]byte{0xfd, 'b', 'i', 'n'}, data[4:]...), nil, []string{"encrypted"}},
		{"a broken gzip", []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3}, nil, []string{"expected"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "bin.000001")
			if err := os.WriteFile(name, c.data, 0o600); err != nil {
				t.Fatal(err)
			}
			p := harness.Mcsqueal(t, "replay", "--dry-run", x.mine(), "--files", name)
			if c.parts == nil {
				p.MustEnd(t, 0)
			} else {
				p.MustEnd(t, 1, append(c.parts, name)...)
			}
			if diff := cmp.Diff(c.want, keysOf(t, lines(t, p))); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
		})
	}
}
