package main

import (
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/build"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// mccache builds the cache server of this checkout.
func mccache(t *testing.T) string {
	t.Helper()
	program, err := build.Command(t.Context(), t.TempDir(), "mccache")
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func TestMccacheAnswersAsMemcachedDoes(t *testing.T) {
	t.Parallel()
	servers.Need(t, servers.KindMemcached)
	program := mccache(t)
	t.Run("programs", func(t *testing.T) {
		t.Parallel()
		agree(t, staged(t, program, nil), 16*time.Second, mixed, meta, bulk, timed, timedMeta)
	})
	t.Run("an independent client", func(t *testing.T) {
		t.Parallel()
		s := staged(t, program, nil)
		sameClient(t, s.subject, s.reference)
	})
	t.Run("names of statistics", func(t *testing.T) {
		t.Parallel()
		sameNames(t, servers.Mccache(t, servers.MccacheConfig{Program: program}), servers.Memcache(t, servers.MemcachedConfig{}))
	})
	t.Run("options", func(t *testing.T) {
		t.Parallel()
		sameOptions(t, func(t *testing.T, args []string, login string) *servers.Memcached {
			m := servers.Mccache(t, servers.MccacheConfig{Program: program, Args: args, Login: login})
			if login != "" {
				// This differs on purpose.
				to := target{name: m.String(), addr: m.Addr()}
				said, err := to.send(t.Context(), []byte("get key\r\nget key\r\n"), whole, 0)
				if want := strings.Repeat("CLIENT_ERROR unauthenticated\r\n", 2); err != nil || string(said) != want {
					t.Errorf("two commands before the login: %q, %v", said, err)
				}
			}
			return m
		})
	})
	t.Run("datagrams", func(t *testing.T) {
		t.Parallel()
		sameDatagrams(t, servers.Mccache(t, servers.MccacheConfig{Program: program, UDP: true}), servers.Memcache(t, servers.MemcachedConfig{UDP: true}))
	})
	t.Run("what watchers are told", func(t *testing.T) {
		t.Parallel()
		m := servers.Mccache(t, servers.MccacheConfig{Program: program})
		sameEvents(t, m, servers.Memcache(t, servers.MemcachedConfig{}))
		// This differs on purpose.
		if all := watched(t, m, "fetchers", "set f 0 0 1\r\n1\r\nincr f 1\r\nget f\r\ndelete f\r\n"); len(all) != 1 {
			t.Errorf("fetches are %q, want one", all)
		}
	})
	t.Run("listings", func(t *testing.T) {
		t.Parallel()
		sameListings(t, servers.Mccache(t, servers.MccacheConfig{Program: program}), servers.Memcache(t, servers.MemcachedConfig{}))
	})
}
