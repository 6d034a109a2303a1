package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// authFile writes one and returns its name.
func authFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestNobodyComesInWithoutAPassword(t *testing.T) {
	r := startServer(t, Options{AuthFile: authFile(t, "anna:secret\nbert:x:y z\n")})
	for _, c := range []struct{ name, say, hear string }{
		{"right", "set me 0 0 11\r\nanna secret\r\nget k\r\n", "STORED\r\nEND\r\n"},
		{"odd but right", "set any 5 9 10\r\nbert x:y z\r\nmn\r\n", "STORED\r\nMN\r\n"},
		{"wrong password", "set me 0 0 10\r\nanna wrong\r\n", "CLIENT_ERROR authentication failure\r\n"},
		{"wrong user", "set me 0 0 11\r\ncarl secret\r\n", "CLIENT_ERROR authentication failure\r\n"},
		{"no password", "set me 0 0 4\r\nanna\r\n", "CLIENT_ERROR bad authentication token format\r\n"},
		{"another command", "get something\r\n", "CLIENT_ERROR unauthenticated\r\n"},
		{"and then the right one", "version\r\nset me 0 0 11\r\nanna secret\r\nmn\r\n", "CLIENT_ERROR unauthenticated\r\nSTORED\r\nMN\r\n"},
		{"too long", "set me 0 0 99999\r\n", "CLIENT_ERROR auth token too long\r\n"},
		{"no line's end", "set me 0 0 11\r\nanna secretXXmn\r\n", "CLIENT_ERROR bad command line termination\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			whole, pieces := r.dial(t), r.dial(t)
			whole.say(c.say)
			whole.hears(c.hear)
			for i := range c.say {
				pieces.say(c.say[i : i+1])
			}
			pieces.hears(c.hear)
		})
	}
	t.Run("junk", func(t *testing.T) {
		for _, junk := range []string{"mn\r\n", strings.Repeat("x", 5000)} {
			c := r.dial(t)
			c.say(junk)
			c.hearsEnd("")
		}
	})
}

func TestUsersAreReadAgain(t *testing.T) {
	file := authFile(t, "anna:old\n")
	r := startServer(t, Options{AuthFile: file})
	try := func(password, want string) {
		t.Helper()
		c := r.dial(t)
		c.say(fmt.Sprintf("set me 0 0 %d\r\nanna %s\r\n", len("anna ")+len(password), password))
		c.hears(want)
	}
	try("old", "STORED\r\n")
	for _, bad := range []string{"no colon\n", strings.Repeat("u:p\n", maxUsers+1), strings.Repeat("u", 300) + ":p\n"} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := r.Reload(); err == nil {
			t.Errorf("%.20q was no error", bad)
		}
		try("old", "STORED\r\n")
	}
	if err := os.WriteFile(file, []byte("anna:new\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	try("old", "CLIENT_ERROR authentication failure\r\n")
	try("new", "STORED\r\n")
}
