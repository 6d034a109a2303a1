package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/binlog/binlogtest"
)

// command runs the command and gives its exit status, and what it printed and said.
func command(t *testing.T, args ...string) (status int, printed, said string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = run(t.Context(), args, environment{
		stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr,
		getenv: func(string) string { return "" }, uid: os.Getuid(),
	})
	return status, stdout.String(), stderr.String()
}

// A log that stands behind another in one stream has that one's name only if the log
// says so: a server that was stopped does not say how its next file is called.
func TestABoundByFileEndsWhereALogDoesNotSayItsName(t *testing.T) {
	for _, c := range []struct {
		name    string
		end     func(*binlogtest.Writer)
		printed []string
		status  int
		says    string
	}{
		{"rotated", func(w *binlogtest.Writer) { w.Rotate("bin.000002") }, []string{"a", "b"}, exitDone, ""},
		{"stopped", func(w *binlogtest.Writer) { w.Stop() }, []string{"a"}, exitFailed, "does not say the name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			w := binlogtest.NewWriter(&log, binlogtest.Config{})
			w.Transaction(binlogtest.Tx{Statements: []binlogtest.Stmt{{Text: "INSERT /* mc: a */"}}})
			c.end(w)
			w = binlogtest.NewWriter(&log, binlogtest.Config{})
			w.Transaction(binlogtest.Tx{Statements: []binlogtest.Stmt{{Text: "INSERT /* mc: b */"}}})
			path := filepath.Join(t.TempDir(), "bin.000001")
			if err := os.WriteFile(path, log.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, bound := range []string{"--from=file:bin.000001:4", "--to=file:bin.000002:99999"} {
				status, printed, said := command(t, "replay", "--dry-run", "--files", path, bound)
				if status != c.status || !strings.Contains(said, c.says) {
					t.Errorf("%s: status %d, want %d; it says %q, want %q in it", bound, status, c.status, said, c.says)
				}
				for _, key := range []string{"a", "b"} {
					want := strings.Contains(fmt.Sprint(c.printed), key)
					if got := strings.Contains(printed, fmt.Sprintf(`"key":%q`, key)); got != want {
						t.Errorf("%s: the key %s is printed: %v, want %v", bound, key, got, want)
					}
				}
			}
		})
	}
}
