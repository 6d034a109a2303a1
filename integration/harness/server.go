package harness

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

const (
	// User is what mcsqueal logs in as: it has the two privileges that it asks for, and
	// no other.
	User = "mcsqueal"
	// Password is the user's.
	Password = "correct horse"
)

// addUser makes the user, with the statements that mcsqueal itself names.
func addUser(ctx context.Context, db *servers.Database) error {
	for _, statement := range []string{
		"CREATE USER '" + User + "'@'%' IDENTIFIED BY '" + Password + "'",
		"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '" + User + "'@'%'",
	} {
		if _, err := db.DB().ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %s: %w", db, statement, err)
		}
	}
	return nil
}

// sharedServer is one that tests use side by side: each writes to a schema and keys of
// its own, changes nothing global, stops nothing and leaves nothing prepared. Who must,
// starts its own.
type sharedServer struct {
	kind servers.Kind
	once sync.Once
	db   *servers.Database
	err  error
}

var shared = []*sharedServer{{kind: servers.KindMySQL}, {kind: servers.KindMariaDB}}

func (s *sharedServer) get(t *testing.T) *Database {
	t.Helper()
	servers.Need(t, s.kind)
	s.once.Do(func() {
		// It outlives the test that happens to be the first.
		ctx := context.Background()
		if s.db, s.err = servers.StartDatabase(ctx, s.kind, servers.Config{}); s.err == nil {
			s.err = addUser(ctx, s.db)
		}
	})
	if s.err != nil {
		t.Fatal(s.err)
	}
	return NewDatabase(t, s.db)
}

func (s *sharedServer) close() error {
	if s.db == nil {
		return nil
	}
	return s.db.Close()
}

// MySQL is the shared MySQL.
func MySQL(t *testing.T) *Database {
	t.Helper()
	return shared[0].get(t)
}

// Each runs a subtest on the shared MySQL and one on the shared MariaDB, side by side.
func Each(t *testing.T, test func(t *testing.T, db *Database)) {
	t.Helper()
	for _, s := range shared {
		t.Run(s.kind.Name(), func(t *testing.T) {
			t.Parallel()
			test(t, s.get(t))
		})
	}
}

// EachKind runs a subtest for each kind of database, side by side, and starts none.
func EachKind(t *testing.T, test func(t *testing.T, kind servers.Kind)) {
	t.Helper()
	for _, s := range shared {
		t.Run(s.kind.Name(), func(t *testing.T) {
			t.Parallel()
			test(t, s.kind)
		})
	}
}

// EachOwn is Each with servers that are the subtest's own, to be stopped and changed.
func EachOwn(t *testing.T, c servers.Config, test func(t *testing.T, db *Database)) {
	t.Helper()
	EachKind(t, func(t *testing.T, kind servers.Kind) { test(t, Own(t, kind, c)) })
}

// Own starts a database that goes with the test.
func Own(t *testing.T, kind servers.Kind, c servers.Config) *Database {
	t.Helper()
	db := servers.Start(t, kind, c)
	if err := addUser(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return NewDatabase(t, db)
}
