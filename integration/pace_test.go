package integration

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestReplayKeepsToItsRate(t *testing.T) {
	t.Parallel()
	db := shared[0].get(t) // the source has no part in it
	m := newCache(t)
	cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
	s := db.session(t)
	file, offset := s.place(t)
	before := s.executed(t)
	keys := db.numbered("k", 300)
	s.commit(t, keys...)
	from := func(point string) []string {
		return []string{"replay", "--config", cfg.path, "--from", point, "--match=^" + db.schema + ":", "--rate", "200"}
	}
	args := from("file:" + file + ":" + strconv.FormatUint(offset, 10))

	t.Run("to the end", func(t *testing.T) {
		fill(t, m, keys...)
		began := time.Now()
		if p := mcsqueal(t, args...); p.status != 0 {
			t.Fatalf("exit status %d:\n%s", p.status, p.stderr.String())
		}
		// A tenth of a second's keys may go out at once.
		if took, least := time.Since(began), 1400*time.Millisecond; took < least {
			t.Errorf("300 keys at 200 a second took %v, want %v at least", took, least)
		}
		mustBeGone(t, m, keys...)
	})
	t.Run("interrupted", func(t *testing.T) {
		fill(t, m, keys...)
		p := call{args: args}.start(t)
		awaitGone(t, m, keys[0])
		p.signal(t, syscall.SIGTERM)
		p.failed(t, 1, "interrupted", "not complete")
	})
	for name, args := range map[string][]string{"on a terminal": args, "on a terminal, by GTIDs": from("gtid:" + before)} {
		t.Run(name, func(t *testing.T) {
			fill(t, m, keys...)
			screen := newTerminal(t)
			call{args: args, terminal: screen.theirs}.run(t)
			shown := screen.shown(t)
			// Bytes, of how many, keys, rates, and the time that is left.
			for _, pattern := range []string{`\r.*[0-9.]+ [KM]?i?B of [0-9.]+ [KM]?i?B \([0-9]+ %\)`, `[1-9][0-9]* keys  [0-9]+ keys/s`, `[0-9]+s left`} {
				if !regexp.MustCompile(pattern).MatchString(shown) {
					t.Errorf("the terminal shows %q, want %s in it", shown, pattern)
				}
			}
		})
	}
}

// terminal is a pseudo-terminal.
type terminal struct {
	theirs *os.File // the process's side
	ours   *os.File
	said   bytes.Buffer // to be read after reading is done
	reader sync.WaitGroup
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal can be had here: %v", err)
	}
	// See pts(4): unlocked, and found by its number.
	if err := unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &terminal{theirs: theirs, ours: ours}
	s.reader.Go(func() {
		_, _ = s.said.ReadFrom(ours) // ends with an error when the last of their side is closed
	})
	t.Cleanup(func() {
		_ = theirs.Close()
		s.reader.Wait()
		_ = ours.Close()
	})
	return s
}

// shown is everything that was written; nothing more can be.
func (s *terminal) shown(t *testing.T) string {
	t.Helper()
	if err := s.theirs.Close(); err != nil {
		t.Fatal(err)
	}
	s.reader.Wait()
	return s.said.String()
}

// Second deletes are for who tails: nobody waits an hour for a replay.
func TestReplayDeliversOnce(t *testing.T) {
	t.Parallel()
	db := shared[0].get(t) // the source has no part in it
	m := newCache(t)
	wire := record(t, m.Addr())
	cfg := configure(t, db.url(), "clusters:", fmt.Sprintf("  - {name: east, servers: [%s], redelete_after: [1h]}", wire.addr))
	s := db.session(t)
	before := s.executed(t)
	keys := db.numbered("k", 100)
	fill(t, m, keys...)
	s.commit(t, keys...)
	p := cfg.replay(t, "--from", "gtid:"+before, "--match", "^"+db.schema+":")
	if p.status != 0 {
		t.Errorf("exit status %d:\n%s", p.status, p.stderr.String())
	}
	mustBeGone(t, m, keys...)
	if n := strings.Count(wire.sent.String(), "md "+db.schema+":"); n != len(keys) {
		t.Errorf("%d deletes for %d keys", n, len(keys))
	}
}
