package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/binlog/binlogtest"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

func TestEventsAreAsLargeAsAskedFor(t *testing.T) {
	for _, flavor := range []binlog.Flavor{binlog.MySQL, binlog.MariaDB} {
		for _, each := range []int{100, 2000} {
			path := filepath.Join(t.TempDir(), "log")
			size, keys, err := eventFile(path, binlogtest.Config{Flavor: flavor}, 1<<20, each, 3)
			if err != nil {
				t.Fatal(err)
			}
			log, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			events := 0
			for at := 4; at < len(log); events++ {
				at += int(binary.LittleEndian.Uint32(log[at+9:]))
			}
			if mean := len(log) / events; int(size) != len(log) || mean < each*9/10 || mean > each*11/10 {
				t.Errorf("%s: %d bytes, said to be %d; %d in an event, expected %d", flavor, len(log), size, mean, each)
			}
			if _, err := readFile(t.Context(), path, keys); err != nil {
				t.Errorf("%s: %v", flavor, err)
			}
			if _, err := readFile(t.Context(), path, keys+1); err == nil {
				t.Errorf("%s: a key is missing, and nobody said so", flavor)
			}
		}
	}
}

func TestTheBareLoopVerifiesChecksums(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if _, _, err := eventFile(path, binlogtest.Config{}, 1<<20, 100, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := bareLoop(path); err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	log[len(log)/2] ^= 1
	if err := os.WriteFile(path, log, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bareLoop(path); err == nil {
		t.Error("a byte was flipped, and nobody said so")
	}
}

// ears remembers what a cache hears.
type ears struct {
	mu   sync.Mutex
	keys []string
	came chan struct{} // one for each call
}

func newEars() *ears { return &ears{came: make(chan struct{}, 1000)} }

func (e *ears) hear(_ time.Time, keys [][]byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, k := range keys {
		e.keys = append(e.keys, string(k))
	}
	e.came <- struct{}{}
}

func (e *ears) heard() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.keys)
}

func startTestCache(t *testing.T, e *ears) *cache {
	t.Helper()
	c, err := startCache(t.Context(), e.hear)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func dial(t *testing.T, c *cache) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", c.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestTheCacheAnswersHoweverCommandsAreCut(t *testing.T) {
	const (
		commands = "version\r\nmn\r\nmd a\r\ndelete b\r\nmd c\r\nmn\r\n"
		answers  = "VERSION 1.6.0\r\nMN\r\nHD\r\nDELETED\r\nHD\r\nMN\r\n"
	)
	for _, step := range []int{1, 5, 7, len(commands)} {
		e := newEars()
		conn := dial(t, startTestCache(t, e))
		for rest := commands; rest != ""; rest = rest[min(step, len(rest)):] {
			if _, err := io.WriteString(conn, rest[:min(step, len(rest))]); err != nil {
				t.Fatal(err)
			}
		}
		got := make([]byte, len(answers))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != answers {
			t.Errorf("in steps of %d: got %q, %v", step, got, err)
		}
		if heard := e.heard(); !slices.Equal(heard, []string{"a", "b", "c"}) {
			t.Errorf("in steps of %d: heard %q", step, heard)
		}
	}
}

func TestTheCacheSaysWhatItDoesNotUnderstand(t *testing.T) {
	c, err := startCache(t.Context(), newEars().hear)
	if err != nil {
		t.Fatal(err)
	}
	conn := dial(t, c)
	if _, err := io.WriteString(conn, "set a 0 0 1\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %v, expected the connection to end", err)
	}
	if err := c.close(); err == nil || !strings.Contains(err.Error(), "set a 0 0 1") {
		t.Errorf("got %v", err)
	}
}

func TestTheBlasterWaitsForEveryAnswer(t *testing.T) {
	e := newEars()
	b := newBlaster(1000)
	if _, err := b.blast(t.Context(), startTestCache(t, e).addr()); err != nil {
		t.Fatal(err)
	}
	heard := e.heard()
	if len(heard) != 1000 || heard[0] != "user:00000000:profile" || heard[999] != "user:00000999:profile" {
		t.Errorf("%d keys", len(heard))
	}
}

