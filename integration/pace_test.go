package integration

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcsqueal/mcsqueal/integration/harness"
)

func TestReplayKeepsToItsRate(t *testing.T) {
	t.Parallel()
	db := harness.MySQL(t) // the source has no part in it
	m := harness.NewCache(t)
	cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
	s := db.Session(t)
	file, offset := s.Place(t)
	before := s.Executed(t)
	keys := db.Numbered("k", 300)
	s.Commit(t, keys...)
	from := func(point string) []string {
		return []string{"replay", "--config", cfg.Path, "--from", point, "--match=^" + db.Schema + ":", "--rate", "200"}
	}
	args := from("file:" + file + ":" + strconv.FormatUint(offset, 10))

	t.Run("to the end", func(t *testing.T) {
		m.Fill(t, keys...)
		began := time.Now()
		if p := harness.Mcsqueal(t, args...); p.Status() != 0 {
			t.Fatalf("exit status %d:\n%s", p.Status(), p.Stderr.String())
		}
		// A tenth of a second's keys may go out at once.
		if took, least := time.Since(began), 1400*time.Millisecond; took < least {
			t.Errorf("300 keys at 200 a second took %v, want %v at least", took, least)
		}
		m.MustLack(t, keys...)
	})
	t.Run("interrupted", func(t *testing.T) {
		m.Fill(t, keys...)
		slow := slices.Clone(args)
		slow[len(slow)-1] = "50" // for six seconds, so that it is not over when that is said
		p := harness.Call{Args: slow}.Start(t)
		m.AwaitGone(t, keys[0])
		p.Signal(t, syscall.SIGTERM)
		p.MustEnd(t, 1, "interrupted", "not complete")
	})
	for name, args := range map[string][]string{"on a terminal": args, "on a terminal, by GTIDs": from("gtid:" + before)} {
		t.Run(name, func(t *testing.T) {
			m.Fill(t, keys...)
			screen := newTerminal(t)
			harness.Call{Args: args, Terminal: screen.theirs}.Run(t)
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
	db := harness.MySQL(t) // the source has no part in it
	m := harness.NewCache(t)
	wire := record(t, m.Addr())
	cfg := harness.Configure(t, db.SourceURL(), "clusters:", fmt.Sprintf("  - {name: east, servers: [%s], redelete_after: [1h], %s}", wire.addr, patient))
	s := db.Session(t)
	before := s.Executed(t)
	keys := db.Numbered("k", 100)
	m.Fill(t, keys...)
	s.Commit(t, keys...)
	p := cfg.Replay(t, "--from", "gtid:"+before, "--match", "^"+db.Schema+":")
	if p.Status() != 0 {
		t.Errorf("exit status %d:\n%s", p.Status(), p.Stderr.String())
	}
	m.MustLack(t, keys...)
	if n := strings.Count(wire.sent.String(), "md "+db.Schema+":"); n != len(keys) {
		t.Errorf("%d deletes for %d keys", n, len(keys))
	}
}
