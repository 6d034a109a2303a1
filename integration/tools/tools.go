package tools

import (
	"archive/zip"
	"bytes"
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
	"sync"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// Repository is the folder that the module is in.
func Repository(ctx context.Context) (string, error) {
	said, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("ask go where the module is: %w", err)
	}
	return strings.TrimSpace(string(said)), nil
}

// programs are where Go has built the commands.
var programs = struct {
	sync.Mutex
	paths map[string]string // by name; guarded
}{paths: make(map[string]string)}

// Go prepares a command that tools/deploy/go.mod pins: "helm" or "kubeconform". Go
// builds it at its first use and keeps it in its cache. It runs in the repository.
func Go(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	root, err := Repository(ctx)
	if err != nil {
		return nil, err
	}
	programs.Lock()
	defer programs.Unlock()
	path, ok := programs.paths[name]
	if !ok {
		ask := exec.CommandContext(ctx, "go", "tool", "-n", "-modfile=tools/deploy/go.mod", name)
		ask.Dir = root
		said, err := ask.Output()
		if ended := (*exec.ExitError)(nil); errors.As(err, &ended) {
			return nil, fmt.Errorf("build %s: %w: %s", name, err, bytes.TrimSpace(ended.Stderr))
		}
		if err != nil {
			return nil, fmt.Errorf("build %s: %w", name, err)
		}
		path = strings.TrimSpace(string(said))
		programs.paths[name] = path
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = root
	return cmd, nil
}

// Unpacked is the folder that has a package of Debian's, with all it depends on.
func Unpacked(ctx context.Context, suite string, packages ...string) (string, error) {
	base, err := servers.Dir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, "tools-"+suite+"-"+strings.Join(packages, "-"))
	return dir, servers.Unpack(ctx, suite, packages, dir, io.Discard)
}

// Prometheus prepares "prometheus" or "promtool". They are Debian unstable's: Debian
// 12's is from before native histograms.
func Prometheus(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	dir, err := Unpacked(ctx, "sid", "prometheus")
	if err != nil {
		return nil, err
	}
	return servers.CommandIn(ctx, dir, filepath.Join("usr/bin", name), args...)
}

// Buildah is a folder with buildah and a shell that needs nothing, of Debian 12.
func Buildah(ctx context.Context) (string, error) {
	return Unpacked(ctx, "bookworm", "buildah", "busybox-static")
}

// The Python package that has the schemas which the Kubernetes API server publishes.
const (
	schemasPackage = "kubernetes-validate==1.37.0"
	schemasSHA256  = "85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9"
)

// Versions are those of Kubernetes whose schemas there are: the oldest that the chart
// is for, and the newest there is.
var Versions = []string{"1.30.0", "1.37.0"}

// Schemas is a template for kubeconform's -schema-location. They are fetched once.
func Schemas(ctx context.Context) (string, error) {
	base, err := servers.Dir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, "tools-"+schemasPackage)
	location := dir + "/{{.NormalizedKubernetesVersion}}-local{{.StrictSuffix}}/{{.ResourceKind}}{{.KindSuffix}}.json"
	if _, err := os.Stat(dir); err == nil {
		return location, nil
	}
	if err := os.MkdirAll(base, 0o755); err != nil {
		return "", fmt.Errorf("make the tools' folder: %w", err)
	}
	work, err := os.MkdirTemp(base, "schemas-")
	if err != nil {
		return "", fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(work) // what is in it has been moved
	cmd := exec.CommandContext(ctx, "python3", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", work, schemasPackage)
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetch Kubernetes' schemas with pip (python3-pip): %w: %s", err, bytes.TrimSpace(said))
	}
	wheels, err := filepath.Glob(filepath.Join(work, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return "", fmt.Errorf("pip brought %d packages for %s, want one (%w)", len(wheels), schemasPackage, err)
	}
	tree := filepath.Join(work, "tree")
	if err := unzip(wheels[0], tree); err != nil {
		return "", fmt.Errorf("unpack %s: %w", schemasPackage, err)
	}
	if err := os.Rename(tree, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, there := os.Stat(dir); there != nil { // another was quicker
			return "", fmt.Errorf("keep Kubernetes' schemas: %w", err)
		}
	}
	return location, nil
}

// unzip takes the schemas of Versions out of the package, and makes their references to
// one another relative.
func unzip(wheel, tree string) error {
	data, err := os.ReadFile(wheel)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != schemasSHA256 {
		return fmt.Errorf("its SHA-256 is %x, want %s", sum, schemasSHA256)
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	for _, f := range z.File {
		_, name, _ := strings.Cut(f.Name, "/kubernetes-json-schema/")
		version, file, ok := strings.Cut(name, "/")
		if !ok || strings.Contains(file, "/") || !wanted(version) {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return err
		}
		text, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return err
		}
		// They are where they lie, and so is what they refer to.
		text = bytes.ReplaceAll(text, []byte(`"$id": "`), []byte(`"$comment": "`))
		text = bytes.ReplaceAll(text, []byte(`"/api/_definitions.json#`), []byte(`"_definitions.json#`))
		if err := os.MkdirAll(filepath.Join(tree, version), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(tree, version, file), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func wanted(folder string) bool {
	for _, v := range Versions {
		if folder == "v"+v+"-local-strict" {
			return true
		}
	}
	return false
}

// Install gets everything ahead of its first use.
func Install(ctx context.Context, out io.Writer) error {
	var errs []error
	for name, get := range map[string]func() error{
		"buildah":             func() error { _, err := Buildah(ctx); return err },
		"Kubernetes' schemas": func() error { _, err := Schemas(ctx); return err },
		"Prometheus": func() error {
			cmd, err := Prometheus(ctx, "promtool", "--version")
			return runs(cmd, err)
		},
		"helm":        func() error { cmd, err := Go(ctx, "helm", "version"); return runs(cmd, err) },
		"kubeconform": func() error { cmd, err := Go(ctx, "kubeconform", "-v"); return runs(cmd, err) },
	} {
		if err := get(); err != nil {
			errs = append(errs, fmt.Errorf("%s cannot be had: %w", name, err))
			continue
		}
		fmt.Fprintf(out, "%s: there\n", name)
	}
	return errors.Join(errs...)
}

func runs(cmd *exec.Cmd, err error) error {
	if err != nil {
		return err
	}
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(said))
	}
	return nil
}
