package mcconn_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/mcsqueal/mcsqueal/integration/peer"
	"github.com/mcsqueal/mcsqueal/mcconn"
	"github.com/mcsqueal/mcsqueal/mcproto"
)

func TestEachAnswerIsItsCommands(t *testing.T) {
	c := dial(t, mcconn.Config{Address: peer.Listen(t, greetedMeta(says(
		"HD\r\n", "NF\r\n", "SERVER_ERROR backend failure\r\n", "DELETED\r\n", // as router and servers may disagree
		"CLIENT_ERROR bad command line format\r\n", "NOT_FOUND\r\n",
		"NF\r\n", "SERVER_ERROR out of memory\r\n",
	)))})
	if c.Protocol() != mcconn.Meta || c.Version() != "1.6.fake" {
		t.Errorf("dialed %v, version %q", c.Protocol(), c.Version())
	}
	first, second := deletes(6), deletes(2)
	first.Owner, second.Owner = "first", "second"
	send(t, c, first)
	send(t, c, second)
	results := cmpopts.IgnoreFields(mcconn.Batch{}, "Wire", "Sent")
	if diff := cmp.Diff(&mcconn.Batch{N: 6, Owner: "first", Deleted: 2, NotFound: 2, Refused: []mcconn.Refusal{
		{Index: 2, Kind: mcproto.ServerError, Message: "backend failure"},
		{Index: 4, Kind: mcproto.ClientError, Message: "bad command line format"},
	}}, receive(t, c), results); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(&mcconn.Batch{N: 2, Owner: "second", NotFound: 1, Refused: []mcconn.Refusal{
		{Index: 1, Kind: mcproto.ServerError, Message: "out of memory"},
	}}, receive(t, c), results); diff != "" {
		t.Error(diff)
	}
}

func TestASentBatchForgetsItsLastResults(t *testing.T) {
	c := dial(t, mcconn.Config{Address: peer.Listen(t, greetedMeta(says("SERVER_ERROR no\r\n", "HD\r\n", "NF\r\n", "NF\r\n")))})
	b := deletes(2)
	send(t, c, b)
	if receive(t, c) != b || len(b.Refused) != 1 || b.Deleted != 1 {
		t.Fatalf("first: %s", results(b))
	}
	send(t, c, b)
	if receive(t, c) != b || len(b.Refused) != 0 || b.Deleted != 0 || b.NotFound != 2 {
		t.Errorf("again: %s", results(b))
	}
}

func TestALongReasonIsCut(t *testing.T) {
	c := dial(t, mcconn.Config{Address: peer.Listen(t, greetedMeta(says("SERVER_ERROR "+strings.Repeat("x", 2000)+"\r\n")))})
	send(t, c, deletes(1))
	if b := receive(t, c); len(b.Refused) != 1 || b.Refused[0].Message != strings.Repeat("x", 256) {
		t.Errorf("%+v", b.Refused)
	}
}

