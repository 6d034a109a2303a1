package mccache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// bystander uses a server all the time and remembers the longest that an answer took. It
// has several connections, so that every event loop has one of them.
type bystander struct {
	stop func() (longest time.Duration, err error)
}

func stand(t *testing.T, m *servers.Memcached, e endpoint) bystander {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var (
		all     sync.WaitGroup
		mu      sync.Mutex
		longest time.Duration // guarded by mu
		failed  error         // guarded by mu
	)
	for i := range 8 {
		// Half of them as the others come, half of them plainly.
		from := e
		if i%2 == 0 {
			from = endpoint{addr: m.Addr()}
		}
		w, err := from.connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			defer w.close()
			key := "bystander:" + strconv.Itoa(i)
			for n := 0; sleep(ctx, 2*time.Millisecond); n++ {
				began, want := time.Now(), strconv.Itoa(n)
				err := w.set(key, want)
				var got string
				found := false
				if err == nil {
					got, found, err = w.get(key)
				}
				// Evicted it may be: memory is what the others are after.
				if err == nil && found && got != want {
					err = fmt.Errorf("set %q and got %q", want, got)
				}
				mu.Lock()
				longest, failed = max(longest, time.Since(began)), errors.Join(failed, err)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	stop := func() (time.Duration, error) {
		cancel()
		all.Wait()
		return longest, failed
	}
	t.Cleanup(func() { _, _ = stop() }) // also of a test that failed before
	return bystander{stop}
}

// unharmed ends the bystander and sees that nobody had to wait, and that the server is no
// larger than it may be.
func (b bystander) unharmed(t *testing.T, m *servers.Memcached, megabytes, connections int) {
	t.Helper()
	size := resident(t, m.Pid())
	longest, err := b.stop()
	if err != nil {
		t.Errorf("a bystander: %v", err)
	}
	// The machine may be busy with much else; a stall would last as long as its cause, and
	// end in an error.
	if longest > harness.Patience/2 {
		t.Errorf("a bystander waited for %v", longest)
	}
	// A buffer of 64 KiB for each that is in the middle of something.
	if most := mostResident(megabytes, 64*connections); size > most {
		t.Errorf("%s resident, want at most %s", mebibytes(size), mebibytes(most))
	}
	t.Logf("%s resident, the longest wait %v", mebibytes(size), longest.Round(time.Millisecond))
}

func TestAClientThatNeverReadsHarmsNobody(t *testing.T) {
	const megabytes, clients = 64, 50
	overEach(t, []string{"-m", strconv.Itoa(megabytes)}, func(t *testing.T, m *servers.Memcached, e endpoint) {
		w, err := e.connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer w.close()
		if err := w.set("large", strings.Repeat("v", 500_000)); err != nil {
			t.Fatal(err)
		}
		b := stand(t, m, e)
		ask := []byte(strings.Repeat("get large\r\n", 1000))
		var all sync.WaitGroup
		for range clients {
			conn, err := e.dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			all.Go(func() {
				// Until the server takes no more, which it must come to: 500 MB are answers
				// to the first thousand.
				for range 100_000 {
					if conn.SetWriteDeadline(time.Now().Add(time.Second)) != nil {
						return
					}
					if _, err := conn.Write(ask); err != nil {
						if !errors.Is(err, os.ErrDeadlineExceeded) {
							t.Logf("the server closed the connection: %v", err)
						}
						return
					}
				}
				t.Error("it goes on taking commands whose answers nobody reads")
			})
		}
		all.Wait()
		b.unharmed(t, m, megabytes, clients)
		// While they hold the value, it can be replaced and deleted.
		if err := w.set("large", "small"); err != nil {
			t.Error(err)
		}
		if v, found, err := w.get("large"); err != nil || v != "small" {
			t.Errorf("after the set: %q, %v, %v", harness.Clip(v), found, err)
		}
	})
}

// Who never reads and asks for everything would pin all that is cached.
func TestUnreadAnswersDoNotHoldTheMemory(t *testing.T) {
	const megabytes = 64
	overEach(t, []string{"-m", strconv.Itoa(megabytes)}, func(t *testing.T, m *servers.Memcached, e endpoint) {
		b := stand(t, m, e)
		filler, err := e.connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer filler.close()
		data := strings.Repeat("v", 200_000)
		var open []net.Conn
		defer func() {
			for _, c := range open {
				c.Close()
			}
		}()
		// Each asks for keys that are then replaced by others: many times -m in all.
		for round := range 30 {
			conn, err := e.dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, conn)
			for i := range 40 {
				key := fmt.Sprintf("r%d:%d", round, i)
				line, err := filler.ask("set %s 0 0 %d\r\n%s\r\n", key, len(data), data)
				if err != nil {
					t.Fatal(err)
				}
				if line != "STORED" && !strings.HasPrefix(line, "SERVER_ERROR out of memory") {
					t.Fatalf("set: %q", harness.Clip(line))
				}
				if conn.SetWriteDeadline(time.Now().Add(time.Second)) != nil {
					break
				}
				_, _ = fmt.Fprintf(conn, "get %s\r\n", key) // taken or not: it is never read
			}
		}
		b.unharmed(t, m, megabytes, len(open))
	})
}

func TestAClientThatSendsAByteAMinuteHarmsNobody(t *testing.T) {
	const megabytes, clients = 64, 200
	overEach(t, []string{"-m", strconv.Itoa(megabytes)}, func(t *testing.T, m *servers.Memcached, e endpoint) {
		b := stand(t, m, e)
		command := "set slow 0 0 5\r\nvalue\r\n"
		var slow []*wire
		for range clients {
			w, err := e.connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer w.close()
			slow = append(slow, w)
		}
		// A minute is a tick here: between two bytes the others get their answers all the same.
		for _, c := range command {
			for _, w := range slow {
				if err := w.send("%c", c); err != nil {
					t.Fatal(err)
				}
			}
			sleep(t.Context(), 20*time.Millisecond)
		}
		for i, w := range slow {
			if line, err := w.line(); err != nil || line != "STORED" {
				t.Fatalf("client %d: %q, %v", i, line, err)
			}
		}
		b.unharmed(t, m, megabytes, clients)
	})
}

func TestAGigabyteLineHarmsNobody(t *testing.T) {
	const megabytes = 64
	overEach(t, []string{"-m", strconv.Itoa(megabytes)}, func(t *testing.T, m *servers.Memcached, e endpoint) {
		b := stand(t, m, e)
		chunk := []byte(strings.Repeat("x", 1<<20))
		for _, begin := range []string{"", "get ", "set ", "mg ", "lease-get ", "gets k "} {
			conn, err := e.dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			sent, err := conn.Write([]byte(begin))
			for err == nil && sent < 1<<30 {
				if err = conn.SetWriteDeadline(time.Now().Add(harness.Patience)); err != nil {
					break
				}
				var n int
				n, err = conn.Write(chunk)
				sent += n
			}
			// Closed after a moment, or swallowed and refused: never kept.
			if size := resident(t, m.Pid()); size > mostResident(megabytes, 1024) {
				t.Errorf("%q and a gigabyte: %s resident", begin, mebibytes(size))
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%q and a gigabyte: after %d bytes it takes no more, and does not say so", begin, sent)
			}
			t.Logf("%q: %s were taken, then %v", begin, mebibytes(int64(sent)), err)
			conn.Close()
		}
		b.unharmed(t, m, megabytes, 1)
	})
}

// What is not wholly there counts against -m, or is refused.
func TestSetsThatStopInTheMiddleHarmNobody(t *testing.T) {
	const megabytes, clients = 64, 300
	overEach(t, []string{"-m", strconv.Itoa(megabytes)}, func(t *testing.T, m *servers.Memcached, e endpoint) {
		b := stand(t, m, e)
		half := strings.Repeat("v", 500_000)
		refused := 0
		var open []*wire
		for i := range clients {
			w, err := e.connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer w.close()
			open = append(open, w)
			if err := w.send("set half:%d 0 0 1000000\r\n%s", i, half); err != nil {
				refused++ // the connection was closed
			}
		}
		b.unharmed(t, m, megabytes, clients)
		for _, w := range open {
			w.close()
		}
		// With them gone, all of the memory serves again.
		harness.Await(t, "large values are stored again", func() bool {
			w, err := e.connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer w.close()
			for i := range 40 {
				if w.set(fmt.Sprintf("whole:%d", i), half+half) != nil {
					return false
				}
			}
			n := 0
			for i := range 40 {
				if v, found, err := w.get(fmt.Sprintf("whole:%d", i)); err == nil && found && len(v) == 1_000_000 {
					n++
				}
			}
			return n > 20
		})
		t.Logf("%d of %d were refused", refused, clients)
	})
}
