package preflight

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/checkpoint"
	"github.com/mcsqueal/mcsqueal/config"
)

// stateCheck looks at the state directory, what is in it, and what else there is on this
// machine.
type stateCheck struct {
	about
	held  bool // a daemon works in it
	saved *checkpoint.Checkpoint
}

// leastSpace is what a checkpoint and some spooled transactions need.
const leastSpace = 64 << 20

func lookAtState(cfg *Config) *stateCheck {
	s := &stateCheck{about: about{name: "state_dir " + cfg.StateDir}}
	if s.directory(cfg.StateDir) {
		s.checkpoint(cfg)
	}
	s.listener(cfg.Config)
	s.guarded(cfg)
	s.secrets(cfg.Config)
	return s
}

// directory says whether a daemon can keep its state there, and tells whether there may be
// some.
func (s *stateCheck) directory(dir string) bool {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		parent := filepath.Dir(dir)
		for {
			if _, err := os.Stat(parent); !errors.Is(err, fs.ErrNotExist) || parent == filepath.Dir(parent) {
				break
			}
			parent = filepath.Dir(parent)
		}
		if err := writable(parent); err != nil {
			s.fail("state_dir", makeDir(dir), "it is not there, and cannot be made: %v", err)
			return true
		}
		s.ok("state_dir", "it is not there yet, and can be made")
		s.space(parent)
		return true
	case err != nil:
		s.fail("state_dir", makeDir(dir), "%v", err)
		return false
	}
	if !info.IsDir() {
		s.fail("state_dir", "state_dir: another, a directory", "it is a file, and no directory")
		return false
	}
	if err := writable(dir); err != nil {
		s.fail("state_dir", makeDir(dir), "it cannot be written to: %v", err)
		return true
	}
	pid, held, err := checkpoint.Holder(dir)
	switch s.held = held; {
	case err != nil:
		s.fail("state_dir", "", "%v", err)
		return true
	case held:
		s.ok("state_dir", "it can be written to; the daemon that works in it is process %d", pid)
	default:
		s.ok("state_dir", "it can be written to")
	}
	s.owners(dir, info)
	s.space(dir)
	return true
}

// owners says whether all in the directory is for whom the directory is: root's own check
// would not notice.
func (s *stateCheck) owners(dir string, around fs.FileInfo) {
	for _, path := range []string{checkpoint.Path(dir), filepath.Join(dir, "lock"), filepath.Join(dir, "xa")} {
		info, err := os.Lstat(path)
		if err != nil {
			continue // it need not be there
		}
		if own, owner := uidOf(info), uidOf(around); own != owner {
			s.warn("state_dir", "chown --reference="+dir+" "+path, "%s belongs to the account %d, and state_dir to %d, which may not be able to use it", path, own, owner)
		}
	}
}

func uidOf(info fs.FileInfo) uint32 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Uid
	}
	return 0
}

func makeDir(dir string) string {
	return fmt.Sprintf("install -d -o mcsqueal -m 750 %s, for the user that runs mcsqueal; or state_dir: another", dir)
}

// writable writes as much as a checkpoint takes, and syncs it.
func writable(dir string) (err error) {
	f, err := os.CreateTemp(dir, ".mcsqueal-check-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if _, err := f.Write(make([]byte, 64<<10)); err != nil {
		return err
	}
	return f.Sync()
}

// space says how much room there is.
func (s *stateCheck) space(dir string) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		s.warn("space", "", "it cannot be found out how much room there is: %v", err)
		return
	}
	free := config.Size(product(fs.Bavail, fs.Bsize))
	unit := config.MiB
	if free >= 10*config.GiB {
		unit = config.GiB
	}
	whole := free / unit * unit
	if free < leastSpace {
		s.warn("space", "room on the disk", "%s are free: a checkpoint that cannot be saved makes the next start repeat deletes, and the keys of prepared XA transactions have to be kept, too", whole)
		return
	}
	s.ok("space", "%s are free", whole)
}

// product multiplies what each system gives as integers of its own.
func product[B, S ~int64 | ~uint64 | ~int32 | ~uint32](blocks B, size S) uint64 {
	return uint64(max(blocks, 0)) * uint64(size)
}

