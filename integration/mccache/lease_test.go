package mccache

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/harness"
)

// reading is what a reader with leases is told.
type reading struct {
	value string // what there is, "" if nothing
	hit   bool   // value is current
	token uint64 // the reader is to fill; 0: it is not
}

// wait says whether the reader is to ask again a little later.
func (r reading) wait() bool { return !r.hit && r.token == 0 }

// leaser is a client of one dialect of leases.
type leaser interface {
	read(key string) (reading, error)
	// fill stores a value by a token and tells whether it was taken.
	fill(key string, token uint64, value string) (bool, error)
	delete(key string) error
	close() error
}

// dialect opens a client of one dialect.
type dialect struct {
	name string
	open func(w *wire) leaser
}

var (
	textDialect = dialect{"text", func(w *wire) leaser { return textLeaser{w} }}
	// In the meta dialect a delete removes the value, or leaves it, marked as stale.
	metaDialect  = dialect{"meta", func(w *wire) leaser { return metaLeaser{w, ""} }}
	staleDialect = dialect{"meta, stale", func(w *wire) leaser { return metaLeaser{w, " I T30"} }}
)

func (d dialect) dial(ctx context.Context, addr string) (leaser, error) {
	w, err := connect(ctx, addr)
	if err != nil {
		return nil, err
	}
	return d.open(w), nil
}

// textLeaser speaks as mcrouter's clients do: lease-get and lease-set.
type textLeaser struct{ *wire }

// hotMiss is the token of those who are to wait.
const hotMiss = 1

func (l textLeaser) read(key string) (reading, error) {
	line, err := l.ask("lease-get %s\r\n", key)
	if err != nil {
		return reading{}, fmt.Errorf("lease-get: %w", err)
	}
	var r reading
	f := strings.Fields(line)
	switch {
	case len(f) == 4 && f[0] == "VALUE" && f[1] == key:
		r.hit = true
		r.value, err = l.data(f[3])
	case len(f) == 5 && f[0] == "LVALUE" && f[1] == key:
		if r.token, err = strconv.ParseUint(f[2], 10, 64); err != nil {
			return r, fmt.Errorf("lease-get: %q: %w", line, err)
		}
		if r.token == 0 {
			return r, fmt.Errorf("lease-get: %q: a token of 0", line)
		}
		if r.token == hotMiss {
			r.token = 0
		}
		r.value, err = l.data(f[4])
	default:
		return r, fmt.Errorf("lease-get: %q", harness.Clip(line))
	}
	if err != nil {
		return r, fmt.Errorf("lease-get: %w", err)
	}
	if line, err = l.line(); err == nil && line != "END" {
		err = fmt.Errorf("lease-get: %q, want END", harness.Clip(line))
	}
	return r, err
}

func (l textLeaser) fill(key string, token uint64, value string) (bool, error) {
	line, err := l.ask("lease-set %s %d 0 0 %d\r\n%s\r\n", key, token, len(value), value)
	return took("lease-set", unstored(line, "NOT_STORED"), "STORED", "NOT_STORED", err)
}

// unstored makes no difference between a fill that was refused and one for which there was
// no memory: the latter is for models to judge.
func unstored(line, refused string) string {
	if line == "SERVER_ERROR out of memory storing object" {
		return refused
	}
	return line
}

func (l textLeaser) delete(key string) error {
	line, err := l.ask("delete %s\r\n", key)
	_, err = took("delete", line, "DELETED", "NOT_FOUND", err)
	return err
}

// took reads an answer that is one of two.
func took(what, line, yes, no string, err error) (bool, error) {
	switch {
	case err != nil:
		return false, fmt.Errorf("%s: %w", what, err)
	case line == yes:
		return true, nil
	case line == no:
		return false, nil
	}
	return false, fmt.Errorf("%s: %q", what, harness.Clip(line))
}

// metaLeaser speaks the meta commands, as stock memcached has them.
type metaLeaser struct {
	*wire
	deleteFlags string
}

func (l metaLeaser) read(key string) (reading, error) {
	line, err := l.ask("mg %s N10 v c t\r\n", key)
	if err != nil {
		return reading{}, fmt.Errorf("mg: %w", err)
	}
	f := strings.Fields(line)
	if len(f) < 2 || f[0] != "VA" {
		return reading{}, fmt.Errorf("mg: %q", harness.Clip(line))
	}
	r := reading{hit: true}
	if r.value, err = l.data(f[1]); err != nil {
		return r, fmt.Errorf("mg: %w", err)
	}
	var cas uint64
	won := false
	for _, flag := range f[2:] {
		switch flag[0] {
		case 'c':
			if cas, err = strconv.ParseUint(flag[1:], 10, 64); err != nil {
				return r, fmt.Errorf("mg: %q: %w", line, err)
			}
		case 'W':
			won, r.hit = true, false
		case 'Z', 'X':
			r.hit = false
		}
	}
	if won {
		if r.token = cas; cas == 0 {
			return r, fmt.Errorf("mg: %q: a winner without a token", line)
		}
	}
	return r, nil
}

func (l metaLeaser) fill(key string, token uint64, value string) (bool, error) {
	line, err := l.ask("ms %s %d C%d T0\r\n%s\r\n", key, len(value), token, value)
	if line == "NF" || line == "NS" {
		line = "EX" // the stub is gone: as void as another's
	}
	return took("ms", unstored(line, "EX"), "HD", "EX", err)
}

