package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// optionCases are options that change what is answered, with what is then sent, each on a
// connection of its own. FILE is an authentication file.
var optionCases = []struct {
	name  string
	args  []string
	sends []string
}{
	{"authentication", []string{"-Y", "FILE"}, []string{
		"set x 0 0 9\r\nuser pass\r\nget k\r\nset k 0 0 1\r\na\r\nget k\r\n",
		"set x 0 0 5\r\nu2 p2\r\nversion\r\n",
		"set x 0 0 9 noreply\r\nuser pass\r\nget k\r\n",
		// Of several answers before somebody has logged in memcached gives the last alone.
		"set x 0 0 9\r\nuser paxx\r\n",
		"set x 0 0 8\r\nuserpass\r\n",
		"set x 0 0 9\r\nuser passx\r\n",
		"set x 0 0 99999\r\n",
		"set x 0 0 -1\r\n",
		"set x 0 0\r\n",
		"get key\r\n",
		"set x 0 0 9\r\nuser pass\r\nset x 0 0 9\r\nuser pass\r\nget x\r\n",
		"mg k\r\n",
		"a\r\n",
		"quit\r\n",
		"version\r\n",
		"add x 0 0 9\r\n",
		strings.Repeat("x", 2100),
	}},
	{"flush_all forbidden", []string{"-F"}, []string{"flush_all\r\nflush_all 5\r\nflush_all x\r\nflush_all noreply\r\nmn\r\n"}},
	{"watch forbidden", []string{"-W"}, []string{"watch\r\n", "watch fetchers\r\n", "watch nosuch\r\n"}},
	{"dumps forbidden", []string{"-X"}, []string{"lru_crawler metadump all\r\n", "lru_crawler mgdump hash\r\n", "lru_crawler metadump nosuch\r\n"}},
	{"no CAS", []string{"-C"}, []string{"set k 0 0 1\r\na\r\ngets k\r\nmg k c v\r\nms k 1 c\r\nb\r\nme k\r\nma n N0 c\r\n"}},
	{"larger values", []string{"-I", "2m", "-m", "256"}, []string{
		"set k 0 0 1500000\r\n" + strings.Repeat("x", 1_500_000) + "\r\nmg k s\r\n",
		"set k 0 0 3000000\r\n" + strings.Repeat("x", 3_000_000) + "\r\nmg k s\r\n",
	}},
	{"smaller values", []string{"-I", "512k"}, []string{
		"set k 0 0 500000\r\n" + strings.Repeat("x", 500_000) + "\r\nmg k s\r\nset k 0 0 700000\r\n" + strings.Repeat("x", 700_000) + "\r\nmg k s\r\n",
	}},
	{"shutdown", []string{"-A"}, []string{"shutdown nosuch\r\nmn\r\n"}},
}

// sameOptions holds what is answered under options to each other.
func sameOptions(t *testing.T, start func(t *testing.T, args []string, login string) *servers.Memcached) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte("user:pass\nu2:p2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range optionCases {
		t.Run(c.name, func(t *testing.T) {
			args, login := append([]string(nil), c.args...), ""
			for i := range args {
				if args[i] == "FILE" {
					args[i], login = file, "user pass"
				}
			}
			subject, reference := start(t, args, login), servers.Memcache(t, servers.MemcachedConfig{Args: args, Login: login})
			for _, text := range c.sends {
				one := target{name: subject.String(), addr: subject.Addr()}
				other := target{name: reference.String(), addr: reference.Addr()}
				a, err := one.send(t.Context(), []byte(text), whole, 0)
				if err != nil {
					t.Fatal(err)
				}
				b, err := other.send(t.Context(), []byte(text), whole, 0)
				if err != nil {
					t.Fatal(err)
				}
				if different := differ(a, b, newIDs()); different != "" {
					t.Errorf("%v: %s", command(text), different)
				}
			}
		})
	}
}
