package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/binlog"
)

func TestASourceURLSaysWhereAndWho(t *testing.T) {
	for _, test := range []struct {
		text    string
		want    SourceURL
		written string
		dial    string
		local   bool
	}{
		{"mysql://mcsqueal@10.0.0.1:3307", SourceURL{binlog.MySQL, "mcsqueal", "10.0.0.1", 3307, ""},
			"mysql://mcsqueal@10.0.0.1:3307", "tcp 10.0.0.1:3307", false},
		{"mariadb://u@db.example.com", SourceURL{binlog.MariaDB, "u", "db.example.com", 3306, ""},
			"mariadb://u@db.example.com:3306", "tcp db.example.com:3306", false},
		{"mysql://u@localhost/", SourceURL{binlog.MySQL, "u", "localhost", 3306, ""},
			"mysql://u@localhost:3306", "tcp localhost:3306", true},
		{"mysql://u@127.1.2.3", SourceURL{binlog.MySQL, "u", "127.1.2.3", 3306, ""},
			"mysql://u@127.1.2.3:3306", "tcp 127.1.2.3:3306", true},
		{"mysql://u@[::1]:3307", SourceURL{binlog.MySQL, "u", "::1", 3307, ""},
			"mysql://u@[::1]:3307", "tcp [::1]:3307", true},
		{"mysql://a%3Ab%40c@h", SourceURL{binlog.MySQL, "a:b@c", "h", 3306, ""},
			"mysql://a%3Ab%40c@h:3306", "tcp h:3306", false},
		{"mysql://u@/?socket=/run/mysqld/a%20b.sock", SourceURL{binlog.MySQL, "u", "", 0, "/run/mysqld/a b.sock"},
			"mysql://u@/?socket=/run/mysqld/a+b.sock", "unix /run/mysqld/a b.sock", true},
		{"mariadb://u@localhost?socket=/s", SourceURL{binlog.MariaDB, "u", "", 0, "/s"},
			"mariadb://u@/?socket=/s", "unix /s", true},
	} {
		got, err := ParseSourceURL(test.text)
		if err != nil || got != test.want {
			t.Errorf("%s is %#v, %v; want %#v", test.text, got, err, test.want)
			continue
		}
		network, address := got.Address()
		if dial := network + " " + address; got.String() != test.written || dial != test.dial || got.Local() != test.local {
			t.Errorf("%s is written %s, dialed as %s, local %t; want %s, %s, %t",
				test.text, got, dial, got.Local(), test.written, test.dial, test.local)
		}
	}
}

func TestWhatIsNoSourceURLIsRefusedWithoutRepeatingIt(t *testing.T) {
	for text, want := range map[string]error{
		"":                               errURL,
		"secret":                         errURL,
		"mysql:u@secret":                 errURL,
		"postgres://u@secret":            errURL,
		"MySQL://u@secret":               errURL,
		"mysql://u@secret:port":          errURL,
		"mysql://u@h:0":                  errURL,
		"mysql://u@h:65536":              errURL,
		"mysql://u@h#secret":             errURL,
		"mysql://u@h%zz":                 errURL,
		"mysql://u@a:b":                  errURL,
		"mysql://u@::1":                  errURL,
		"mysql://u@?socket=":             errURL,
		"mysql://u@/?socket=%zz":         errURL,
		"mysql://u:secret@h":             errURLPassword,
		"mysql://u:@h":                   errURLPassword,
		"mysql://u:sec/ret@h":            errURLPassword,
		"mysql://u:sec@ret@h":            errURLPassword,
		"mysql://u:se?cret@h":            errURL,
		"mysql://:secret@h":              errURLPassword,
		"mysql://secret":                 errURLUser,
		"mysql://@secret":                errURLUser,
		"mysql://u@":                     errURLHost,
		"mysql://u@/":                    errURLHost,
		"mysql://u@:3306":                errURLHost,
		"mysql://u@a,b:3306":             errURLHosts,
		"mysql://u@h/secret":             errURLPath,
		"mysql://u@h?password=secret":    errURLQuery,
		"mysql://u@/?socket=/s&tls=true": errURLQuery,
		"mysql://u@/?socket=/s&socket=t": errURLQuery,
		"mysql://u@10.0.0.1/?socket=/s":  errURLBoth,
	} {
		got, err := ParseSourceURL(text)
		if !errors.Is(err, want) || !got.IsZero() {
			t.Errorf("%q is %#v, %v; want %v", text, got, err, want)
		}
	}
}

func TestThePasswordIsInTheEnvironmentOrInAFile(t *testing.T) {
	write := func(text string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, test := range map[string]struct {
		env, file string
		want      string
		wrong     string
	}{
		"nowhere":                  {"", "", "", ""},
		"in the environment":       {"secret", "", "secret", ""},
		"in a file":                {"", write("secret"), "secret", ""},
		"in a file with a newline": {"", write("secret\n"), "secret", ""},
		"in a file of Windows":     {"", write("secret\r\n"), "secret", ""},
		"with space around it":     {"", write(" secret \n\n"), " secret \n", ""},
		"in both":                  {"this one", write("secret"), "this one", ""},
		"in an empty file":         {"", write("\n"), "", "is empty; write the password into it, or name no password_file if there is none"},
		"in no file":               {"", "/nonexistent/password", "", "read the source's password: open /nonexistent/password: no such file or directory"},
	} {
		got, err := Source{PasswordFile: test.file}.Password(func(name string) string {
			return map[string]string{"MCSQUEAL_PASSWORD": test.env}[name]
		})
		if got != test.want || (err == nil) != (test.wrong == "") || err != nil && !strings.HasSuffix(err.Error(), test.wrong) {
			t.Errorf("%s: got %q, %v; want %q, %q", name, got, err, test.want, test.wrong)
		}
	}
}
