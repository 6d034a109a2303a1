package mcconn_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/peer"
	"github.com/mcsqueal/mcsqueal/mcconn"
	"github.com/mcsqueal/mcsqueal/mcproto"
)

// Whatever could put an answer beside the wrong command ends the connection, with
// an error that says where, what was expected and what came; and what was in
// flight is handed back.
func TestWhatIsNoAnswerEndsTheConnection(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer string // to a batch of three
		hangUp bool
		is     error
		says   string
	}{
		{"unknown command", "HD\r\nERROR\r\n", false, mcconn.ErrUnexpected, `answer 2 of 3: expected deleted or not found, got "ERROR"; the peer does not know the command`},
		{"another protocol", "HTTP/1.1 400 Bad Request\r\n", false, mcconn.ErrUnexpected, `answer 1 of 3: expected deleted or not found, got "HTTP/1.1 400 Bad Request"`},
		{"answer to something else", "NF\r\nNF\r\nVERSION 1\r\n", false, mcconn.ErrUnexpected, `answer 3 of 3: expected deleted or not found, got "VERSION 1"`},
		{"bare newline", "HD\n", false, mcconn.ErrUnexpected, `got "HD"`},
		{"endless line", strings.Repeat("x", mcproto.MaxLine), false, mcproto.ErrLine, "answer 1 of 3: an answer's line of more than 2048 bytes"},
		{"cut between lines", "NF\r\nHD\r\n", true, io.EOF, "the peer hung up (awaiting answer 3 of 3)"},
		{"cut in a line", "NF\r\nHD\r\nNF\r", true, io.EOF, "the peer hung up (awaiting answer 3 of 3)"},
		{"cut before any", "", true, io.EOF, "the peer hung up (awaiting answer 1 of 3)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := dial(t, mcconn.Config{Address: peer.Listen(t, greetedMeta(func(conn net.Conn, commands *bufio.Scanner) {
				for range 3 {
					commands.Scan()
				}
				fmt.Fprint(conn, test.answer)
				if !test.hangUp {
					commands.Scan() // until the connection ends
				}
			}))})
			b := deletes(3)
			send(t, c, b)
			got, err := c.Receive()
			if got != nil || !errors.Is(err, test.is) || !strings.HasPrefix(err.Error(), c.Address()+": ") || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, %v", got, err)
			}
			if _, again := c.Receive(); !errors.Is(again, err) {
				t.Errorf("then %v", again)
			}
			if err := c.Send(t.Context(), deletes(1)); !errors.Is(err, test.is) {
				t.Errorf("send: %v", err)
			}
			if left := c.Unanswered(); len(left) != 1 || left[0] != b {
				t.Errorf("unanswered: %v", left)
			}
		})
	}
}

func TestAnAnswerTooManyEndsTheConnection(t *testing.T) {
	c := dial(t, mcconn.Config{Address: peer.Listen(t, greetedMeta(says("NF\r\nNF\r\n")))})
	send(t, c, deletes(1))
	receive(t, c)
	if _, err := c.Receive(); !errors.Is(err, mcconn.ErrUnexpected) || !strings.Contains(err.Error(), `no command awaits an answer: expected nothing, got "NF"`) {
		t.Errorf("got %v", err)
	}
}

func TestAPeerThatSpeaksOrHangsUpUnaskedIsNoticedWhileIdle(t *testing.T) {
	speaking := dial(t, mcconn.Config{Address: peer.Listen(t, greetedMeta(func(conn net.Conn, commands *bufio.Scanner) {
		fmt.Fprint(conn, "NF") // no whole line is needed
		commands.Scan()
	}))})
	if _, err := speaking.Receive(); !errors.Is(err, mcconn.ErrUnexpected) || !strings.Contains(err.Error(), `expected nothing, got "NF"`) {
		t.Errorf("speaking: %v", err)
	}
	leaving := dial(t, mcconn.Config{Address: peer.Listen(t, greetedMeta(func(net.Conn, *bufio.Scanner) {}))})
	if _, err := leaving.Receive(); !errors.Is(err, io.EOF) || strings.Contains(err.Error(), "awaiting") {
		t.Errorf("leaving: %v", err)
	}
}