// However the stream of answers comes in pieces, the results are the same.
func TestAnySplitOfTheAnswersGivesTheSameResults(t *testing.T) {
	lines := []string{"HD\r\n", "NF\r\n", "DELETED\r\n", "NOT_FOUND\r\n", "SERVER_ERROR backend failure\r\n", "CLIENT_ERROR\r\n"}
	rapid.Check(t, func(t *rapid.T) {
		var (
			batches, want []*mcconn.Batch
			stream        []byte
		)
		for n := range slices.Values(rapid.SliceOfN(rapid.IntRange(1, 30), 1, 8).Draw(t, "sizes")) {
			sum := &mcconn.Batch{N: n}
			for i := range n {
				line := rapid.SampledFrom(lines).Draw(t, "answer")
				stream = append(stream, line...)
				switch line[0] {
				case 'H', 'D':
					sum.Deleted++
				case 'N':
					sum.NotFound++
				case 'S':
					sum.Refused = append(sum.Refused, mcconn.Refusal{Index: i, Kind: mcproto.ServerError, Message: "backend failure"})
				case 'C':
					sum.Refused = append(sum.Refused, mcconn.Refusal{Index: i, Kind: mcproto.ClientError})
				}
			}
			want = append(want, sum)
			batches = append(batches, deletes(n))
		}
		cuts := rapid.SliceOf(rapid.IntRange(0, len(stream))).Draw(t, "cuts")
		slices.Sort(cuts)

		// Behind a pipe, each write of the peer is a read of the connection.
		ours, theirs := net.Pipe()
		var wg sync.WaitGroup
		defer wg.Wait()
		defer theirs.Close()
		wg.Go(greetedPieces(theirs, batches, stream, append(cuts, len(stream))))
		c, err := mcconn.Dial(context.Background(), mcconn.Config{
			Address: "pipe", Window: len(batches), Timeout: time.Minute,
			Dial: func(context.Context, string, string) (net.Conn, error) { return ours, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, b := range batches {
			if err := c.Send(context.Background(), b); err != nil {
				t.Fatal(err)
			}
		}
		for i, w := range want {
			got, err := c.Receive()
			if err != nil {
				t.Fatal(err)
			}
			if got != batches[i] {
				t.Fatalf("batch %d out of order", i)
			}
			if diff := cmp.Diff(w, got, cmpopts.IgnoreFields(mcconn.Batch{}, "Wire", "Sent"), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("batch %d: %s", i, diff)
			}
		}
	})
}

// greetedPieces reads all of the batches, then sends the stream in pieces that end
// at the cuts.
func greetedPieces(conn net.Conn, batches []*mcconn.Batch, stream []byte, cuts []int) func() {
	return func() {
		greetedMeta(func(conn net.Conn, commands *bufio.Scanner) {
			for _, b := range batches {
				for range b.N {
					commands.Scan()
				}
			}
			at := 0
			for _, cut := range cuts {
				if cut > at {
					conn.Write(stream[at:cut])
					at = cut
				}
			}
		})(conn)
	}
}

func TestSendWaitsForRoomInTheWindow(t *testing.T) {
	allow := make(chan struct{})
	c := dial(t, mcconn.Config{Window: 2, Address: peer.Listen(t, greetedMeta(func(conn net.Conn, commands *bufio.Scanner) {
		for range allow {
			commands.Scan()
			fmt.Fprint(conn, "NF\r\n")
		}
	}))})
	defer close(allow)
	send(t, c, deletes(1))
	send(t, c, deletes(1))

	// A context that ends while the window is full leaves the connection as it was.
	gaveUp := errors.New("gave up")
	ctx, cancel := context.WithCancelCause(t.Context())
	third := make(chan error)
	go func() { third <- c.Send(ctx, deletes(1)) }()
	cancel(gaveUp)
	if err := <-third; !errors.Is(err, gaveUp) {
		t.Fatalf("send into a full window: %v", err)
	}
	if err := c.Send(ctx, deletes(1)); !errors.Is(err, gaveUp) {
		t.Fatalf("send with a context that is done: %v", err)
	}

	go func() { third <- c.Send(t.Context(), deletes(1)) }()
	select {
	case err := <-third:
		t.Fatalf("a third batch went out of a window of two: %v", err)
	case allow <- struct{}{}:
	}
	receive(t, c)
	if err := <-third; err != nil {
		t.Fatal(err)
	}
	for range 2 {
		allow <- struct{}{}
		receive(t, c)
	}
}

func TestCloseWakesEverybodyAndIsFinal(t *testing.T) {
	c := dial(t, mcconn.Config{Window: 1, Address: peer.Listen(t, greetedMeta(says()))})
	b := deletes(1)
	send(t, c, b)
	ended := make(chan error, 2)
	go func() { ended <- c.Send(t.Context(), deletes(1)) }()
	go func() {
		_, err := c.Receive()
		ended <- err
	}()
	c.Close()
	c.Close()
	for range 2 {
		if err := <-ended; !errors.Is(err, net.ErrClosed) || !strings.HasPrefix(err.Error(), c.Address()+": ") {
			t.Errorf("after Close: %v", err)
		}
	}
	if _, err := c.Receive(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("receive later: %v", err)
	}
	if err := c.Send(t.Context(), deletes(1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("send later: %v", err)
	}
	if left := c.Unanswered(); len(left) != 1 || left[0] != b {
		t.Errorf("unanswered: %v", left)
	}
}

func TestSendRefusesABatchThatIsNone(t *testing.T) {
	c := dial(t, mcconn.Config{Address: peer.Listen(t, greetedMeta(says("NF\r\n")))})
	for _, b := range []*mcconn.Batch{{}, {N: 1}, {Wire: []byte("md k\r\n")}, {Wire: []byte("md k\r\n"), N: -1}} {
		if err := c.Send(t.Context(), b); err == nil {
			t.Errorf("sent %d commands in %d bytes", b.N, len(b.Wire))
		}
	}
	send(t, c, deletes(1)) // none of which hurt
	receive(t, c)
}

// Batches that did not come back are exactly those in Unanswered, whenever the
// connection ends: none is lost and none is in two hands.
func TestEveryBatchComesBackOnce(t *testing.T) {
	for range 50 {
		answers := rand.N(2000)
		address := peer.Listen(t, greetedMeta(func(conn net.Conn, commands *bufio.Scanner) {
			for range answers {
				commands.Scan()
				io.WriteString(conn, "NF\r\n")
			}
		}))
		c := dial(t, mcconn.Config{Address: address})
		var kept, sent []*mcconn.Batch
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				b := deletes(1 + rand.N(100))
				if err := c.Send(t.Context(), b); err != nil {
					kept = append(kept, b)
					return
				}
				sent = append(sent, b)
			}
		})
		var back []*mcconn.Batch
		for {
			b, err := c.Receive()
			if err != nil {
				if b != nil || !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
					t.Errorf("%v, %v", b, err)
				}
				break
			}
			if b.NotFound != b.N {
				t.Errorf("back with %d of %d answers", b.NotFound, b.N)
			}
			clear(b.Wire) // the owner's again: the race detector watches
			back = append(back, b)
		}
		wg.Wait()
		back = append(back, c.Unanswered()...)
		if len(kept) != 1 || !slices.Equal(sent, back) {
			t.Fatalf("%d sent, %d back, in another order or number", len(sent), len(back))
		}
	}
}

