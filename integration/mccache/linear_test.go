package mccache

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"golang.org/x/sync/errgroup"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

var histories = flag.Int("histories", 150, "how many random histories of each kind are checked")

// player gives random commands for one key at a time, on one connection.
type player struct {
	w        *wire
	leaser   leaser
	classic  bool // get, set and add too
	random   *rand.Rand
	tokens   []uint64 // this key's, newest last: a fill may carry an old one
	careless bool     // fills with a plain set, and believes that it was by token
}

// play gives one command and returns what it was and what was answered.
func (p *player) play(key, fresh string) (keyInput, keyOutput, error) {
	dice := p.random.IntN(100)
	switch {
	case dice < 40:
		r, err := p.leaser.read(key)
		if r.token != 0 {
			p.tokens = append(p.tokens, r.token)
		}
		return keyInput{cmd: cmdRead}, keyOutput{reading: r}, err
	case dice < 70 && len(p.tokens) > 0:
		// Mostly the newest, sometimes an older one.
		token := p.tokens[len(p.tokens)-1-p.random.IntN(min(2, len(p.tokens)))]
		in := keyInput{cmd: cmdFill, token: token, value: fresh}
		if p.careless {
			return in, keyOutput{stored: true}, p.w.set(key, fresh)
		}
		stored, err := p.leaser.fill(key, token, fresh)
		return in, keyOutput{stored: stored}, err
	case dice < 85 || !p.classic:
		return keyInput{cmd: cmdDelete}, keyOutput{}, p.leaser.delete(key)
	case dice < 88:
		return keyInput{cmd: cmdSet, value: fresh}, keyOutput{}, p.w.set(key, fresh)
	case dice < 90:
		line, err := p.w.ask("append %s 0 0 %d\r\n%s\r\n", key, len(fresh), fresh)
		stored, err := took("append", line, "STORED", "NOT_STORED", err)
		return keyInput{cmd: cmdAppend, value: fresh}, keyOutput{stored: stored}, err
	case dice < 91:
		line, err := p.w.ask("flush_all\r\n")
		_, err = took("flush_all", line, "OK", "OK", err)
		return keyInput{cmd: cmdFlush}, keyOutput{}, err
	case dice < 95:
		line, err := p.w.ask("add %s 0 0 %d\r\n%s\r\n", key, len(fresh), fresh)
		stored, err := took("add", line, "STORED", "NOT_STORED", err)
		return keyInput{cmd: cmdAdd, value: fresh}, keyOutput{stored: stored}, err
	}
	v, found, err := p.w.get(key)
	return keyInput{cmd: cmdGet}, keyOutput{reading: reading{value: v, hit: found}}, err
}

// contest lets players act on the same key at the same time and returns the history.
func contest(ctx context.Context, players []*player, key string, commands int, pause time.Duration) ([]porcupine.Operation, error) {
	var (
		mu      sync.Mutex
		history []porcupine.Operation // guarded by mu
	)
	epoch := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for id, p := range players {
		p.tokens = p.tokens[:0]
		group.Go(func() error {
			for i := range commands {
				if pause > 0 && !sleep(ctx, rand.N(pause)) {
					return context.Cause(ctx)
				}
				call := time.Since(epoch)
				in, out, err := p.play(key, fmt.Sprintf("%d.%d", id, i))
				back := time.Since(epoch)
				if err != nil {
					return fmt.Errorf("%+v: %w", in, err)
				}
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: id, Input: in, Output: out, Call: int64(call), Return: int64(back)})
				mu.Unlock()
			}
			return nil
		})
	}
	return history, group.Wait()
}

// contests says how histories are made.
type contests struct {
	dialects          []dialect
	classic, careless bool
	pause             time.Duration // before each command, at most
	model             porcupine.Model
	histories         int
}

// outcome is what came of them.
type outcome struct {
	fills, refused int
	forgot         int                   // histories in which something was forgotten
	wrong          []porcupine.Operation // the first history that cannot be
}

