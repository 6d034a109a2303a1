package servers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
)

// Kind names a server program. The zero value names none.
type Kind uint8

// The kinds of server that can be had.
const (
	_ Kind = iota
	KindMySQL
	KindMariaDB
	KindMemcached    // memcached 1.6 of today, with its proxy
	KindMemcachedOld // memcached 1.6.18, as Debian 12 has it: no proxy
)

// kinds says what each Kind is called and where it lives.
var kinds = [...]struct {
	name    string // for people
	root    *root
	program string // below the root
}{
	KindMySQL:        {"MySQL", &sid, "usr/sbin/mysqld"},
	KindMariaDB:      {"MariaDB", &bookworm, "usr/sbin/mariadbd"},
	KindMemcached:    {"memcached with its proxy", &sid, "usr/bin/memcached"},
	KindMemcachedOld: {"memcached 1.6.18", &bookworm, "usr/bin/memcached"},
}

// String is the kind's name for people, "MySQL" for example.
func (k Kind) String() string {
	if int(k) >= len(kinds) || kinds[k].root == nil {
		return fmt.Sprintf("Kind(%d)", k)
	}
	return kinds[k].name
}

// Name is the kind as URLs and names of tests have it: "mysql", "mariadb".
func (k Kind) Name() string { return strings.ToLower(k.String()) }

// root is a folder that holds programs of one Debian suite with everything they
// link to, down to the C library, so that they run on whatever this system is.
type root struct {
	suite    string
	packages []string
	kinds    []Kind // what lives here
}

var (
	// bookworm is Debian 12.
	bookworm = root{"bookworm", []string{"mariadb-server", "memcached"}, []Kind{KindMariaDB, KindMemcachedOld}}
	// sid is Debian unstable: nothing else has MySQL. Its versions move, and the
	// one that is there at the time of the installation is taken.
	sid = root{"sid", []string{"mysql-server-core", "mysql-client-core", "memcached"}, []Kind{KindMySQL, KindMemcached}}
)

// versionsFile is in every finished root: a line for each of its kinds, with what
// the program itself says its version is.
const versionsFile = "VERSIONS"

// Dir is the folder that holds the installed programs and what is derived from
// them: $MCSQUEAL_SERVERS or, without it, mcsqueal/servers in the user's cache
// folder. It need not exist. It may be deleted at any time that no server runs.
func Dir() (string, error) {
	if dir := os.Getenv("MCSQUEAL_SERVERS"); dir != "" {
		return filepath.Abs(dir)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for the servers: %w; set MCSQUEAL_SERVERS to one", err)
	}
	return filepath.Join(cache, "mcsqueal", "servers"), nil
}

// dir is where the root is, or will be, below the folder of all.
func (r *root) dir(base string) string { return filepath.Join(base, "debian-"+r.suite) }

// versions reads what an installed root holds; the error is fs.ErrNotExist where
// the root is not installed. A root is there whole or not at all: see Install.
func (r *root) versions(base string) (map[Kind]string, error) {
	text, err := os.ReadFile(filepath.Join(r.dir(base), versionsFile))
	if err != nil {
		return nil, err
	}
	versions := make(map[Kind]string)
	for line := range strings.Lines(string(text)) {
		for _, k := range r.kinds {
			if v, ok := strings.CutPrefix(line, kinds[k].program+"\t"); ok {
				versions[k] = strings.TrimSuffix(v, "\n")
			}
		}
	}
	return versions, nil
}

// Version is what the installed program says of itself, "9.7.4-2" for example.
// Where it is not installed, the error says how to install it.
func Version(k Kind) (string, error) {
	base, err := Dir()
	if err != nil {
		return "", err
	}
	versions, err := kinds[k].root.versions(base)
	if errors.Is(err, fs.ErrNotExist) {
		return "", Missing(k)
	}
	if err != nil {
		return "", fmt.Errorf("read the version of %s: %w", k, err)
	}
	if versions[k] == "" {
		return "", fmt.Errorf("%s in %s is damaged: delete that folder and run `make servers`", k, kinds[k].root.dir(base))
	}
	return versions[k], nil
}

// MissingError says that servers are not installed, and what to run.
type MissingError struct {
	Kinds []Kind
	Dir   string
}

func (e *MissingError) Error() string {
	names := make([]string, len(e.Kinds))
	for i, k := range e.Kinds {
		names[i] = k.String()
	}
	verb := "is"
	if len(names) > 1 {
		verb = "are"
	}
	return fmt.Sprintf("%s %s not installed in %s: run `make servers` on Debian (needs apt-get and Debian's archive, not root)",
		strings.Join(names, ", "), verb, e.Dir)
}

// Missing reports those kinds that are not installed as a *MissingError, or nil
// when all are there. It looks at two small files and starts nothing.
func Missing(want ...Kind) error {
	base, err := Dir()
	if err != nil {
		return err
	}
	var missing []Kind
	for _, k := range want {
		if _, err := kinds[k].root.versions(base); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, k)
		} else if err != nil {
			return fmt.Errorf("look for %s: %w", k, err)
		}
	}
	if missing != nil {
		return &MissingError{Kinds: missing, Dir: base}
	}
	return nil
}

// Command prepares a client program from the same folder as k, such as
// "mysqlbinlog" beside [KindMySQL] or "mariadb-binlog" beside [KindMariaDB]. It
// runs with that folder's libraries. Where k is not installed the error says how
// to install it; a program that is not there is fs.ErrNotExist.
func Command(ctx context.Context, k Kind, program string, args ...string) (*exec.Cmd, error) {
	if err := Missing(k); err != nil {
		return nil, err
	}
	base, err := Dir()
	if err != nil {
		return nil, err
	}
	dir := kinds[k].root.dir(base)
	for _, bin := range []string{"usr/bin", "usr/sbin"} {
		path := filepath.Join(dir, bin, program)
		if _, err := os.Stat(path); err == nil {
			return loaded(ctx, dir, path, args...)
		}
	}
	return nil, fmt.Errorf("find %s beside %s in %s: %w", program, k, dir, fs.ErrNotExist)
}

// loaded prepares path, a program below dir, to be run by dir's own loader with
// dir's own libraries: they are another age than the system's.
func loaded(ctx context.Context, dir, path string, args ...string) (*exec.Cmd, error) {
	loader, libraries, err := loader(dir)
	if err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, loader, append([]string{"--library-path", libraries, path}, args...)...), nil
}

// loader finds the dynamic loader and the library path below dir. Older suites
// have the C library in /lib, newer ones in /usr/lib.
func loader(dir string) (loader, libraries string, err error) {
	var loaders, folders []string
	for _, lib := range []string{"lib", "usr/lib"} {
		pattern := filepath.Join(dir, lib, "*-linux-gnu*")
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", "", fmt.Errorf("look for libraries in %s: %w", pattern, err)
		}
		folders = append(folders, found...)
		for _, f := range found {
			l, err := filepath.Glob(filepath.Join(f, "ld-linux*.so.*"))
			if err != nil {
				return "", "", fmt.Errorf("look for the loader in %s: %w", f, err)
			}
			loaders = append(loaders, l...)
		}
	}
	if loaders == nil {
		return "", "", fmt.Errorf("no loader (ld-linux*.so.*) below %s: delete that folder and run `make servers`", dir)
	}
	sort.Strings(loaders)
	return loaders[0], strings.Join(folders, ":"), nil
}
