package mccache

import (
	"fmt"
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/mcsqueal/mcsqueal/integration/harness"
)

// What one key of a cache with leases is to its clients, one command after the other: it
// has a value or none, and while it has none one token may be out. A delete and a set void
// the token; so no fill that began before a delete is ever read after it, unless marked.
type keyState struct {
	has   bool
	value string
	token uint64 // the one that is out, or 0
	old   string // the value of before, which a reader may be given, marked
}

type command uint8

const (
	cmdRead   command = iota // lease-get, mg
	cmdFill                  // lease-set, ms C
	cmdDelete                // delete, md
	cmdSet                   // set
	cmdGet                   // get
	cmdAdd                   // add
	cmdAppend                // append
	cmdFlush                 // flush_all
)

type keyInput struct {
	cmd   command
	value string // cmdFill, cmdSet, cmdAdd, cmdAppend
	token uint64 // cmdFill
}

type keyOutput struct {
	reading      // cmdRead; cmdGet: value and hit
	stored  bool // cmdFill, cmdAdd, cmdAppend
}

// step is the cache as it must be.
func step(s keyState, in keyInput, out keyOutput) (bool, keyState) {
	switch in.cmd {
	case cmdRead:
		switch {
		case out.hit:
			return s.has && s.value == out.value, s
		case s.has || out.value != "" && out.value != s.old:
			return false, s
		case out.wait():
			return s.token != 0, s
		}
		// A new token, or the same again when its interval was over.
		ok := s.token == 0 || s.token == out.token
		s.token = out.token
		return ok, s
	case cmdFill:
		if !out.stored {
			return s.token != in.token, s
		}
		return s.token == in.token, keyState{has: true, value: in.value}
	case cmdSet:
		return true, keyState{has: true, value: in.value}
	case cmdAdd:
		if !out.stored {
			return s.has, s
		}
		return !s.has, keyState{has: true, value: in.value}
	case cmdAppend:
		if !out.stored {
			return !s.has, s
		}
		return s.has, keyState{has: true, value: s.value + in.value}
	case cmdFlush:
		return true, keyState{}
	case cmdGet:
		return s.has == out.hit && (!s.has || s.value == out.value), s
	case cmdDelete:
		if s.has {
			s.old = s.value
		}
		return true, keyState{old: s.old}
	}
	return false, s
}

// lossyStep is a cache that has too little memory: what it has may be gone at any time,
// value, token or old value. It still hands out nothing else than the last value, and
// takes no fill whose token is void.
func lossyStep(s keyState, in keyInput, out keyOutput) (bool, keyState) {
	lost := s
	switch {
	case in.cmd == cmdRead && !out.hit && !out.wait():
		// Another may win when the value, or the first winner's token, is gone.
		lost.has, lost.value, lost.token = false, "", 0
		if s.token == out.token {
			lost.token = s.token
		}
		if s.has {
			lost.old = s.value // deleted, as far as this reader can tell
		}
	case in.cmd == cmdRead && out.wait():
		if s.has { // evicted, and another reader has won since
			return false, s
		}
	case in.cmd == cmdFill && !out.stored:
		return true, s
	case in.cmd == cmdGet && !out.hit, in.cmd == cmdAdd && out.stored, in.cmd == cmdAppend && !out.stored:
		lost.has, lost.value = false, ""
	}
	return step(lost, in, out)
}

// modelOf makes a model of a step.
func modelOf(step func(keyState, keyInput, keyOutput) (bool, keyState)) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return keyState{} },
		Step: func(state, input, output any) (bool, any) {
			s, okS := state.(keyState)
			in, okI := input.(keyInput)
			out, okO := output.(keyOutput)
			if !okS || !okI || !okO {
				return false, state
			}
			return step(s, in, out)
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %+v", input, output) },
	}
}

var (
	leaseModel = modelOf(step)
	lossyModel = modelOf(lossyStep)
)

// story is a history in which every command was over before the next began, but where it
// says otherwise: spans are the times of commands.
type story []struct {
	from, to int64
	in       keyInput
	out      keyOutput
}

func (s story) check(model porcupine.Model) porcupine.CheckResult {
	var history []porcupine.Operation
	for i, o := range s {
		history = append(history, porcupine.Operation{ClientId: i, Input: o.in, Output: o.out, Call: o.from, Return: o.to})
	}
	return porcupine.CheckOperationsTimeout(model, history, harness.Patience)
}

