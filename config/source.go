package config

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// Source is the server whose log is read. With neither URL nor URLs there is none.
type Source struct {
	// URL names the server; URLs name several to fail over between, the first that
	// has the position being taken. At most one of the two is given; All reads both.
	URL  SourceURL   `yaml:"url,omitempty" env:"expanded"`
	URLs []SourceURL `yaml:"urls,omitempty" env:"expanded"`
	// PasswordFile holds the password, a newline at its end not counted. Empty: the
	// password is in the environment, or there is none.
	PasswordFile string `yaml:"password_file" env:"expanded"`
	// TLS secures every connection to the source, those for the log and those for
	// queries alike.
	TLS TLS `yaml:"tls"`
	// ServerID is what a dump connection calls itself; no other replica of the server
	// may have it. Default 0: derived from the host's name and StateDir.
	ServerID uint32 `yaml:"server_id"`
	// FailoverWait is how long the position is looked for among URLs before its
	// absence is a gap. Default 30s.
	FailoverWait time.Duration `yaml:"failover_wait"`
}

// All is URL or URLs, whichever is given; empty when there is no source.
func (s Source) All() []SourceURL {
	if !s.URL.IsZero() {
		return []SourceURL{s.URL}
	}
	return s.URLs
}

// PasswordVariable is the environment variable the password may be in.
const PasswordVariable = "MCSQUEAL_PASSWORD"

// Password is the password of the source's user: what getenv says of
// PasswordVariable, else what PasswordFile holds, else none. One newline at the
// file's end belongs to the file.
func (s Source) Password(getenv func(string) string) (string, error) {
	if password := getenv(PasswordVariable); password != "" {
		return password, nil
	}
	if s.PasswordFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(s.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("read the source's password: %w", err)
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if password == "" {
		return "", fmt.Errorf("read the source's password: %s is empty; write the password into it, or name no password_file if there is none", s.PasswordFile)
	}
	return password, nil
}

// PasswordFrom says where Password finds it, for error messages; empty where nowhere.
func (s Source) PasswordFrom(getenv func(string) string) string {
	switch {
	case getenv(PasswordVariable) != "" && s.PasswordFile != "":
		return PasswordVariable + ", which goes before password_file"
	case getenv(PasswordVariable) != "":
		return PasswordVariable
	case s.PasswordFile != "":
		return "password_file " + s.PasswordFile
	}
	return ""
}
