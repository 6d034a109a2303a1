package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Required says whether a missing server is a failure rather than a reason to
// skip: MCSQUEAL_REQUIRE_SERVERS=1.
func Required() bool { return os.Getenv("MCSQUEAL_REQUIRE_SERVERS") == "1" }

// Install unpacks whatever is missing into [Dir] and says on out what it does and,
// at the end, which versions are there. It asks the archive that this machine's
// own apt is configured for (or MCSQUEAL_DEBIAN_MIRROR, the archive's address),
// under apt's own signatures, and changes nothing of the system.
//
// A root appears by one rename when its programs have been seen to run, so an
// interrupted installation is done again; a second Install at the same time waits
// for the first. If one root fails the others are installed all the same, and the
// error says what is missing.
func Install(ctx context.Context, out io.Writer) error {
	base, err := Dir()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(base, 0o755); err != nil {
		return fmt.Errorf("make the servers' folder: %w; set MCSQUEAL_SERVERS to one that can be written", err)
	}
	unlock, err := lock(ctx, filepath.Join(base, "lock"))
	if err != nil {
		return err
	}
	defer unlock()

	var failed []error
	for _, r := range []*root{&bookworm, &sid} {
		if _, err := r.versions(base); errors.Is(err, fs.ErrNotExist) {
			err = r.install(ctx, base, out)
			if err != nil {
				failed = append(failed, fmt.Errorf("%s could not be installed: %w", r.names(), err))
			}
		} else if err != nil {
			failed = append(failed, fmt.Errorf("look for %s: %w", r.names(), err))
		}
	}
	for k := KindMySQL; int(k) < len(kinds); k++ {
		version, err := Version(k)
		if err != nil {
			fmt.Fprintf(out, "%-26s missing\n", k)
			continue
		}
		if k == KindMySQL || k == KindMariaDB {
			// Made here, so that the first test need not wait for it.
			if _, err := template(ctx, k, out); err != nil {
				failed = append(failed, err)
				continue
			}
		}
		fmt.Fprintf(out, "%-26s %s\n", k, version)
	}
	if err := installChromium(ctx, base, out); err != nil {
		failed = append(failed, fmt.Errorf("Chromium, for the status page, could not be installed: %w", err))
	} else {
		fmt.Fprintf(out, "%-26s for the status page\n", "Chromium")
	}
	fmt.Fprintf(out, "in %s\n", base)
	return errors.Join(failed...)
}

// names lists for people what lives in the root.
func (r *root) names() string {
	var names []string
	for _, k := range r.kinds {
		names = append(names, k.String())
	}
	return strings.Join(names, " and ")
}

// install makes the root. The caller holds the lock, so what is left of an earlier
// attempt belongs to nobody.
func (r *root) install(ctx context.Context, base string, out io.Writer) error {
	work := r.dir(base) + ".partial"
	if err := os.RemoveAll(work); err != nil {
		return fmt.Errorf("remove an unfinished installation: %w", err)
	}
	defer os.RemoveAll(work) // what cannot be removed now is removed by the next
	tree := filepath.Join(work, "tree")
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	if err := unpack(ctx, r.suite, r.packages, filepath.Join(work, "apt"), tree, out); err != nil {
		return err
	}
	if err := r.finish(ctx, tree); err != nil {
		return err
	}
	// Without its versions, what may be there is not a root.
	if err := os.RemoveAll(r.dir(base)); err != nil {
		return fmt.Errorf("remove a damaged installation: %w", err)
	}
	return settle(tree, r.dir(base))
}

var version = regexp.MustCompile(`(?:Ver |memcached )(\S+)`)

// finish sees each program run and writes down what it says of its version.
func (r *root) finish(ctx context.Context, tree string) error {
	var versions strings.Builder
	for _, k := range r.kinds {
		args := []string{"--version"}
		if k == KindMySQL || k == KindMariaDB {
			args = []string{"--no-defaults", "--version"} // must be the first
		}
		cmd, err := loaded(ctx, tree, filepath.Join(tree, kinds[k].program), args...)
		if err != nil {
			return err
		}
		said, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("run %s: %w: %s", kinds[k].program, err, bytes.TrimSpace(said))
		}
		found := version.FindSubmatch(said)
		if found == nil {
			return fmt.Errorf("ask %s for its version: it said %q", kinds[k].program, said)
		}
		fmt.Fprintf(&versions, "%s\t%s\n", kinds[k].program, found[1])
	}
	if err := os.WriteFile(filepath.Join(tree, versionsFile), []byte(versions.String()), 0o644); err != nil {
		return fmt.Errorf("write down the versions: %w", err)
	}
	return nil
}

// apt is apt-get with a state of its own: another suite, an empty list of installed
// packages (so that every library comes along), and none of the system's hooks.
type apt struct {
	config   string // file
	archives string // folder
	mirror   string
}

