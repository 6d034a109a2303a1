package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// recipe is a program that names keys with one library. Each does the same three
// things in transactions of their own, with the tags that say so:
//
//	renames user 1 to a name that looks like a tag   user:1 user:1:friends
//	adds a user                                      users:newest user_by_email:…
//	removes it again; its id is 2                    user:2 user_by_email:…
type recipe struct {
	name string
	dir  string // below this package's folder, with all that is the recipe's
	kit  kit
	args []string // the program and its arguments
	// loses: the library drops the tags on the way, so that no key comes out. It is run
	// in order to learn when that changes.
	loses bool
}

// email is the added user's: what a comment, a list or an escape may trip over.
const email = `d'arcy,100%*/\@example.com`

// promised are the keys that come out.
func (r *recipe) promised() []string {
	if r.loses {
		return nil
	}
	return []string{"user:1", "user:1:friends", "users:newest", "user_by_email:" + email, "user:2", "user_by_email:" + email}
}

// writes tells whether a statement changes rows; comments may stand before its verb.
func writes(text string) bool {
	for strings.HasPrefix(text, "/*") {
		_, behind, _ := strings.Cut(text, "*/")
		text = strings.TrimSpace(behind)
	}
	verb, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	return slices.Contains([]string{"INSERT", "UPDATE", "DELETE"}, strings.ToUpper(verb))
}

var recipes = []recipe{
	{name: "sql", dir: "sql", kit: clientKit{}, args: []string{"recipe.sql"}},
	{name: "go", dir: "go", kit: goKit{}},
	{name: "go-interpolate", dir: "go", kit: goKit{}, args: []string{"interpolate"}},
	{name: "rails-querylogs", dir: "rails", kit: debianKit{ruby}, args: []string{"querylogs.rb"}},
	{name: "rails-pairs", dir: "rails", kit: debianKit{ruby}, args: []string{"pairs.rb"}},
	{name: "rails-annotate", dir: "rails", kit: debianKit{ruby}, args: []string{"annotate.rb"}, loses: true},
	{name: "django", dir: "django", kit: pythonKit{}, args: []string{"recipe.py"}},
	{name: "sqlalchemy-core", dir: "sqlalchemy", kit: pythonKit{}, args: []string{"core.py"}},
	{name: "sqlalchemy-orm", dir: "sqlalchemy", kit: pythonKit{}, args: []string{"orm.py"}},
	{name: "hibernate-query", dir: "hibernate", kit: javaKit{}, args: []string{"QueryRecipe"}},
	{name: "hibernate-entity", dir: "hibernate", kit: javaKit{}, args: []string{"EntityRecipe"}},
	{name: "laravel", dir: "laravel", kit: debianKit{php}, args: []string{"recipe.php"}},
	{name: "prisma", dir: "prisma", kit: nodeKit{}, args: []string{"recipe.mjs"}},
	{name: "drizzle", dir: "drizzle", kit: nodeKit{}, args: []string{"recipe.mjs"}},
	{name: "drizzle-comment", dir: "drizzle-comment", kit: nodeKit{}, args: []string{"recipe.mjs"}},
	{name: "typeorm", dir: "typeorm", kit: nodeKit{}, args: []string{"recipe.mjs"}},
}

// home is this package's folder.
func home(root string) string { return filepath.Join(root, "integration", "recipes") }

// cook installs what the recipe needs, runs it on every stage and keeps a recording if
// all the keys came out that are promised, and no other.
func (r *recipe) cook(ctx context.Context, root, scratch string, stages []*stage) error {
	source := filepath.Join(home(root), r.dir)
	installed, err := r.kit.install(ctx, source)
	if err != nil {
		return err
	}
	rec := &recording{Versions: make(map[string]string)}
	for _, s := range stages {
		// A copy, since some tools write beside what they run.
		work := filepath.Join(scratch, r.name+"-"+s.Kind().String())
		if err := os.CopyFS(work, os.DirFS(source)); err != nil {
			return fmt.Errorf("copy the program: %w", err)
		}
		from, err := s.set(ctx)
		if err != nil {
			return err
		}
		cmd, err := r.kit.command(ctx, installed, work, r.args)
		if err != nil {
			return err
		}
		sent, said, err := s.watch(cmd)
		if err != nil {
			const most = 2000
			return fmt.Errorf("on %s: %w: %s", s.Kind(), err, said[:min(len(said), most)])
		}
		for line := range strings.Lines(said) {
			if name, version, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
				rec.Versions[name] = version
			}
		}
		if rec.Versions[s.Kind().String()], err = servers.Version(s.Kind()); err != nil {
			return err
		}
		sent = slices.DeleteFunc(sent, func(t statement) bool { return !writes(t.Text) })
		texts, err := s.texts(ctx, from)
		if err != nil {
			return err
		}
		if len(texts) != len(sent) {
			return fmt.Errorf("on %s %d writes were sent, and %d logged: %+v, %q", s.Kind(), len(sent), len(texts), sent, texts)
		}
		for i := range sent {
			sent[i].Logged = texts[i]
		}
		if s.Kind() == servers.KindMySQL {
			rec.MySQL = sent
		} else {
			rec.MariaDB = sent
		}
		keys, err := s.keys(ctx, from)
		if err != nil {
			return err
		}
		if want := r.promised(); !slices.Equal(keys, want) {
			return fmt.Errorf("on %s the keys are %q, promised are %q; sent was %+v", s.Kind(), keys, want, sent)
		}
	}
	return rec.save(home(root), r.name)
}

// watch runs a program and gives the statements that it sent, and what it said.
func (s *stage) watch(cmd *exec.Cmd) (sent []statement, said string, err error) {
	r, err := record(s.Addr())
	if err != nil {
		return nil, "", err
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, fmt.Sprintf("RECIPE_PORT=%d", r.port()), "RECIPE_SERVER="+s.Kind().Name())
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Run()
	sent, broken := r.close()
	return sent, out.String(), errors.Join(err, broken)
}