func TestSendingAndReceivingDoNotAllocate(t *testing.T) {
	c := dial(t, mcconn.Config{Address: peer.Listen(t, greetedMeta(notFound))})
	b := deletes(100)
	round := func() {
		if err := c.Send(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Receive(); err != nil || got.NotFound != got.N {
			t.Fatal(got, err)
		}
	}
	round()
	if allocs := testing.AllocsPerRun(200, round); allocs != 0 {
		t.Errorf("%v allocations a batch", allocs)
	}
	refusing := dial(t, mcconn.Config{Address: peer.Listen(t, greetedMeta(always("SERVER_ERROR backend failure\r\n")))})
	if allocs := testing.AllocsPerRun(200, func() {
		if err := refusing.Send(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if got, err := refusing.Receive(); err != nil || len(got.Refused) != got.N {
			t.Fatal(got, err)
		}
	}); allocs > 1 {
		t.Errorf("%v allocations a batch that is refused for one reason", allocs)
	}
}

// notFound answers NF to every command.
var notFound = always("NF\r\n")

// always gives the same answer to every command, without allocating.
func always(answer string) func(net.Conn, *bufio.Scanner) {
	return func(conn net.Conn, _ *bufio.Scanner) {
		commands := make([]byte, 64<<10)
		answers := []byte(strings.Repeat(answer, len(commands)/4))
		for {
			n, err := conn.Read(commands)
			if err != nil {
				return
			}
			lines := bytes.Count(commands[:n], []byte{'\n'})
			if _, err := conn.Write(answers[:lines*len(answer)]); err != nil {
				return
			}
		}
	}
}