func newApt(ctx context.Context, dir, suite string) (*apt, error) {
	for _, tool := range []string{"apt-get", "dpkg", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%s is missing: the servers come from Debian's archive, so this needs Debian or a system like it", tool)
		}
	}
	mirror, key, err := archive(ctx)
	if err != nil {
		return nil, err
	}
	architecture, err := exec.CommandContext(ctx, "dpkg", "--print-architecture").Output()
	if err != nil {
		return nil, fmt.Errorf("ask dpkg for the architecture: %w", err)
	}
	a := &apt{config: filepath.Join(dir, "apt.conf"), archives: filepath.Join(dir, "archives"), mirror: mirror.Redacted()}
	for _, d := range []string{filepath.Join(dir, "lists", "partial"), filepath.Join(a.archives, "partial")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("make a folder for apt: %w", err)
		}
	}
	if key != "" {
		key = "signed-by=" + key + " "
	}
	files := map[string]string{
		"status": "",
		"sources.list": fmt.Sprintf("deb [%sarch=%s target=Packages] %s %s main\n",
			key, bytes.TrimSpace(architecture), mirror, suite),
		"apt.conf": fmt.Sprintf(`
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
Dir::Etc::sourcelist "%[1]s/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "%[1]s";
Dir::State::lists "%[1]s/lists";
Dir::State::status "%[1]s/status";
Dir::State::extended_states "%[1]s/extended_states";
Dir::Cache "%[1]s";
Dir::Cache::archives "%[1]s/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Log "%[1]s";
APT::Sandbox::User "";
APT::Default-Release "";
APT::Install-Recommends "false";
Acquire::Retries "3";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
`, dir),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("write apt's configuration: %w", err)
		}
	}
	return a, nil
}

// run runs apt-get. Its own words are in the error.
func (a *apt) run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"--quiet=2", "--assume-yes"}, args...)...)
	cmd.Env = append(os.Environ(), "APT_CONFIG="+a.config, "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	if err := run(cmd); err != nil {
		return fmt.Errorf("apt-get %s from %s: %w; check the network and what apt is configured for, then run `make servers` again", args[0], a.mirror, err)
	}
	return nil
}

// download fetches the packages and all they depend on.
func (a *apt) download(ctx context.Context, packages []string) ([]string, error) {
	if err := a.run(ctx, append([]string{"install", "--download-only"}, packages...)...); err != nil {
		return nil, err
	}
	debs, err := filepath.Glob(filepath.Join(a.archives, "*.deb"))
	if err != nil {
		return nil, fmt.Errorf("list the packages: %w", err)
	}
	if len(debs) == 0 {
		return nil, fmt.Errorf("apt-get brought no packages for %s", strings.Join(packages, " "))
	}
	return debs, nil
}

// archive says where this machine gets Debian from and which key signs it ("" is
// apt's own choice).
func archive(ctx context.Context) (*url.URL, string, error) {
	const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
	key := ""
	if _, err := os.Stat(keyring); err == nil {
		key = keyring
	}
	if mirror := os.Getenv("MCSQUEAL_DEBIAN_MIRROR"); mirror != "" {
		u, err := url.Parse(mirror)
		if err != nil {
			return nil, "", fmt.Errorf("read MCSQUEAL_DEBIAN_MIRROR: %w", err)
		}
		return u, key, nil
	}
	list, err := exec.CommandContext(ctx, "apt-get", "indextargets",
		"--format", "$(REPO_URI)\t$(ORIGIN)\t$(RELEASE)", "Created-By: Packages", "Component: main").Output()
	if err != nil {
		return nil, "", fmt.Errorf("ask apt for its archives: %w", err)
	}
	mirror, err := chooseMirror(string(list))
	return mirror, key, err
}

// chooseMirror takes the archive of a plain suite out of apt's list, a line for
// each index with its address, origin and suite. The security archive has no
// unstable. The origin is unknown before the first `apt-get update`.
func chooseMirror(list string) (*url.URL, error) {
	for _, origin := range []string{"Debian", ""} {
		for line := range strings.Lines(list) {
			f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
			if len(f) != 3 || f[1] != origin || slices.ContainsFunc(
				[]string{"-security", "/updates", "-backports"}, func(s string) bool { return strings.Contains(f[2], s) }) {
				continue
			}
			if u, err := url.Parse(f[0]); err == nil && u.Scheme != "" {
				return u, nil
			}
		}
	}
	return nil, errors.New("apt is not configured for Debian's archive: set MCSQUEAL_DEBIAN_MIRROR to the address of one")
}

// run runs the command and, if it fails, gives the last of what it said.
func run(cmd *exec.Cmd) error {
	said, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if len(said) > 2000 {
		said = said[len(said)-2000:]
	}
	return fmt.Errorf("%w: %s", err, bytes.TrimSpace(said))
}
