package memcache

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/integration/peer"
	"github.com/mcsqueal/mcsqueal/mcconn"
)

func TestWhatBecameOfAKeyIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Cluster: "east", Targets: []string{"a:1"}, Prefix: "p:"})
		command := func(key string) []byte { return []byte("delete p:" + key + "\r\n") }
		s.refusedNow(command("k"), "busy")
		if got, ok, complete := s.Trouble([]byte("k")); !ok || !complete || got.Outcome != OutcomeRefused || got.Reason != "busy" || got.Key != "k" {
			t.Errorf("remembers %+v, %v, %v", got, ok, complete)
		}
		time.Sleep(time.Second)
		s.troubled(command("k"), OutcomeTaken, "")
		if got, ok, _ := s.Trouble([]byte("k")); !ok || got.Outcome != OutcomeTaken || !got.At.Equal(time.Now()) {
			t.Errorf("remembers %+v, %v", got, ok)
		}
		s.setKeyAside([]byte("l"), "too long")
		state := s.State()
		if len(state.Refused) != 0 || len(state.Aside) != 1 || state.Aside[0].Key != "l" || state.SetAside != 1 {
			t.Errorf("state %+v", state)
		}
		if _, ok, _ := s.Trouble([]byte("m")); ok {
			t.Error("a key that met with no trouble is remembered")
		}
	})
}

// However many are refused, memory stays, and nothing is claimed of what is forgotten.
func TestWhatIsForgottenIsKnownToBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Targets: []string{"a:1"}})
		for i := range maxTroubled {
			s.setKeyAside(fmt.Appendf(nil, "aside%d", i), "too long")
		}
		for i := range maxTroubled {
			time.Sleep(time.Millisecond)
			s.refusedNow(fmt.Appendf(nil, "delete k%d\r\n", i), "busy")
		}
		if _, _, complete := s.Trouble([]byte("x")); !complete {
			t.Error("what was set aside is counted, and may be forgotten by name")
		}
		s.refusedNow([]byte("delete last\r\n"), "busy")
		_, ok, complete := s.Trouble([]byte("k0"))
		if ok || complete {
			t.Errorf("the oldest is remembered: %v; all are: %v", ok, complete)
		}
		// One that is not remembered is no reason to forget another.
		s.troubled([]byte("delete k0\r\n"), OutcomeTaken, "")
		if len(s.troubles.ring) != maxTroubled || len(s.troubles.at) != maxTroubled {
			t.Errorf("remembers %d by %d names", len(s.troubles.ring), len(s.troubles.at))
		}
		refused := s.State().Refused
		if len(refused) != samples || refused[0].Key != "last" || refused[1].Key != fmt.Sprintf("k%d", maxTroubled-1) {
			t.Errorf("samples %+v", refused)
		}
	})
}

func TestTheStateSaysWhatIsConnectedAndWhatWentWrong(t *testing.T) {
	r := &refuser{taken: make(chan string, 10)}
	address := peer.Listen(t, r.serve)
	s := New(Config{Cluster: "east", Targets: []string{"127.0.0.1:1", address}, Protocol: mcconn.Text})
	if got := s.State(); got.Kind != "router" || got.Address != "127.0.0.1:1" || !got.Connected.IsZero() || got.Err != nil {
		t.Errorf("before it begins: %+v", got)
	}
	log := batcher.NewLog(batcher.Config{})
	log.SetVisible(batcher.AllVisible)
	cursor, err := log.NewCursor(binlog.Position{})
	if err != nil {
		t.Fatal(err)
	}
	w := log.Writer()
	if _, err := w.Begin(batcher.Transaction{}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Key([]byte("k")), w.End(100)); err != nil {
		t.Fatal(err)
	}
	w.Publish()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context(), cursor) }()
	<-r.taken
	got := s.State()
	if got.Address != address || got.Connected.IsZero() || got.Version != "1.6.0" || got.Protocol != "text" || got.Err == nil || got.ErrAt.IsZero() {
		t.Errorf("while it is connected: %+v", got)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if got := s.State(); !got.Connected.IsZero() {
		t.Errorf("once it has ended: %+v", got)
	}
}