func TestPacketsAreCounted(t *testing.T) {
	e := newEars()
	c := startTestCache(t, e)
	packets, err := startCapture(c.port())
	if errors.Is(err, unix.EPERM) {
		t.Skip("packet sockets need CAP_NET_RAW")
	}
	if err != nil {
		t.Fatal(err)
	}
	conn := dial(t, c)
	if _, err := io.WriteString(conn, "version\r\n"); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 20, 3} {
		if _, err := io.WriteString(conn, strings.Repeat("md k\r\n", n)); err != nil {
			t.Fatal(err)
		}
		<-e.came // so that the next write is a packet of its own
	}
	counts, err := packets.stop()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(counts, []float64{1, 20, 3}) {
		t.Errorf("counted %v", counts)
	}
}

func FuzzPayload(f *testing.F) {
	f.Add(slices.Concat([]byte{0x45, 0, 0, 42}, make([]byte, 16+12), []byte{0x50}, make([]byte, 7), []byte("md")))
	f.Fuzz(func(t *testing.T, packet []byte) {
		if len(payloadOf(packet)) > len(packet) {
			t.Error("more came out than went in")
		}
	})
}

// The bare tailer must hear of every commit, or what it is compared by is wrong.
func TestTheBareTailerDeletesWhatIsCommitted(t *testing.T) {
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		e := newEars()
		c := startTestCache(t, e)
		if _, err := d.DB().Exec("CREATE TABLE test.t (id INT PRIMARY KEY)"); err != nil {
			t.Fatal(err)
		}
		maria := d.Kind() == servers.KindMariaDB
		from, err := end(t.Context(), d.Addr(), maria)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- tail(ctx, []string{from.addr, fmt.Sprint(maria), from.file, fmt.Sprint(from.offset), c.addr()})
		}()
		for i := range 3 {
			if _, err := d.DB().Exec(fmt.Sprintf("INSERT /* mc: key:%d */ INTO test.t VALUES (%[1]d)", i)); err != nil {
				t.Fatal(err)
			}
			select {
			case <-e.came:
			case err := <-done:
				t.Fatalf("the tailer ended: %v", err)
			case <-time.After(time.Minute):
				t.Fatal("no delete came")
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if heard := e.heard(); !slices.Equal(heard, []string{"key:0", "key:1", "key:2"}) {
			t.Errorf("heard %q", heard)
		}
	})
}

// A server that is given a log file of ours serves it as its own.
func TestEveryReaderOfALiveLogFindsTheSame(t *testing.T) {
	for _, k := range []servers.Kind{servers.KindMySQL, servers.KindMariaDB} {
		t.Run(k.String(), func(t *testing.T) {
			servers.Need(t, k)
			const keys = 1000
			w := &workbench{dir: t.TempDir(), progress: io.Discard}
			d, file, err := serverWithLog(t.Context(), w, k, func(path string, c binlogtest.Config) error {
				return keyFile(path, c, keys, 20)
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}()
			if _, err := readLive(t.Context(), d, flavorOf(k), file, keys); err != nil {
				t.Error(err)
			}
			dump, err := openDump(t.Context(), place{d.Addr(), k == servers.KindMariaDB, file, 4}, 71, true)
			if err != nil {
				t.Fatal(err)
			}
			n, err := dump.drop()
			if err := errors.Join(err, dump.close()); err != nil || n < keys*int64(len("user:00000000:profile")) {
				t.Errorf("dropped %d bytes, %v", n, err)
			}
			if k != servers.KindMySQL {
				return
			}
			e := newEars()
			if _, err := obvious(t.Context(), d.Addr(), file, startTestCache(t, e).addr(), keys); err != nil {
				t.Fatal(err)
			}
			if heard := e.heard(); len(heard) != keys {
				t.Errorf("the obvious program deleted %d of %d keys", len(heard), keys)
			}
		})
	}
}