func (l metaLeaser) delete(key string) error {
	line, err := l.ask("md %s%s\r\n", key, l.deleteFlags)
	_, err = took("md", line, "HD", "NF", err)
	return err
}

// fetched is what a reader got, and how.
type fetched struct {
	value  string
	cached bool // it was there; else it comes from the database
	marked bool // it was there, marked as stale
	atOnce bool // it was there at the first try
	stored bool // it was read from the database, and cached
}

// fetch is the loop of a reader: what is cached, or read from the database and cached;
// one that is to wait asks again after 2 ms, then twice as long each time, up to half a
// second; or, with takeStale, takes the value of before, if there is one.
func fetch(ctx context.Context, l leaser, key string, takeStale bool, database func() string) (fetched, error) {
	const first, longest = 2 * time.Millisecond, 500 * time.Millisecond
	for pause := first; ; pause = min(2*pause, longest) {
		r, err := l.read(key)
		switch {
		case err != nil:
			return fetched{}, err
		case r.hit:
			return fetched{value: r.value, cached: true, atOnce: pause == first}, nil
		case r.wait() && takeStale && r.value != "":
			return fetched{value: r.value, marked: true, atOnce: pause == first}, nil
		case !r.wait():
			v := database()
			stored, err := l.fill(key, r.token, v)
			return fetched{value: v, stored: stored}, err
		}
		if !sleep(ctx, pause) {
			return fetched{}, context.Cause(ctx)
		}
	}
}

// sleep lets time pass; it is false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// The paper, §3.2.1: a token is good for one fill, and for none after a delete.
func TestADeleteVoidsTheToken(t *testing.T) {
	t.Parallel()
	m := start(t)
	for _, d := range []dialect{textDialect, metaDialect, staleDialect} {
		l, err := d.dial(t.Context(), m.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer l.close()
		key := "k:" + strings.ReplaceAll(d.name, ", ", ":")
		mustRead := func(step string, want func(reading) bool) reading {
			t.Helper()
			r, err := l.read(key)
			if err != nil || !want(r) {
				t.Fatalf("%s: %s: %+v, %v", d.name, step, r, err)
			}
			return r
		}
		mustFill := func(step string, token uint64, value string, want bool) {
			t.Helper()
			if ok, err := l.fill(key, token, value); err != nil || ok != want {
				t.Fatalf("%s: %s: stored is %v, %v; want %v", d.name, step, ok, err, want)
			}
		}
		first := mustRead("the first reader wins", func(r reading) bool { return r.token > hotMiss })
		mustRead("the second waits", reading.wait)
		if err := l.delete(key); err != nil {
			t.Fatal(err)
		}
		second := mustRead("after a delete the next wins at once", func(r reading) bool { return r.token > hotMiss && r.token != first.token })
		mustFill("a fill from before the delete", first.token, "old", false)
		mustRead("the refused fill changes nothing", reading.wait)
		mustFill("the fill of the one who won", second.token, "new", true)
		mustFill("the same token again", second.token, "again", false)
		mustRead("what was filled", func(r reading) bool { return r.hit && r.value == "new" })
		mustFill("a void token, with a newer value present", first.token, "old", false)
		mustFill("a token that nobody gave", 12345, "made up", false)
		mustRead("still what was filled", func(r reading) bool { return r.hit && r.value == "new" })
	}
}

// A database that is slower than the interval still fills: when the interval ends, the
// next reader gets the same token, and whoever is first with it is taken.
func TestASlowDatabaseStillFills(t *testing.T) {
	t.Parallel()
	m := start(t)
	l, err := textDialect.dial(t.Context(), m.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	began := time.Now()
	first, err := l.read("slow")
	if err != nil || first.token == 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	var again reading
	harness.Await(t, "the interval ends and the next reader may fill", func() bool {
		r, err := l.read("slow")
		if err != nil {
			t.Fatal(err)
		}
		again = r
		return !r.wait()
	})
	if waited := time.Since(began); waited < 9*time.Second {
		t.Errorf("the interval took %v, want ten seconds", waited)
	}
	if again.token != first.token {
		t.Errorf("the second got another token, %d, than the first, %d, whose fill is then refused", again.token, first.token)
	}
	if ok, err := l.fill("slow", first.token, "v"); err != nil || !ok {
		t.Errorf("the first reader's fill: %v, %v", ok, err)
	}
	if ok, err := l.fill("slow", again.token, "v"); err != nil || ok {
		t.Errorf("the second reader's fill, of the same token: %v, %v", ok, err)
	}
}

// Tokens are not used again, not even by another process on the same port: a fill of
// before a restart is refused after it.
func TestATokenDoesNotOutliveARestart(t *testing.T) {
	t.Parallel()
	m := start(t)
	for _, d := range []dialect{textDialect, metaDialect} {
		var tokens []uint64
		for range 2 {
			l, err := d.dial(t.Context(), m.Addr())
			if err != nil {
				t.Fatal(err)
			}
			r, err := l.read("r")
			if err != nil || r.token <= hotMiss {
				t.Fatalf("%s: %+v, %v", d.name, r, err)
			}
			for _, old := range tokens {
				if ok, err := l.fill("r", old, "from before the restart"); err != nil || ok {
					t.Errorf("%s: a token of before the restart: %v, %v", d.name, ok, err)
				}
			}
			tokens = append(tokens, r.token)
			if err := errors.Join(l.close(), m.Kill(), m.Restart(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
		if tokens[0] == tokens[1] {
			t.Errorf("%s: the token %d came twice", d.name, tokens[0])
		}
	}
}
