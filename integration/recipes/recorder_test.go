package main

import (
	"database/sql"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/goroutines"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

func TestMain(m *testing.M) { os.Exit(goroutines.Verify(m)) }

// TestTheRecorderNotesWhatWasSent: byte for byte, what stands behind a semicolon and
// each execution's parameters included.
func TestTheRecorderNotesWhatWasSent(t *testing.T) {
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		r, err := record(d.Addr())
		if err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("mysql", fmt.Sprintf("root@tcp(127.0.0.1:%d)/test", r.port()))
		if err != nil {
			t.Fatal(err)
		}
		db.SetMaxOpenConns(1)
		long := strings.Repeat("x", 70_000)
		for _, text := range []string{"DO 1 /* a */; /* b */ \n", "DO '" + long + "'"} {
			if _, err := db.ExecContext(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
		execute := func(args ...any) {
			p, err := db.PrepareContext(t.Context(), "DO ?, ?, ?, ? /* c */;")
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			for range 2 { // the second time without their types, if a client likes
				if _, err := p.ExecContext(t.Context(), args...); err != nil {
					t.Fatal(err)
				}
			}
		}
		execute(int64(-7), "it's", 2.5, nil)
		execute(nil, "", int64(1<<40), long)
		db.Close()
		sent, err := r.close()
		if err != nil {
			t.Fatal(err)
		}
		prepared := func(args ...arg) statement {
			return statement{Text: "DO ?, ?, ?, ? /* c */;", Prepared: true, Args: args}
		}
		want := []statement{
			{Text: "DO 1 /* a */; /* b */ \n"},
			{Text: "DO '" + long + "'"},
			prepared(arg{"int", "-7"}, arg{"text", "it's"}, arg{"double", "2.5"}, arg{Type: "null"}),
			prepared(arg{"int", "-7"}, arg{"text", "it's"}, arg{"double", "2.5"}, arg{Type: "null"}),
			prepared(arg{Type: "null"}, arg{"text", ""}, arg{"int", "1099511627776"}, arg{"text", long}),
			prepared(arg{Type: "null"}, arg{"text", ""}, arg{"int", "1099511627776"}, arg{"text", long}),
		}
		if !slices.EqualFunc(sent, want, func(a, b statement) bool {
			return a.Text == b.Text && a.Prepared == b.Prepared && slices.Equal(a.Args, b.Args)
		}) {
			t.Errorf("%.300v\nwant %.300v", fmt.Sprint(sent), fmt.Sprint(want))
		}
	})
}

// TestAToolThatIsMissingIsSaid: a recipe that cannot be run here is no failure.
func TestAToolThatIsMissingIsSaid(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, k := range []kit{pythonKit{}, nodeKit{}, javaKit{}} {
		_, err := k.install(t.Context(), "nowhere")
		missing, ok := err.(*missingError)
		if !ok || !strings.Contains(missing.Error(), "not on this machine") {
			t.Errorf("%T: %v", k, err)
		}
	}
}
