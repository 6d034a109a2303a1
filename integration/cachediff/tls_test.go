package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/cache"
	"github.com/mcsqueal/mcsqueal/cache/server"
	"github.com/mcsqueal/mcsqueal/integration/authority"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// encrypted runs a cache server in this process, which speaks TLS only, and returns where
// to reach it in the clear.
func encrypted(t *testing.T) (addr string) {
	t.Helper()
	a := authority.New(t)
	file := a.InOne(t, "mccache", authority.Server(time.Time{}))
	store, err := cache.New(cache.Config{Memory: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(server.Options{
		Endpoints: []server.Endpoint{{Network: "tcp", Host: "127.0.0.1", TLS: server.TLSDefault}},
		Threads:   1, Memory: 1 << 30, TLS: server.TLSOptions{Chain: file, Key: file},
	}, store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	dial := func() (net.Conn, error) {
		return tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp4", srv.Addrs()[0].String(), &tls.Config{RootCAs: a.Pool})
	}
	return liar(t, dial, func(said []byte) []byte { return said })
}

// Encrypted connections are served by other code than those that are not.
func TestMccacheAnswersAsMemcachedDoesOverTLS(t *testing.T) {
	t.Parallel()
	reference := servers.Memcache(t, servers.MemcachedConfig{Args: still})
	one, err := reach(t.Context(), "mccache over TLS", encrypted(t))
	if err != nil {
		t.Fatal(err)
	}
	other, err := reach(t.Context(), reference.String(), reference.Addr())
	if err != nil {
		t.Fatal(err)
	}
	w, err := meet(one, other)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	}()
	agree(t, &stage{world: w}, 3*time.Second, mixed, meta, bulk)
}