// play plays many histories, each on a key of its own.
func (c contests) play(ctx context.Context, m *servers.Memcached) (o outcome, err error) {
	const perKey, commands = 6, 14
	seed := rand.Uint64()
	var players []*player
	for i := range perKey {
		w, err := connect(ctx, m.Addr())
		if err != nil {
			return o, err
		}
		defer func() { err = errors.Join(err, w.close()) }()
		players = append(players, &player{w: w, leaser: c.dialects[i%len(c.dialects)].open(w), classic: c.classic, careless: c.careless,
			random: rand.New(rand.NewPCG(seed, uint64(i)))})
	}
	for n := range c.histories {
		history, err := contest(ctx, players, fmt.Sprintf("key:%d:%d", seed, n), commands, c.pause)
		if err != nil {
			return o, fmt.Errorf("seed %d, history %d: %w", seed, n, err)
		}
		for _, op := range history {
			in, okI := op.Input.(keyInput)
			out, okO := op.Output.(keyOutput)
			if okI && okO && in.cmd == cmdFill && out.stored {
				o.fills++
			} else if in.cmd == cmdFill {
				o.refused++
			}
		}
		if porcupine.CheckOperationsTimeout(leaseModel, history, 10*time.Second) == porcupine.Illegal {
			o.forgot++
		}
		switch porcupine.CheckOperationsTimeout(c.model, history, harness.Patience) {
		case porcupine.Illegal:
			o.wrong = history
			return o, nil
		case porcupine.Unknown:
			return o, fmt.Errorf("seed %d, history %d: not checked within %v", seed, n, harness.Patience)
		case porcupine.Ok:
		}
	}
	return o, nil
}

// right plays them and sees that all of them can be.
func (c contests) right(t *testing.T, what string, m *servers.Memcached) {
	t.Helper()
	o, err := c.play(t.Context(), m)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if o.wrong != nil {
		t.Errorf("%s: no order of these commands explains their answers:\n%s", what, tell(o.wrong))
		return
	}
	if o.fills == 0 || o.refused == 0 {
		t.Errorf("%s: %d fills were taken and %d refused: there was nothing to check", what, o.fills, o.refused)
	}
}

// tell writes a history for people.
func tell(history []porcupine.Operation) string {
	var b strings.Builder
	for _, o := range history {
		fmt.Fprintf(&b, "%9d–%9d client %d: %s\n", o.Call, o.Return, o.ClientId, leaseModel.DescribeOperation(o.Input, o.Output))
	}
	return b.String()
}

// What this test is for: no fill that began before a delete is ever read after it, unless
// it is marked, whoever does what at the same time.
func TestHistoriesOfOneKeyAreLinear(t *testing.T) {
	t.Parallel()
	m := start(t)
	for _, test := range []struct {
		name     string
		dialects []dialect
	}{
		{"text", []dialect{textDialect}},
		{"meta", []dialect{metaDialect}},
		{"meta, stale", []dialect{staleDialect}},
		{"all at once", []dialect{textDialect, metaDialect, staleDialect}},
	} {
		for _, classic := range []bool{false, true} {
			c := contests{dialects: test.dialects, classic: classic, model: leaseModel, histories: *histories}
			c.right(t, fmt.Sprintf("%s, classic commands: %v", test.name, classic), m)
		}
	}
}

// The same while memory runs out: what is cached, who holds the token and what was there
// before may be forgotten, and still no fill of before a delete is taken.
func TestHistoriesAreRightWhereMemoryIsShort(t *testing.T) {
	t.Parallel()
	m := start(t, "-m", "8", "-I", "64k")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var crowd errgroup.Group
	for i := range 2 {
		w, err := connect(t.Context(), m.Addr())
		if err != nil {
			t.Fatal(err)
		}
		crowd.Go(func() error {
			defer w.close()
			return press(ctx, w, i)
		})
	}
	// So slowly that much is forgotten within one history, and many of them at once.
	c := contests{dialects: []dialect{textDialect, metaDialect, staleDialect}, pause: 120 * time.Millisecond, model: lossyModel,
		histories: max(1, *histories/50)}
	var (
		mu    sync.Mutex
		total outcome // guarded by mu
	)
	// On a busy machine the crowd may be slow: again, until something was forgotten.
	var err error
	for attempt := 0; attempt < 50 && err == nil && total.forgot == 0 && total.wrong == nil; attempt++ {
		err = many(10, func() error {
			o, err := c.play(ctx, m)
			mu.Lock()
			defer mu.Unlock()
			total.fills += o.fills
			total.refused += o.refused
			total.forgot += o.forgot
			if o.wrong != nil {
				total.wrong = o.wrong
			}
			return err
		})
	}
	cancel()
	if err := errors.Join(err, crowd.Wait()); err != nil {
		t.Fatal(err)
	}
	if total.wrong != nil {
		t.Errorf("no order of these commands explains their answers:\n%s", tell(total.wrong))
	}
	t.Logf("in %d histories something was forgotten; %d fills were taken, %d refused", total.forgot, total.fills, total.refused)
	if total.forgot == 0 || total.fills == 0 {
		t.Error("memory was not short")
	}
}

