package main

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A program is what one client sends to a server: steps, each on a connection of its
// own. It follows from its seed, and so can be had again.
type program struct {
	seed    uint64
	profile profile
	steps   []step
}

// A step is sent in one go, or in pieces; then the client half-closes, and reads until
// the server closes: everything was answered by then, whatever state the commands left
// the connection in.
type step struct {
	commands []command
	cut      cut
	// cuts is where the pieces begin.
	cuts uint64
}

// cut says how a step's bytes are divided among writes.
type cut int

const (
	whole  cut = iota // one write
	few               // a few pieces, with a pause between them
	crumbs            // pieces of a few bytes
	unread            // one write, and nothing is read for a while: answers pile up
)

func (c cut) String() string {
	return [...]string{"in one write", "in a few writes", "in crumbs", "in one write, read late"}[c]
}

// A command is text for the server, usually a line and the data behind it, in which
// names in brackets stand for what is only known when it is sent:
//
//	«a»      key a, with the run's prefix
//	«a.64»   the same key in base64
//	«a.250»  another key, as long as keys may be; «a.251» one byte longer
//	«a.cas»  the id that key a has when the step begins; «a.old»: had in the step before
type command string

// words counts the commands of a program.
func (p program) words() (n int) {
	for _, s := range p.steps {
		n += len(s.commands)
	}
	return n
}

// with returns the program with other steps, leaving out what is empty at the end, or,
// where no time passes, anywhere.
func (p program) with(steps []step) program {
	for len(steps) > 0 && len(steps[len(steps)-1].commands) == 0 {
		steps = steps[:len(steps)-1]
	}
	if !p.profile.time() {
		steps = slices.DeleteFunc(slices.Clone(steps), func(s step) bool { return len(s.commands) == 0 })
	}
	p.steps = steps
	return p
}

// without returns the program without n commands from the i-th on, counted over all
// steps. Steps stay where they are, since time passes between them.
func (p program) without(i, n int) program {
	steps := slices.Clone(p.steps)
	for s := range steps {
		size := len(steps[s].commands)
		from, to := min(max(i, 0), size), min(max(i+n, 0), size)
		steps[s].commands = slices.Concat(steps[s].commands[:from], steps[s].commands[to:])
		i -= size
	}
	return p.with(steps)
}

// replaced returns the program with another i-th command.
func (p program) replaced(i int, c command) program {
	steps := slices.Clone(p.steps)
	for s := range steps {
		if size := len(steps[s].commands); i >= size {
			i -= size
			continue
		}
		steps[s].commands = slices.Clone(steps[s].commands)
		steps[s].commands[i] = c
		break
	}
	return p.with(steps)
}

// command returns the i-th command.
func (p program) command(i int) command {
	for _, s := range p.steps {
		if i < len(s.commands) {
			return s.commands[i]
		}
		i -= len(s.commands)
	}
	return ""
}

// keys are the names of the keys that every program uses. The bytes of z are not to be
// had but in base64.
var keys = []string{"a", "b", "c", "z"}

// A naming turns the names of keys into keys of one run, which no other run has.
type naming string

// newNaming is the n-th naming.
func newNaming(n uint64) naming {
	text := strconv.FormatUint(n, 36)
	return naming(strings.Repeat("0", max(0, 6-len(text))) + text + ":")
}

// key returns a key in one of its forms.
func (n naming) key(name, form string) string {
	raw := string(n) + name
	if name == "z" {
		raw += "\x00 \xff"
	}
	switch form {
	case "64":
		return base64.StdEncoding.EncodeToString([]byte(raw))
	case "250":
		return raw + strings.Repeat("x", 250-len(raw))
	case "251":
		return raw + strings.Repeat("x", 251-len(raw))
	}
	return raw
}

// expand puts in what the names in brackets stand for.
func (n naming) expand(c command, id func(key, age string) uint64) string {
	var out strings.Builder
	rest := string(c)
	for {
		before, after, found := strings.Cut(rest, "«")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		inside, behind, _ := strings.Cut(after, "»")
		name, form, _ := strings.Cut(inside, ".")
		if form == "cas" || form == "old" {
			out.WriteString(strconv.FormatUint(id(name, form), 10))
		} else {
			out.WriteString(n.key(name, form))
		}
		rest = behind
	}
}

// asks tells whether a step names a key's id.
func (s step) asks(key string) bool {
	return slices.ContainsFunc(s.commands, func(c command) bool {
		return strings.Contains(string(c), "«"+key+".cas»") || strings.Contains(string(c), "«"+key+".old»")
	})
}

// String shows a command as Go would quote it, with long runs shortened.
func (c command) String() string { return shortened(string(c)) }

// shortened quotes a text as Go would, except for long runs of one byte.
func shortened(text string) string {
	const long = 40
	var out strings.Builder
	quote := func(part string) {
		quoted := strconv.Quote(part)
		out.WriteString(quoted[1 : len(quoted)-1])
	}
	out.WriteByte('"')
	plain := 0
	for i := 0; i < len(text); {
		run := 1
		for i+run < len(text) && text[i+run] == text[i] {
			run++
		}
		if run >= long {
			quote(text[plain:i])
			out.WriteString("⟨")
			quote(text[i : i+1])
			fmt.Fprintf(&out, "×%d⟩", run)
			plain = i + run
		}
		i += run
	}
	quote(text[plain:])
	out.WriteByte('"')
	if out.Len() > 4000 {
		return out.String()[:4000] + "…"
	}
	return out.String()
}
