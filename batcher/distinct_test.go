package batcher

import (
	"fmt"
	"hash/maphash"
	"testing"
)

func appendCommand(b *Batch, command string) {
	b.Wire = append(b.Wire, command...)
	b.ends = append(b.ends, len(b.Wire))
}

func TestOnlyTheSameCommandIsARepetition(t *testing.T) {
	var d distinct
	for round := range 3 { // what was in an earlier batch is forgotten
		var b Batch
		d.reset()
		for n := range 5000 {
			command := fmt.Sprint("command ", n*(round+1))
			if !d.add(&b, []byte(command)) {
				t.Fatalf("%q is new to the batch", command)
			}
			appendCommand(&b, command)
			if again := fmt.Sprint("command ", n/2*(round+1)); d.add(&b, []byte(again)) {
				t.Fatalf("%q is in the batch", again)
			}
		}
	}
}

// TestAHashIsNotTakenForTheCommand: two commands with one hash are two commands.
func TestAHashIsNotTakenForTheCommand(t *testing.T) {
	var d distinct
	var b Batch
	d.reset()
	appendCommand(&b, "one")
	hash := uint32(maphash.Bytes(d.seed, []byte("other")))
	d.slots[int(hash)&(len(d.slots)-1)] = slot{d.gen, hash, 0} // as if "one" had it
	if !d.add(&b, []byte("other")) {
		t.Fatal("lost a command")
	}
}

func TestABatchIsForgottenWhenGenerationsRunOut(t *testing.T) {
	var d distinct
	var b Batch
	d.reset()
	d.add(&b, []byte("a")) // of generation 1
	d.gen = ^uint32(0)
	d.reset()
	if !d.add(&b, []byte("a")) {
		t.Fatal("a command of another batch was taken for one of this")
	}
}
