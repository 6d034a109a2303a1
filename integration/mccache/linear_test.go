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
	case dice < 90:
		return keyInput{cmd: cmdSet, value: fresh}, keyOutput{}, p.w.set(key, fresh)
	case dice < 95:
		line, err := p.w.ask("add %s 0 0 %d\r\n%s\r\n", key, len(fresh), fresh)
		stored, err := took("add", line, "STORED", "NOT_STORED", err)
		return keyInput{cmd: cmdAdd, value: fresh}, keyOutput{stored: stored}, err
	}
	v, found, err := p.w.get(key)
	return keyInput{cmd: cmdGet}, keyOutput{reading: reading{value: v, hit: found}}, err
}

// contest lets players act on the same key at the same time and returns the history.
func contest(ctx context.Context, players []*player, key string, commands int) ([]porcupine.Operation, error) {
	var (
		mu      sync.Mutex
		history []porcupine.Operation // guarded by mu
	)
	epoch := time.Now()
	group, _ := errgroup.WithContext(ctx)
	for id, p := range players {
		p.tokens = p.tokens[:0]
		group.Go(func() error {
			for i := range commands {
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

// contests plays many histories, each on a key of its own, and returns the first that
// cannot be.
func contests(t *testing.T, m *servers.Memcached, dialects []dialect, classic, careless bool) (wrong []porcupine.Operation) {
	t.Helper()
	const perKey, commands = 6, 14
	seed := rand.Uint64()
	var players []*player
	for i := range perKey {
		w, err := connect(t.Context(), m.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer w.close()
		players = append(players, &player{w: w, leaser: dialects[i%len(dialects)].open(w), classic: classic, careless: careless,
			random: rand.New(rand.NewPCG(seed, uint64(i)))})
	}
	fills, refused := 0, 0
	for n := range *histories {
		history, err := contest(t.Context(), players, fmt.Sprintf("key:%d:%d", seed, n), commands)
		if err != nil {
			t.Fatalf("seed %d, history %d: %v", seed, n, err)
		}
		for _, o := range history {
			in, okI := o.Input.(keyInput)
			out, okO := o.Output.(keyOutput)
			if okI && okO && in.cmd == cmdFill && out.stored {
				fills++
			} else if in.cmd == cmdFill {
				refused++
			}
		}
		switch porcupine.CheckOperationsTimeout(leaseModel, history, patience) {
		case porcupine.Illegal:
			return history
		case porcupine.Unknown:
			t.Fatalf("seed %d, history %d: not checked within %v", seed, n, patience)
		case porcupine.Ok:
		}
	}
	if fills == 0 || refused == 0 && !careless {
		t.Errorf("%d fills were taken and %d refused: there was nothing to check", fills, refused)
	}
	return nil
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
			if wrong := contests(t, m, test.dialects, classic, false); wrong != nil {
				t.Errorf("%s, classic commands: %v: no order of these commands explains their answers:\n%s", test.name, classic, tell(wrong))
			}
		}
	}
}

// Stock memcached keeps the promise too, as long as nobody uses classic commands: the
// model asks for nothing else.
func TestTheModelFitsMemcached(t *testing.T) {
	t.Parallel()
	m := servers.Memcache(t, servers.MemcachedConfig{})
	for _, d := range []dialect{metaDialect, staleDialect} {
		if wrong := contests(t, m, []dialect{d}, false, false); wrong != nil {
			t.Errorf("%s: no order of these commands explains their answers:\n%s", d.name, tell(wrong))
		}
	}
}

// A real history is told from a forged one, and leases from their absence.
func TestTheCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	m := servers.Memcache(t, servers.MemcachedConfig{})
	if wrong := contests(t, m, []dialect{metaDialect}, false, true); wrong == nil {
		t.Error("fills by plain sets, which nothing voids, were never noticed")
	}
	w, err := connect(t.Context(), m.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	players := []*player{{w: w, leaser: metaDialect.open(w), random: rand.New(rand.NewPCG(1, 1))}}
	// One client alone: there is only one order, so every forged answer shows.
	history, err := contest(t.Context(), players, "forged", 60)
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
		if got := porcupine.CheckOperationsTimeout(leaseModel, copied, patience); got != porcupine.Illegal {
			t.Errorf("with command %d (%s) forged to %+v: %s", i, leaseModel.DescribeOperation(o.Input, o.Output), out, got)
		}
	}
	if forged < 10 {
		t.Errorf("only %d commands could be forged", forged)
	}
}
