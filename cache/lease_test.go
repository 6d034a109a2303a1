package cache

import (
	"testing"
	"time"
)

// Both dialects give out the same token: who comes by the meta one while lease-get's
// reader is at the database waits for that reader's fill, and does not void its token.
func TestOneTokenForBothDialects(t *testing.T) {
	s := open(t, Config{StaleTime: time.Minute})
	if err := set(t, s, "k", []byte("old"), 0); err != nil {
		t.Fatal(err)
	}
	del(s, "k")
	e := s.Lock([]byte("k"))
	defer e.Unlock()
	lease := e.Lease()
	if lease.Token <= HotMiss || !lease.HasStale {
		t.Fatalf("the first reader after a delete: %+v", lease)
	}
	it, won, ok := e.Vivify(0)
	if won || !ok || !it.TokenSent() || it.CAS() != lease.Token {
		t.Errorf("the second: won is %v, ok %v, token %d, the first has %d", won, ok, it.CAS(), lease.Token)
	}
	if again := e.Lease(); again.Token != HotMiss {
		t.Errorf("the third: %+v", again)
	}
	if !e.MayFill(lease.Token) {
		t.Error("the first reader's token is void")
	}
	e.Delete()
	if it, won, ok := e.Vivify(0); !won || !ok || it.CAS() == lease.Token {
		t.Errorf("after the next delete: won is %v, ok %v", won, ok)
	}
}