// checkpoint says what was saved, and whether it fits the configuration.
func (s *stateCheck) checkpoint(cfg *Config) {
	saved, err := checkpoint.Read(cfg.StateDir)
	if err != nil {
		s.fail("checkpoint", "restore it from a copy, or move it away and say with start where to begin", "%v", err)
		return
	}
	s.saved = saved
	if len(saved.Clusters) == 0 {
		s.ok("checkpoint", "there is no checkpoint yet")
	}
	for name := range saved.Clusters {
		if slices.ContainsFunc(cfg.Config.Clusters, func(c config.Cluster) bool { return c.Name == name }) {
			continue
		}
		mend := "mcsqueal checkpoint drop --cluster " + name + ", while no daemon runs, if it is gone; if it was renamed, name it so again"
		if slices.Contains(saved.Retired, name) {
			s.warn("checkpoint", mend, "it keeps the place of cluster %s, which was taken out of the configuration by a reload", name)
		} else {
			s.fail("checkpoint", mend, "it has a cluster %s that the configuration lacks", name)
		}
	}
}

// positions says whether the source still has what follows each cluster's place.
func (s *stateCheck) positions(ctx context.Context, cfg *Config) {
	if s.saved == nil {
		return
	}
	live := binlog.NewLive(binlog.LiveConfig{Servers: cfg.Servers, ServerID: freshID()})
	var fresh []string
	for _, c := range cfg.Config.Clusters {
		at, ok := s.saved.Clusters[c.Name]
		if !ok {
			fresh = append(fresh, c.Name)
			continue
		}
		err := live.Verify(ctx, at)
		if err == nil {
			err = purged(ctx, live, at)
		}
		gap := (*binlog.GapError)(nil)
		switch {
		case err == nil:
			s.ok("position", "cluster %s goes on from %s, and the source has what follows", c.Name, at)
		case !errors.As(err, &gap):
			s.warn("position", "", "it cannot be found out whether the source has what follows cluster %s's place: %v", c.Name, err)
		case cfg.Config.OnGap == config.OnGapFlush:
			s.warn("position", "", "cluster %s: %v; at its start its caches are flushed, and it goes on from there", c.Name, err)
		default:
			s.fail("position", "mend the source; or flush its caches and: mcsqueal checkpoint set --cluster "+c.Name+" --to now; or on_gap: flush", "cluster %s: %v", c.Name, err)
		}
	}
	if len(fresh) == 0 {
		return
	}
	// Where new clusters begin is looked up as a start would.
	start, names := cfg.Config.Start, strings.Join(fresh, ", ")
	_, err := live.Resolve(ctx, start)
	if errors.As(err, new(*binlog.SetupError)) {
		// It says nothing of the position.
		says, mend := split(err)
		s.warn("start", mend, "it cannot be found out where %s would begin: %s", names, says)
		return
	}
	if err != nil {
		s.fail("start", "start: now, oldest, or a position that the source has", "start is %s, where %s would begin: %v", start, names, err)
		return
	}
	s.ok("start", "%s would begin at %s", names, start)
}

// purged is a *binlog.GapError where a MariaDB has purged what follows a place: it says so
// to a dump only. What stands in front of its oldest file must have been executed there.
func purged(ctx context.Context, live *binlog.Live, at binlog.Position) error {
	if at.GTIDs.Empty() || at.GTIDs.Flavor() != binlog.MariaDB {
		return nil
	}
	oldest, err := live.Resolve(ctx, binlog.Point{Kind: binlog.PointOldest})
	if err != nil {
		return err
	}
	if missing := at.GTIDs.Missing(oldest.GTIDs); !missing.Empty() {
		return &binlog.GapError{Source: live.Server().Address, Position: at, What: "it has purged log files that are still needed", Missing: missing}
	}
	return nil
}

// listener says whether metrics can be served.
func (s *stateCheck) listener(c *config.Config) {
	if c.Admin.Listen == "" {
		s.ok("admin", "no metrics and no health are served")
		return
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", c.Admin.Listen)
	switch {
	case err == nil:
		_ = l.Close() // nobody has connected
		s.ok("admin", "metrics and health can be served at %s", c.Admin.Listen)
	case s.held:
		s.ok("admin", "%s is in use, by the daemon it seems", c.Admin.Listen)
	case c.Given("admin.listen"):
		s.fail("admin", "admin.listen: another port, or \"\" for none", "metrics and health cannot be served: %v", err)
	default:
		s.warn("admin", "admin.listen: another port, or \"\" for none", "metrics and health cannot be served, and a daemon starts without: %v", err)
	}
}

// secrets says whether others may read the password.
func (s *stateCheck) secrets(c *config.Config) {
	path := c.Source.PasswordFile
	if path == "" {
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		s.fail("password_file", "source.password_file: a file that the user who runs mcsqueal may read", "%v", err)
	case info.Mode().Perm()&0o007 != 0:
		s.warn("password_file", "chmod o= "+path, "everybody on this machine may read %s", path)
	default:
		s.ok("password_file", "%s is for its owner and group alone", path)
	}
}
