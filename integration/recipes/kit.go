package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// kit is what the programs of one language need.
type kit interface {
	// install fetches the libraries that the folder source asks for, unless they are
	// there, and gives the folder they are in. The error is a *missingError where this
	// machine lacks what it takes.
	install(ctx context.Context, source string) (installed string, err error)
	// command prepares a program in the folder work, with those libraries. It finds
	// the database at 127.0.0.1:$RECIPE_PORT, and prints the versions of what had a
	// part in it, a line each: the name, a tab, the version.
	command(ctx context.Context, installed, work string, args []string) (*exec.Cmd, error)
}

// missingError says why a recipe cannot be run here.
type missingError struct{ why string }

func (e *missingError) Error() string { return e.why }

// need fails unless the programs are on the PATH.
func need(programs ...string) error {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			return &missingError{p + " is not on this machine"}
		}
	}
	return nil
}

// fetch makes the folder for what a manifest asks for, once for each text that the
// manifest ever had, by a function that fills it.
func fetch(source, manifest string, fill func(dir string) error) (string, error) {
	text, err := os.ReadFile(filepath.Join(source, manifest))
	if err != nil {
		return "", fmt.Errorf("read what is to be installed: %w", err)
	}
	sum := sha256.Sum256(text)
	dir, err := pantry(filepath.Base(source) + "-" + hex.EncodeToString(sum[:6]))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	work := dir + ".partial"
	if err := errors.Join(os.RemoveAll(work), os.MkdirAll(work, 0o755)); err != nil {
		return "", fmt.Errorf("make a folder: %w", err)
	}
	if err := fill(work); err != nil {
		// A registry that cannot be reached is no fault of the recipe.
		return "", &missingError{fmt.Sprintf("what %s asks for could not be installed: %v", manifest, err)}
	}
	if err := os.Rename(work, dir); err != nil {
		return "", fmt.Errorf("put what is installed in its place: %w", err)
	}
	return dir, nil
}

// pantry is a folder for installed libraries, outside the checkout.
func pantry(name string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for libraries: %w", err)
	}
	return filepath.Join(cache, "mcsqueal", "recipes", name), nil
}

// silently runs a command; what it says is in the error.
func silently(cmd *exec.Cmd) error {
	said, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	const most = 1000
	return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, said[max(0, len(said)-most):])
}

// pythonKit installs requirements.txt.
type pythonKit struct{}

func (pythonKit) install(ctx context.Context, source string) (string, error) {
	if err := need("python3"); err != nil {
		return "", err
	}
	return fetch(source, "requirements.txt", func(dir string) error {
		return silently(exec.CommandContext(ctx, "python3", "-m", "pip", "install", "--quiet", "--no-deps",
			"--target", dir, "--requirement", filepath.Join(source, "requirements.txt")))
	})
}

func (pythonKit) command(ctx context.Context, installed, work string, args []string) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, "python3", args...)
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "PYTHONPATH="+installed)
	return cmd, nil
}

// nodeKit installs package.json. No script of a package is run.
type nodeKit struct{}

func (nodeKit) install(ctx context.Context, source string) (string, error) {
	if err := need("node", "npm"); err != nil {
		return "", err
	}
	return fetch(source, "package.json", func(dir string) error {
		if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
			return fmt.Errorf("copy package.json: %w", err)
		}
		cmd := exec.CommandContext(ctx, "npm", "install", "--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund")
		cmd.Dir = dir
		return silently(cmd)
	})
}

func (nodeKit) command(ctx context.Context, installed, work string, args []string) (*exec.Cmd, error) {
	if err := os.Symlink(filepath.Join(installed, "node_modules"), filepath.Join(work, "node_modules")); err != nil {
		return nil, fmt.Errorf("put the libraries in place: %w", err)
	}
	if _, err := os.Stat(filepath.Join(work, "prepare.sh")); err == nil {
		prepare := exec.CommandContext(ctx, "sh", "prepare.sh")
		prepare.Dir = work
		if err := silently(prepare); err != nil {
			return nil, err
		}
	}
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Dir = work
	return cmd, nil
}

// javaKit installs pom.xml's dependencies, and compiles. The program is a class.
type javaKit struct{}

func (javaKit) install(ctx context.Context, source string) (string, error) {
	if err := need("java", "javac", "mvn"); err != nil {
		return "", err
	}
	return fetch(source, "pom.xml", func(dir string) error {
		return silently(exec.CommandContext(ctx, "mvn", "--quiet", "--batch-mode", "--file", filepath.Join(source, "pom.xml"),
			"dependency:copy-dependencies", "-DoutputDirectory="+dir))
	})
}

func (javaKit) command(ctx context.Context, installed, work string, args []string) (*exec.Cmd, error) {
	path := filepath.Join(installed, "*") + string(filepath.ListSeparator) + work
	compile := exec.CommandContext(ctx, "javac", "-cp", path, "-d", work, args[0]+".java")
	compile.Dir = work
	if err := silently(compile); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "java", append([]string{"-cp", path}, args...)...)
	cmd.Dir = work
	return cmd, nil
}

// goKit builds the folder as a part of this module.
type goKit struct{}

func (goKit) install(_ context.Context, source string) (string, error) { return source, nil }

func (goKit) command(ctx context.Context, installed, work string, args []string) (*exec.Cmd, error) {
	program := filepath.Join(work, "recipe")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	build.Dir = installed
	if err := silently(build); err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, program, args...), nil
}

// clientKit is each server's own client, which reads statements from a file.
type clientKit struct{}

func (clientKit) install(context.Context, string) (string, error) {
	return "", servers.Missing(servers.KindMySQL, servers.KindMariaDB)
}

func (clientKit) command(ctx context.Context, _, work string, args []string) (*exec.Cmd, error) {
	// Which server it is, and the port, are known when the program starts only.
	var script strings.Builder
	script.WriteString("case $RECIPE_SERVER in\n")
	for kind, client := range map[servers.Kind]string{servers.KindMySQL: "mysql", servers.KindMariaDB: "mariadb"} {
		version, err := servers.Version(kind)
		if err != nil {
			return nil, err
		}
		cmd, err := servers.Command(ctx, kind, client, "--no-defaults", "--comments", "--host=127.0.0.1", "--user=root", "--database=shop")
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&script, "%s) printf '%%s\\t%%s\\n' %q %q; exec '%s' --port=$RECIPE_PORT <%s;;\n",
			client, client+" client", version, strings.Join(cmd.Args, "' '"), args[0])
	}
	script.WriteString("esac\n")
	shell := exec.CommandContext(ctx, "sh", "-c", script.String())
	shell.Dir = work
	return shell, nil
}

// debianKit unpacks packages of a Debian suite: what a distribution has, and no
// registry of this machine's.
type debianKit struct{ *language }

// language is one whose libraries are in Debian.
type language struct {
	name     string
	suite    string
	packages []string
	prepare  func(ctx context.Context, tree, work string, args []string) (*exec.Cmd, error)
}

func (k debianKit) install(ctx context.Context, _ string) (string, error) {
	dir, err := pantry(k.name + "-" + k.suite)
	if err != nil {
		return "", err
	}
	if err := servers.Unpack(ctx, k.suite, k.packages, dir, io.Discard); err != nil {
		return "", &missingError{err.Error()}
	}
	return dir, nil
}

func (k debianKit) command(ctx context.Context, installed, work string, args []string) (*exec.Cmd, error) {
	cmd, err := k.prepare(ctx, installed, work, args)
	if err != nil {
		return nil, err
	}
	cmd.Dir = work
	return cmd, nil
}
