package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcsqueal/mcsqueal/integration/build"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// TestWhatLibrariesSendGivesTheKeysTheDocumentPromises replays the statements as the
// libraries sent them, in text or prepared, without the libraries.
func TestWhatLibrariesSendGivesTheKeysTheDocumentPromises(t *testing.T) {
	servers.Need(t, servers.KindMySQL, servers.KindMariaDB)
	command, err := build.Command(t.Context(), t.TempDir(), "mcsqueal")
	if err != nil {
		t.Fatal(err)
	}
	servers.Each(t, servers.Config{}, func(t *testing.T, d *servers.Database) {
		s := &stage{Database: d, command: command}
		for _, r := range recipes {
			t.Run(r.name, func(t *testing.T) {
				rec, err := load(".", r.name)
				if err != nil {
					t.Fatal(err)
				}
				sent := rec.MySQL
				if d.Kind() == servers.KindMariaDB {
					sent = rec.MariaDB
				}
				from, err := s.set(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, statement := range sent {
					if err := s.replay(t.Context(), statement); err != nil {
						t.Fatalf("%q: %v", statement.Text, err)
					}
				}
				keys, err := s.keys(t.Context(), from)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(r.promised(), keys); diff != "" {
					t.Errorf("keys (-promised +found):\n%s", diff)
				}
			})
		}
	})
}

// replay executes a statement by the protocol by which it was sent.
func (s *stage) replay(ctx context.Context, statement statement) error {
	conn, err := s.DB().Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "USE "+schema); err != nil {
		return err
	}
	if !statement.Prepared {
		_, err := conn.ExecContext(ctx, statement.Text)
		return err
	}
	args := make([]any, len(statement.Args))
	for i, a := range statement.Args {
		if args[i], err = a.value(); err != nil {
			return err
		}
	}
	prepared, err := conn.PrepareContext(ctx, statement.Text)
	if err != nil {
		return err
	}
	defer prepared.Close()
	_, err = prepared.ExecContext(ctx, args...)
	return err
}

func (a arg) value() (any, error) {
	switch a.Type {
	case "int":
		return strconv.ParseInt(a.Value, 10, 64)
	case "double":
		return strconv.ParseFloat(a.Value, 64)
	case "text":
		return a.Value, nil
	case "null":
		return nil, nil
	}
	return nil, fmt.Errorf("a parameter of type %q", a.Type)
}

// shown is the part of a program that the document shows: what stands between marks,
// without what it is indented by.
func shown(t *testing.T, r recipe) string {
	t.Helper()
	file := "main.go"
	switch r.kit.(type) {
	case goKit:
	case javaKit:
		file = r.args[0] + ".java"
	default:
		file = r.args[0]
	}
	file = filepath.Join(r.dir, file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, part := range strings.Split(string(text), "docs: from here\n")[1:] {
		part, _, ok := strings.Cut(part, "docs: to here")
		if !ok {
			t.Fatalf("%s: a part without an end", file)
		}
		part = part[:strings.LastIndexByte(part, '\n')] // the line with the mark
		indent := ""
		for line := range strings.Lines(part) {
			if strings.TrimSpace(line) != "" {
				indent = line[:len(line)-len(strings.TrimLeft(line, " \t"))]
				break
			}
		}
		part = strings.TrimPrefix(strings.ReplaceAll("\n"+part, "\n"+indent, "\n"), "\n")
		parts = append(parts, strings.TrimSpace(part))
	}
	return strings.Join(parts, "\n\n")
}

// blocks are the code blocks of the document's recipes, each with its language.
func blocks(t *testing.T) (section string, found [][2]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "tags.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## Recipes\n")
	if !ok {
		t.Fatal("docs/tags.md has no recipes")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for i, block := range strings.Split(section, "```") {
		if i%2 == 1 {
			language, code, _ := strings.Cut(block, "\n")
			found = append(found, [2]string{language, strings.TrimSpace(code)})
		}
	}
	return section, found
}

// TestTheDocumentShowsWhatWasRun: its programs are the ones that were run, what it says
// arrives is what arrived, and with the versions that it names.
func TestTheDocumentShowsWhatWasRun(t *testing.T) {
	section, found := blocks(t)
	var programs, arrived []string
	for _, r := range recipes {
		rec, err := load(".", r.name)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range rec.MySQL {
			arrived = append(arrived, s.Logged)
		}
		if r.loses {
			continue
		}
		program := shown(t, r)
		programs = append(programs, program)
		if !slices.ContainsFunc(found, func(b [2]string) bool { return b[1] == program }) {
			t.Errorf("docs/tags.md does not show %s as it was run:\n%s", r.name, program)
		}
		if !slices.ContainsFunc(found, func(b [2]string) bool { return b[1] == rec.MySQL[0].Logged }) && r.name != "sql" {
			t.Errorf("docs/tags.md does not show what arrives of %s:\n%s", r.name, rec.MySQL[0].Logged)
		}
		for name, version := range rec.Versions {
			if want := name + " " + version; !unnamed[name] && !strings.Contains(section, want) {
				t.Errorf("docs/tags.md does not say that %s was run with %s", r.name, want)
			}
		}
	}
	for _, b := range found {
		if !slices.Contains(programs, b[1]) && !slices.Contains(arrived, b[1]) {
			t.Errorf("docs/tags.md shows what was not run:\n%s", b[1])
		}
	}
}

// unnamed are what the document need not name: languages, and what moves on every
// machine.
var unnamed = map[string]bool{
	"MySQL": true, "MariaDB": true, "Go": true, "Python": true, "Node.js": true, "Java": true, "Ruby": true, "PHP": true,
	"mysql client": true, "mariadb client": true,
}