// A model that allows everything would find nothing.
func TestTheModelKnowsRightFromWrong(t *testing.T) {
	t.Parallel()
	read := keyInput{cmd: cmdRead}
	del := keyInput{cmd: cmdDelete}
	fill := func(token uint64, v string) keyInput { return keyInput{cmd: cmdFill, token: token, value: v} }
	set := func(v string) keyInput { return keyInput{cmd: cmdSet, value: v} }
	won := func(token uint64) keyOutput { return keyOutput{reading: reading{token: token}} }
	hit := func(v string) keyOutput { return keyOutput{reading: reading{hit: true, value: v}} }
	marked := func(v string) keyOutput { return keyOutput{reading: reading{value: v}} }
	stored, none := keyOutput{stored: true}, keyOutput{}
	for _, test := range []struct {
		name  string
		right bool
		story story
	}{
		{"an append to nothing", false, story{{0, 1, keyInput{cmd: cmdAppend, value: "t"}, stored}}},
		{"an append", true, story{{0, 1, set("s"), none}, {2, 3, keyInput{cmd: cmdAppend, value: "t"}, stored}, {4, 5, read, hit("st")}}},
		{"a flush voids the token", false, story{{0, 1, read, won(7)}, {2, 3, keyInput{cmd: cmdFlush}, none}, {4, 5, fill(7, "a"), stored}}},
		{"a flush takes the old value too", false, story{{0, 1, set("s"), none}, {2, 3, keyInput{cmd: cmdFlush}, none}, {4, 5, read, won(8)}, {6, 7, read, marked("s")}}},
		{"a fill by token is read", true, story{{0, 1, read, won(7)}, {2, 3, fill(7, "a"), stored}, {4, 5, read, hit("a")}}},
		{"a fill of before a delete is refused", true, story{{0, 1, read, won(7)}, {2, 3, del, none}, {4, 5, fill(7, "a"), none}}},
		{"a fill of before a delete is stored", false, story{{0, 1, read, won(7)}, {2, 3, del, none}, {4, 5, fill(7, "a"), stored}}},
		{"it is not stored, and read", false, story{{0, 1, read, won(7)}, {2, 3, del, none}, {4, 5, fill(7, "a"), none}, {6, 7, read, hit("a")}}},
		{"a fill beside a delete is read before it", true, story{{0, 1, read, won(7)}, {2, 9, del, none}, {2, 9, fill(7, "a"), stored}, {3, 4, read, hit("a")}}},
		{"a fill beside a delete is read after it", false, story{{0, 1, read, won(7)}, {2, 3, del, none}, {2, 9, fill(7, "a"), stored}, {4, 5, read, won(8)}, {10, 11, read, hit("a")}}},
		{"after a delete the next reader waits", false, story{{0, 1, read, won(7)}, {2, 3, del, none}, {4, 5, read, none}}},
		{"two readers win", false, story{{0, 1, read, won(7)}, {2, 3, read, won(8)}}},
		{"the same token goes out again", true, story{{0, 1, read, won(7)}, {2, 3, read, won(7)}, {4, 5, fill(7, "a"), stored}, {6, 7, fill(7, "b"), none}}},
		{"a token fills twice", false, story{{0, 1, read, won(7)}, {2, 3, fill(7, "a"), stored}, {4, 5, fill(7, "b"), stored}}},
		{"a set voids the token", false, story{{0, 1, read, won(7)}, {2, 3, set("s"), none}, {4, 5, fill(7, "a"), stored}}},
		{"the old value, marked", true, story{{0, 1, set("s"), none}, {2, 3, del, none}, {4, 5, read, won(8)}, {6, 7, read, marked("s")}}},
		{"the old value, unmarked", false, story{{0, 1, set("s"), none}, {2, 3, del, none}, {4, 5, read, hit("s")}}},
		{"an old value that was never there", false, story{{0, 1, set("s"), none}, {2, 3, del, none}, {4, 5, read, won(8)}, {6, 7, read, marked("x")}}},
		{"a get sees what nobody deleted", false, story{{0, 1, set("s"), none}, {2, 3, keyInput{cmd: cmdGet}, none}}},
		{"an add over a value", false, story{{0, 1, set("s"), none}, {2, 3, keyInput{cmd: cmdAdd, value: "t"}, stored}}},
	} {
		want := porcupine.Illegal
		if test.right {
			want = porcupine.Ok
		}
		if got := test.story.check(leaseModel); got != want {
			t.Errorf("%s: %s, want %s", test.name, got, want)
		}
		// What is right remains so where memory is short, and what forgetting cannot
		// explain remains wrong.
		forgotten := map[string]bool{"two readers win": true, "a get sees what nobody deleted": true, "an add over a value": true}
		if forgotten[test.name] {
			want = porcupine.Ok
		}
		if got := test.story.check(lossyModel); got != want {
			t.Errorf("%s, where memory is short: %s, want %s", test.name, got, want)
		}
	}
}
