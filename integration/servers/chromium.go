package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Browser is a Chromium without a screen, for tests of pages.
type Browser struct {
	Path string   // of the program
	Env  []string // what it needs beside the usual: its libraries and fonts
	// Profile is an empty folder for what it keeps.
	Profile string
}

// chromium is the browser's packages: itself, and a font.
var chromium = []string{"chromium-headless-shell", "fonts-dejavu-core"}

// installChromium unpacks it unless it is there. The caller holds no lock.
func installChromium(ctx context.Context, base string, out io.Writer) error {
	return Unpack(ctx, bookworm.suite, chromium, chromiumDir(base), out)
}

func chromiumDir(base string) string { return filepath.Join(base, "chromium-"+bookworm.suite) }

// libc are the beginnings of the names of the C library's parts: a browser starts itself
// again, with the system's loader, which wants the system's.
var libc = []string{
	"ld-linux", "libc.", "libc_", "libm.", "libmvec", "libpthread", "libdl.", "librt.", "libresolv", "libnss_", "libanl", "libutil", "libnsl",
	"libBroken", "libmemusage", "libpcprofile", "libthread_db",
}

// Chromium prepares the browser for a test. Where it is not installed the test is
// skipped, or fails, as [Need] has it. It needs a system with Debian 12's C library, or
// a newer one.
func Chromium(tb testing.TB) Browser {
	tb.Helper()
	base, err := Dir()
	if err != nil {
		tb.Fatal(err)
	}
	dir := chromiumDir(base)
	b := Browser{Path: filepath.Join(dir, "usr/lib/chromium/chromium-headless-shell")}
	if _, err := os.Stat(b.Path); err != nil {
		if !errors.Is(err, fs.ErrNotExist) || Required() {
			tb.Fatalf("Chromium is not installed: run `make servers` on Debian: %v", err)
		}
		tb.Skip("Chromium is not installed: run `make servers` on Debian")
	}
	// Its children go on writing for a moment when it has ended, so the folder is removed
	// by somebody with patience.
	folder, err := os.MkdirTemp("", "mcsqueal-chromium-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		for range 600 {
			if err = os.RemoveAll(folder); err == nil {
				return
			}
			<-time.After(50 * time.Millisecond)
		}
		tb.Error(err)
	})
	b.Profile = filepath.Join(folder, "profile")
	libraries, err := ownLibraries(dir, folder)
	if err != nil {
		tb.Fatal(err)
	}
	fonts := filepath.Join(folder, "fonts.conf")
	conf := fmt.Sprintf("<?xml version=\"1.0\"?>\n<fontconfig><dir>%s</dir><cachedir>%s</cachedir></fontconfig>\n", filepath.Join(dir, "usr/share/fonts"), filepath.Join(folder, "fonts"))
	if err := os.WriteFile(fonts, []byte(conf), 0o600); err != nil {
		tb.Fatalf("write down where the fonts are: %v", err)
	}
	b.Env = []string{"LD_LIBRARY_PATH=" + libraries, "FONTCONFIG_FILE=" + fonts, "HOME=" + folder}
	return b
}

// ownLibraries makes a folder with links to the libraries below dir that are not the C
// library's.
func ownLibraries(dir, folder string) (path string, err error) {
	links := filepath.Join(folder, "lib")
	if err := os.Mkdir(links, 0o755); err != nil {
		return "", fmt.Errorf("make a folder for libraries: %w", err)
	}
	for _, pattern := range []string{"lib/*-linux-gnu/*.so*", "usr/lib/*-linux-gnu/*.so*", "usr/lib/*-linux-gnu/pulseaudio/*.so*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return "", fmt.Errorf("look for libraries: %w", err)
		}
	libraries:
		for _, library := range found {
			for _, c := range libc {
				if strings.HasPrefix(filepath.Base(library), c) {
					continue libraries
				}
			}
			if err := os.Symlink(library, filepath.Join(links, filepath.Base(library))); err != nil && !errors.Is(err, fs.ErrExist) {
				return "", fmt.Errorf("link a library: %w", err)
			}
		}
	}
	return links, nil
}
