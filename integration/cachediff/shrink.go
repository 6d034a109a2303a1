package main

import (
	"context"
	"errors"
	"strings"
	"time"
)

// A judge runs programs and says of each what is different; nil where nothing is. The
// programs have the same profile.
type judge func(ctx context.Context, programs []program) ([]*running, error)

// shrink looks for the smallest program that is still answered differently, by leaving
// out commands, then words of commands, for as long as that goes or the time lasts.
func shrink(ctx context.Context, found *running, ask judge, lasts time.Duration) (*running, error) {
	deadline := time.Now().Add(lasts)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		smaller, err := smaller(ctx, found, ask, deadline)
		if err != nil || smaller == nil {
			return found, err
		}
		found = smaller
	}
	return found, nil
}

// smaller returns a program with less in it that is also answered differently, or nil.
func smaller(ctx context.Context, found *running, ask judge, deadline time.Time) (*running, error) {
	n := found.words()
	for size := n / 2; size >= 1; size /= 2 {
		var candidates []program
		for i := 0; i < n; i += size {
			candidates = append(candidates, found.without(i, size))
		}
		if r, err := first(ctx, candidates, ask, deadline); r != nil || err != nil {
			return r, err
		}
	}
	// Then what the commands consist of, and how they are sent.
	var candidates []program
	for i := range n {
		for _, c := range found.command(i).shorter() {
			candidates = append(candidates, found.replaced(i, c))
		}
	}
	for i, s := range found.steps {
		if s.cut != whole {
			steps := append([]step(nil), found.steps...)
			steps[i].cut = whole
			candidates = append(candidates, found.with(steps))
		}
	}
	return first(ctx, candidates, ask, deadline)
}

// first returns the first of the candidates that is answered differently, or nil. They
// are asked a few at a time: where time has to pass, a few cost what one does.
func first(ctx context.Context, candidates []program, ask judge, deadline time.Time) (*running, error) {
	for len(candidates) > 0 && time.Now().Before(deadline) {
		some := candidates[:min(len(candidates), batch(candidates[0].profile))]
		candidates = candidates[len(some):]
		all, err := ask(ctx, some)
		if errors.Is(err, errMissed) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, r := range all {
			if r.different != "" {
				return r, nil
			}
		}
	}
	return nil, nil
}

// batch is how many programs are run at a time.
func batch(p profile) int {
	if p.time() {
		return 80
	}
	return 1
}

// shorter returns the command with a word of its first line less, each in turn, but not
// without its key.
func (c command) shorter() (all []command) {
	text, lone := strings.CutPrefix(string(c), string(alone))
	if lone {
		for _, less := range command(text).shorter() {
			all = append(all, alone+less)
		}
		return append(all, command(text))
	}
	line, data, _ := strings.Cut(text, "\n")
	words := strings.Split(line, " ")
	for i := 1; i < len(words); i++ {
		if strings.Contains(words[i], "«") || len(data) > 1500 {
			continue // it would be another key, or its data a line that is too long
		}
		less := append(append([]string(nil), words[:i]...), words[i+1:]...)
		text := strings.Join(less, " ")
		if i == len(words)-1 && strings.HasSuffix(line, "\r") {
			text += "\r"
		}
		all = append(all, command(text+"\n"+data))
	}
	return all
}
