package server

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// responds fails unless the server answers others meanwhile.
func (r *running) responds(t *testing.T) {
	t.Helper()
	for range 2 * r.options.Threads { // every loop has one of them
		c := r.dial(t)
		c.say("mn\r\n")
		c.hears("MN\r\n")
		_ = c.Close()
	}
}

func TestClientsThatDoNotReadGiveTheMemoryBackWhenItIsScarce(t *testing.T) {
	// What may be pinned is an eighth of 16 MiB.
	overEach(t, Options{Memory: 16 << 20, slowSeconds: 2}, func(t *testing.T, r *running) {
		for r.conns.pinned.Load() <= 16<<20/8 && r.conns.slowCuts.Load() == 0 {
			blockedClient(t, r)
		}
		eventually(t, "pinned memory is back within its bound", func() bool { return r.conns.pinned.Load() <= 16<<20/8 })
		if r.conns.slowCuts.Load() == 0 {
			t.Error("nobody was counted as closed for it")
		}
		if n := r.conns.current.Load(); n == 0 {
			t.Error("more than necessary were closed")
		}
		r.responds(t)
	})
}

func TestClientsThatDoNotReadAreLeftAloneWhileThereIsMemory(t *testing.T) {
	overEach(t, Options{Memory: 64 << 20, slowSeconds: 1}, func(t *testing.T, r *running) {
		blockedClient(t, r)
		time.Sleep(3 * time.Second) // several windows
		if n := r.conns.slowCuts.Load(); n != 0 {
			t.Errorf("%d were closed", n)
		}
	})
}

func TestValuesThatNeverComeWholeGiveTheMemoryBack(t *testing.T) {
	overEach(t, Options{Memory: 16 << 20, slowSeconds: 2}, func(t *testing.T, r *running) {
		for i := range 4 {
			c := r.dial(t)
			c.say(fmt.Sprintf("set k%d 0 0 900000\r\nonly this", i))
		}
		eventually(t, "what is half received is counted", func() bool {
			return r.conns.partial.Load() > 16<<20/16 || r.conns.slowCuts.Load() > 0 // or was, before anybody looked
		})
		eventually(t, "it is back within its bound", func() bool { return r.conns.partial.Load() <= 16<<20/16 })
		if r.conns.slowCuts.Load() == 0 {
			t.Error("nobody was counted as closed for it")
		}
		r.responds(t)
	})
}

func TestUnfinishedCommandsAreBoundedTogether(t *testing.T) {
	const bound = 1 << 20
	overEach(t, Options{heldBound: bound}, func(t *testing.T, r *running) {
		holds(t, r, bound, "get "+strings.Repeat("k ", 60_000))
	})
}

func TestAnswersThatNobodyReadsAreBoundedTogether(t *testing.T) {
	const bound = 1 << 20
	overEach(t, Options{heldBound: bound}, func(t *testing.T, r *running) {
		c := r.dial(t)
		c.say(fmt.Sprintf("set k 0 0 5000\r\n%s\r\n", value(5000, 1)))
		c.hears("STORED\r\n")
		// More than sockets take, though they grow.
		holds(t, r, bound, strings.Repeat("get k\r\n", 3000))
	})
}

// holds has many clients say something for which the server has to hold much.
func holds(t *testing.T, r *running, bound int64, text string) {
	t.Helper()
	for range 40 {
		c := r.dial(t)
		// As far as it is taken: it may be closed meanwhile.
		if err := c.SetWriteDeadline(time.Now().Add(2 * time.Second)); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, text)
		eventually(t, "no more is held", func() bool { return r.conns.held.Load() <= 3*bound })
	}
	eventually(t, "the oldest are closed", func() bool { return r.conns.slowCuts.Load() > 5 })
	eventually(t, "no more is held", func() bool { return r.conns.held.Load() <= 3*bound })
	if held := r.conns.held.Load(); held < bound/2 {
		t.Errorf("more than necessary were closed: %d bytes are held", held)
	}
	r.responds(t)
}

func TestNobodyWaitsForAClientThatSendsWithoutEnd(t *testing.T) {
	r := startServer(t, Options{Threads: 1})
	hog := r.dial(t)
	commands := strings.Repeat("mn\r\n", 20_000)
	ended := make(chan struct{}, 2)
	go func() {
		defer func() { ended <- struct{}{} }()
		for {
			if _, err := io.WriteString(hog, commands); err != nil {
				return
			}
		}
	}()
	go func() {
		defer func() { ended <- struct{}{} }()
		_, _ = io.Copy(io.Discard, hog.Conn)
	}()
	c := r.dial(t)
	for range 100 { // the connection's deadline bounds them
		c.say("mn\r\n")
		c.hears("MN\r\n")
	}
	_ = hog.Close()
	<-ended
	<-ended
}

func TestALineWithoutEndIsRefused(t *testing.T) {
	r := startServer(t, Options{})
	for _, begins := range []string{"get ", "set ", ""} {
		c := r.dial(t)
		go func() {
			piece := strings.Repeat("x", 64<<10)
			_, err := io.WriteString(c, begins)
			for sent := 0; err == nil && sent < 1<<30; sent += len(piece) {
				_, err = io.WriteString(c, piece)
			}
		}()
		_, _ = io.Copy(io.Discard, c.Conn) // until it is closed
	}
	eventually(t, "all have been closed", func() bool { return r.conns.current.Load() == 0 })
	if held := r.conns.held.Load(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}