// piped runs a test in a bubble of its own time, on a connection through a pipe to
// a peer that serve plays after the greeting. A pipe has no buffer: what one side
// writes blocks until the other has read it.
func piped(t *testing.T, timeout time.Duration, serve func(net.Conn, *bufio.Scanner), test func(t *testing.T, c *mcconn.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		var wg sync.WaitGroup
		defer wg.Wait()
		defer theirs.Close()
		wg.Go(func() { greetedMeta(serve)(theirs) })
		c, err := mcconn.Dial(t.Context(), mcconn.Config{
			Address: "pipe", Timeout: timeout,
			Dial: func(context.Context, string, string) (net.Conn, error) { return ours, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		test(t, c)
	})
}

func TestSilenceEndsTheConnectionATimeoutAfterTheLastAnswer(t *testing.T) {
	const timeout = 5 * time.Second
	for _, test := range []struct {
		name  string
		idle  time.Duration // before the batch
		every time.Duration // between answers
		n     int           // answers given, of 4
	}{
		{"never answers", 0, 0, 0},
		{"never answers, after rest", 7*time.Second + 3, 0, 0},
		{"never answers, after a day", 24 * time.Hour, 0, 0},
		{"falls silent", time.Second, 0, 2},
		{"slow, then silent", time.Minute, timeout - 1, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			piped(t, timeout, func(conn net.Conn, commands *bufio.Scanner) {
				for range 4 {
					commands.Scan()
				}
				for range test.n {
					time.Sleep(test.every)
					fmt.Fprint(conn, "NF\r\n")
				}
				commands.Scan()
			}, func(t *testing.T, c *mcconn.Conn) {
				failed := make(chan error)
				go func() {
					_, err := c.Receive()
					failed <- err
				}()
				time.Sleep(test.idle)
				sent := time.Now()
				send(t, c, deletes(4))
				err := <-failed
				want := time.Duration(test.n)*test.every + timeout
				if took := time.Since(sent); took != want {
					t.Errorf("failed after %v, want %v", took, want)
				}
				want2 := fmt.Sprintf("pipe: no answer for 5s (awaiting answer %d of 4)", test.n+1)
				if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.HasPrefix(err.Error(), want2) {
					t.Errorf("got %v, want %s", err, want2)
				}
			})
		})
	}
}

// Bytes are not progress, answers are: a peer must not hold a batch for ever with
// a line that grows by a byte now and then.
func TestADribbledLineIsSilence(t *testing.T) {
	piped(t, time.Second, func(conn net.Conn, commands *bufio.Scanner) {
		commands.Scan()
		for {
			time.Sleep(300 * time.Millisecond)
			if _, err := fmt.Fprint(conn, "x"); err != nil {
				return
			}
		}
	}, func(t *testing.T, c *mcconn.Conn) {
		start := time.Now()
		send(t, c, deletes(1))
		if _, err := c.Receive(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestSlowAnswersKeepTheConnection(t *testing.T) {
	piped(t, time.Second, func(conn net.Conn, commands *bufio.Scanner) {
		for commands.Scan() {
			for _, c := range "NOT_FOUND\r\n" {
				time.Sleep(80 * time.Millisecond)
				fmt.Fprintf(conn, "%c", c)
			}
		}
	}, func(t *testing.T, c *mcconn.Conn) {
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			for range 30 {
				if err := c.Send(t.Context(), deletes(5)); err != nil {
					t.Error(err)
					return
				}
			}
		})
		for range 30 {
			if b := receive(t, c); b.NotFound != b.N {
				t.Fatal(results(b))
			}
		}
		if idle := receiveFor(c, time.Hour); idle != nil {
			t.Errorf("while idle: %v", idle)
		}
	})
}

// receiveFor is Receive's error within that time, if it has one.
func receiveFor(c *mcconn.Conn, d time.Duration) error {
	failed := make(chan error, 1)
	go func() {
		_, err := c.Receive()
		failed <- err
	}()
	select {
	case err := <-failed:
		return err
	case <-time.After(d):
		c.Close()
		<-failed
		return nil
	}
}

func TestABlockedWriteEndsAfterTheTimeout(t *testing.T) {
	piped(t, 5*time.Second, func(net.Conn, *bufio.Scanner) { time.Sleep(time.Minute) }, func(t *testing.T, c *mcconn.Conn) {
		b := deletes(10)
		start := time.Now()
		send(t, c, b) // the batch is the connection's, whatever becomes of the write
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("blocked for %v", took)
		}
		_, err := c.Receive()
		if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.HasPrefix(err.Error(), "pipe: write 10 commands (80 bytes): ") {
			t.Errorf("receive: %v", err)
		}
		if err := c.Send(t.Context(), deletes(1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("send: %v", err)
		}
		if left := c.Unanswered(); len(left) != 1 || left[0] != b {
			t.Errorf("unanswered: %v", left)
		}
	})
}

// A batch may take longer than the Timeout to write, as over a thin line, as long
// as it gets on.
func TestASlowWriteIsNotABlockedOne(t *testing.T) {
	piped(t, 5*time.Second, func(conn net.Conn, _ *bufio.Scanner) {
		for p := make([]byte, 8); ; {
			time.Sleep(4 * time.Second)
			if _, err := io.ReadFull(conn, p); err != nil {
				return
			}
			fmt.Fprint(conn, "NF\r\n")
		}
	}, func(t *testing.T, c *mcconn.Conn) {
		start := time.Now()
		go func() {
			if err := c.Send(t.Context(), deletes(10)); err != nil {
				t.Error(err)
			}
		}()
		if b := receive(t, c); b.NotFound != 10 || time.Since(start) != 40*time.Second {
			t.Errorf("%s after %v", results(b), time.Since(start))
		}
	})
}

// A peer that answers commands before it has read them must not make a batch come
// back while its bytes are still being written: the owner would fill in the next
// keys, and halves of two commands would meet on the wire.
func TestABatchIsNotHandedBackWhileItIsWritten(t *testing.T) {
	piped(t, 5*time.Second, func(conn net.Conn, _ *bufio.Scanner) {
		conn.Read(make([]byte, 1))
		fmt.Fprint(conn, "NF\r\nNF\r\n")
		time.Sleep(2 * time.Second)
		conn.Read(make([]byte, 100))
	}, func(t *testing.T, c *mcconn.Conn) {
		written := make(chan struct{})
		go func() {
			defer close(written)
			if err := c.Send(t.Context(), deletes(2)); err != nil {
				t.Error(err)
			}
		}()
		start := time.Now()
		receive(t, c)
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("handed back after %v; it was written for 2s", took)
		}
		<-written
	})
}