// many calls a function so many times at once.
func many(n int, call func() error) error {
	var all errgroup.Group
	for range n {
		all.Go(call)
	}
	return all.Wait()
}

// press fills the memory with values as small as the histories', with values that are
// deleted, and with stubs, until ctx ends: each kind makes room for its own first.
func press(ctx context.Context, w *wire, id int) error {
	// Most are stubs, whose memory is the smallest: on a busy machine, too, it is used up
	// within a history.
	const batch, stubs = 50, 20
	for n := 0; ctx.Err() == nil; n++ {
		var commands strings.Builder
		for k := range batch {
			key := fmt.Sprintf("crowd:%020d:%d:%d", n, id, k)
			fmt.Fprintf(&commands, "set %s 0 0 3\r\nabc\r\nset old:%s 0 0 3\r\nabc\r\ndelete old:%s\r\n", key, key, key)
			for stub := range stubs {
				fmt.Fprintf(&commands, "mg stub%d:%s N10\r\n", stub, key)
			}
		}
		if err := w.send("%s", commands.String()); err != nil {
			return err
		}
		for range (3 + stubs) * batch {
			// Some may be refused: what is asked for is that memory is short.
			if _, err := w.line(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Stock memcached keeps the promise too, as long as nobody uses classic commands: the
// model asks for nothing else.
func TestTheModelFitsMemcached(t *testing.T) {
	t.Parallel()
	m := servers.Memcache(t, servers.MemcachedConfig{})
	for _, d := range []dialect{metaDialect, staleDialect} {
		c := contests{dialects: []dialect{d}, model: leaseModel, histories: *histories}
		c.right(t, d.name, m)
	}
}

// A real history is told from a forged one, and leases from their absence.
func TestTheCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	m := servers.Memcache(t, servers.MemcachedConfig{})
	c := contests{dialects: []dialect{metaDialect}, careless: true, model: leaseModel, histories: *histories}
	if o, err := c.play(t.Context(), m); err != nil || o.wrong == nil {
		t.Error(err, "fills by plain sets, which nothing voids, were never noticed")
	}
	w, err := connect(t.Context(), m.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	players := []*player{{w: w, leaser: metaDialect.open(w), random: rand.New(rand.NewPCG(1, 1))}}
	// One client alone: there is only one order, so every forged answer shows.
	history, err := contest(t.Context(), players, "forged", 60, 0)
	if err != nil {
		t.Fatal(err)
	}
	forged := 0
	for i, o := range history {
		in, okI := o.Input.(keyInput)
		out, okO := o.Output.(keyOutput)
		if !okI || !okO {
			t.Fatal(errors.New("a history of something else"))
		}
		switch {
		case in.cmd == cmdFill:
			out.stored = !out.stored
		case in.cmd == cmdRead && out.hit:
			out.value += "?"
		default:
			continue
		}
		forged++
		copied := append([]porcupine.Operation(nil), history...)
		copied[i].Output = out
		if got := porcupine.CheckOperationsTimeout(leaseModel, copied, harness.Patience); got != porcupine.Illegal {
			t.Errorf("with command %d (%s) forged to %+v: %s", i, leaseModel.DescribeOperation(o.Input, o.Output), out, got)
		}
	}
	if forged < 10 {
		t.Errorf("only %d commands could be forged", forged)
	}
}
