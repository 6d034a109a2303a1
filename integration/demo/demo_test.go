package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/goroutines"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

func TestMain(m *testing.M) { os.Exit(goroutines.Verify(m)) }

// shortDemo is the demo with only these kinds of servers, in short halves, in a
// folder of its own for temporary files, which must be empty in the end.
func shortDemo(t *testing.T, out io.Writer, kinds ...servers.Kind) *demo {
	t.Helper()
	servers.Need(t, kinds...)
	// Short, since Unix sockets lie in it.
	dir, err := os.MkdirTemp("", "demo")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		left, err := os.ReadDir(dir)
		if err != nil {
			t.Error(err)
		}
		for _, entry := range left {
			t.Errorf("%s is left behind", entry.Name())
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
		for _, process := range children(t) {
			t.Errorf("a process is left behind: %s", process)
		}
	})
	return &demo{
		out:     newScreen(out),
		half:    time.Second,
		least:   20,
		rest:    5 * time.Minute,
		install: func(context.Context, io.Writer) error { return errors.New("this test installs nothing") },
		has:     func(k servers.Kind) bool { return slices.Contains(kinds, k) },
	}
}

// children are the processes that this one has started and that have not ended.
func children(t *testing.T) (found []string) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range stats {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		// pid (name) state ppid …: proc(5).
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			found = append(found, strings.TrimSpace(string(stat)))
		}
	}
	return found
}

func TestShopIsShownWithoutAndWithMcsqueal(t *testing.T) {
	for name, kinds := range map[string][]servers.Kind{
		"mysql and a router":       {servers.KindMySQL, servers.KindMemcached},
		"mariadb and plain caches": {servers.KindMariaDB, servers.KindMemcachedOld},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			d := shortDemo(t, &out, kinds...)
			if err := d.run(t.Context()); err != nil {
				t.Fatalf("%v; it printed:\n%s", err, &out)
			}
			for name, f := range map[string]*figures{"without": d.without, "with": d.with} {
				switch {
				case f.reads == 0 || f.hits == 0 || f.hits >= f.reads || f.orders == 0:
					t.Errorf("%s: %d reads, %d hits, %d orders: want some of each, and misses", name, f.reads, f.hits, f.orders)
				case f.stale != len(f.staleFor):
					t.Errorf("%s: %d stale reads, but %d ages of them", name, f.stale, len(f.staleFor))
				case f.stale > 0 && f.staleFor[0] < 0:
					t.Errorf("%s: a read was stale %v before the commit", name, -f.staleFor[0])
				}
			}
			if d.without.stale == 0 {
				t.Error("without: no read was stale, though keys that are read all the time stay cached over commits")
			}
			if len(d.with.deleted) != d.with.orders {
				t.Errorf("with: %d of %d orders' keys were deleted", len(d.with.deleted), d.with.orders)
			}
			for _, want := range []string{"stale reads", "hit rate", "commit to delete", count(d.with.reads), count(d.without.stale)} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is not in what it printed:\n%s", want, &out)
				}
			}
			if strings.ContainsAny(out.String(), "\x1b\r") {
				t.Errorf("there are terminal's codes in what is no terminal:\n%q", &out)
			}
			t.Logf("%s", &out)
		})
	}
}

func TestLogFilesAreShownWhereNoServerCanBeHad(t *testing.T) {
	for _, c := range []struct {
		name  string
		path  func(t *testing.T) string
		kinds []servers.Kind
		want  []string
		gone  bool
	}{
		{"with a router", withoutMemcached, []servers.Kind{servers.KindMemcached},
			[]string{"MySQL is not installed; MariaDB is not installed", " are gone, after "}, true},
		{"with the system's memcached", withMemcached, nil,
			[]string{"two of the system's memcached", " are gone, after "}, true},
		{"with nothing", withoutMemcached, nil,
			[]string{"No memcached can be had here either"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("PATH", c.path(t))
			var out bytes.Buffer
			d := shortDemo(t, &out, c.kinds...)
			if err := d.run(t.Context()); err != nil {
				t.Fatalf("%v; it printed:\n%s", err, &out)
			}
			switch r := d.replayed; {
			case !c.gone && r != nil:
				t.Errorf("something was delivered: %+v", r)
			case c.gone && (r == nil || r.keys == 0 || r.gone != r.keys):
				t.Errorf("replayed: %+v; want all gone", r)
			}
			for _, want := range append(c.want, "No database server can be had here", `{"key":"`, "$ mcsqueal replay --files") {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is not in what it printed", want)
				}
			}
			t.Logf("%s", &out)
		})
	}
}

// withoutMemcached is a PATH in which there is none.
func withoutMemcached(t *testing.T) string {
	t.Helper()
	return strings.Join(slices.DeleteFunc(filepath.SplitList(os.Getenv("PATH")), func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, "memcached"))
		return err == nil
	}), string(os.PathListSeparator))
}

// withMemcached is a PATH that has one, whatever the system has.
func withMemcached(t *testing.T) string {
	t.Helper()
	servers.Need(t, servers.KindMemcachedOld)
	cmd, err := servers.Command(t.Context(), servers.KindMemcachedOld, "memcached")
	if err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nexec"
	for _, arg := range cmd.Args {
		script += " '" + arg + "'"
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "memcached"), []byte(script+` "$@"`+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir + string(os.PathListSeparator) + os.Getenv("PATH")
}

// trigger is a terminal that calls functions when a text of each is first written to it.
type trigger struct {
	calls map[string]func()

	mu   sync.Mutex
	said bytes.Buffer // guarded by mu
}

func (w *trigger) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said.Write(p)
	for text, call := range w.calls {
		if strings.Contains(w.said.String(), text) {
			delete(w.calls, text)
			call()
		}
	}
	return len(p), nil
}

func TestInterruptLeavesNothingBehind(t *testing.T) {
	for name, text := range map[string]string{
		"while it builds":           "building mcsqueal",
		"in the first half":         "without mcsqueal    1 s",
		"while mcsqueal starts":     "starting mcsqueal",
		"in the half with mcsqueal": "with mcsqueal       1 s",
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			out := &trigger{calls: map[string]func(){text: cancel}}
			d := shortDemo(t, out, servers.KindMySQL, servers.KindMemcached)
			d.out.terminal = true
			// The half that is interrupted would not be over by then.
			switch long := func() { d.half = time.Minute }; {
			case strings.HasPrefix(text, "without mcsqueal"):
				long()
			case strings.HasPrefix(text, "with mcsqueal"):
				out.calls["starting mcsqueal"] = long
			}
			began := time.Now()
			err := d.run(ctx)
			if !errors.Is(err, context.Canceled) || len(d.unclean) != 0 {
				t.Errorf("it ended with %v, unclean: %v", err, d.unclean)
			}
			t.Logf("took %v", time.Since(began))
			if d.with != nil {
				t.Error("it went on to the end")
			}
		})
	}
}

func TestMcsquealThatCannotRunIsExplained(t *testing.T) {
	var out bytes.Buffer
	d := shortDemo(t, &out, servers.KindMySQL, servers.KindMemcached)
	db := servers.MySQL(t, servers.Config{Args: []string{"--binlog-rows-query-log-events=OFF"}})
	dir := t.TempDir()
	var err error
	if d.program, err = newProgram(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	shop, err := openShop(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	defer d.closing(shop.Close)
	d.scratch = dir
	_, err = d.runHalf(t.Context(), shop, true)
	if err == nil || !strings.Contains(err.Error(), "binlog_rows_query_log_events") {
		t.Errorf("error %v; want what mcsqueal said of binlog_rows_query_log_events", err)
	}
}
