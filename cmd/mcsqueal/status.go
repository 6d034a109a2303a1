package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcsqueal/mcsqueal/admin"
	"github.com/mcsqueal/mcsqueal/config"
)

// watchEvery is how often --watch asks.
const watchEvery = time.Second

// statusCommand is what the flags of status say.
type statusCommand struct {
	env                                environment
	address, configFile, tokenFile, ca string
	cert, key, serverName              string
	watch, asJSON                      bool
	lookUp                             string
	client                             *http.Client
	base, token                        string
}

func newStatusCommand(env environment) *cobra.Command {
	s := &statusCommand{env: env}
	cmd := &cobra.Command{
		Use:   "status [--admin HOST:PORT] [--watch]",
		Short: "Say what the running daemon is at, or what became of a key",
		Long: `status asks a running daemon what it is at: the source, and for each cluster how late
it is, how fast, what is wrong and what to do. With --key it asks what became of a key.

The token, if the daemon asks for one, is taken from the environment variable
` + config.TokenVariable + ` or from --token-file, never from a flag.

It exits with 0 if all is well, with 1 if not, or if the daemon does not answer.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&s.address, "admin", "", "`HOST:PORT` of the daemon's admin listener, with https:// before it if it speaks that (default 127.0.0.1:9470, or what --config says)")
	f.StringVar(&s.configFile, "config", "", "the daemon's configuration `file`, for its admin settings")
	f.StringVar(&s.tokenFile, "token-file", "", "`file` that holds the token")
	f.StringVar(&s.ca, "ca", "", "PEM `file` of the authorities to trust instead of the system's; for https")
	f.StringVar(&s.cert, "cert", "", "PEM `file` of a client's certificate, where the daemon asks for one")
	f.StringVar(&s.key, "cert-key", "", "PEM `file` of its private key")
	f.StringVar(&s.serverName, "server-name", "", "`name` that the daemon's certificate must bear instead of the host")
	f.BoolVar(&s.watch, "watch", false, "ask every second, until told to stop")
	f.BoolVar(&s.asJSON, "json", false, "print what the daemon answers, as JSON")
	f.StringVar(&s.lookUp, "key", "", "ask what became of this `key`, written as in a tag")
	return cmd
}

// errNotWell: the daemon has said what is wrong.
var errNotWell = errors.New("not all is well")

func (s *statusCommand) run(ctx context.Context) error {
	if s.watch && s.lookUp != "" {
		return usagef("--watch has nothing to watch with --key; leave one of them out")
	}
	if err := s.connect(); err != nil {
		return err
	}
	switch {
	case s.lookUp != "":
		return s.printKey(ctx)
	case s.watch:
		return s.watchOn(ctx)
	}
	text, status, err := s.ask(ctx)
	if err != nil {
		return err
	}
	if s.asJSON {
		_, err = s.env.stdout.Write(text)
	} else {
		_, err = io.WriteString(s.env.stdout, statusTable(&status))
	}
	if err == nil && (!status.Ready || status.Trouble()) {
		err = errNotWell
	}
	return err
}

// ask asks once.
func (s *statusCommand) ask(ctx context.Context) (text []byte, status admin.Status, err error) {
	if text, err = s.get(ctx, "/api/status"); err != nil {
		return nil, status, err
	}
	if err := json.Unmarshal(text, &status); err != nil {
		return nil, status, fmt.Errorf("ask %s what it is at: it answered something else: %w", s.base, err)
	}
	return text, status, nil
}

// watchOn prints what the daemon is at again and again: on a terminal over what was
// there, else one below the other.
func (s *statusCommand) watchOn(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	terminal := onTerminal(s.env.stdout)
	for {
		text, status, err := s.ask(ctx)
		var out string
		switch {
		case ctx.Err() != nil:
			return nil // told to stop
		case err != nil:
			// It may come again: a daemon that is being restarted is what one watches.
			out = fmt.Sprintf("%s  %v\n", time.Now().Format(time.TimeOnly), err)
		case s.asJSON:
			out = string(text)
		default:
			out = statusTable(&status)
		}
		if terminal && !s.asJSON {
			out = "\x1b[H\x1b[2J" + out
		} else if !s.asJSON {
			out += "\n"
		}
		if _, err := io.WriteString(s.env.stdout, out); err != nil {
			return fmt.Errorf("print the status: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// printKey prints what became of a key.
func (s *statusCommand) printKey(ctx context.Context) error {
	text, err := s.get(ctx, "/api/keys?key="+url.QueryEscape(s.lookUp))
	if err != nil {
		return err
	}
	if s.asJSON {
		_, err := s.env.stdout.Write(text)
		return err
	}
	var m admin.Memory
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("ask %s for a key: it answered something else: %w", s.base, err)
	}
	_, err = io.WriteString(s.env.stdout, keyTable(s.lookUp, &m))
	return err
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 16 << 20

// get asks for a path.
func (s *statusCommand) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path, nil)
	if err != nil {
		return nil, usagef("--admin: %w", err)
	}
	if s.token != "" {
		request.Header.Set("Authorization", "Bearer "+s.token)
	}
	answer, err := s.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon at %s: %w; %s", s.base, errors.Unwrap(err), askedWrongly(err))
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("ask the daemon at %s: %w", s.base, err)
	}
	switch {
	case answer.StatusCode == http.StatusUnauthorized && s.token == "":
		return nil, fmt.Errorf("the daemon at %s asks for a token: put it into the environment variable %s, or name its file with --token-file", s.base, config.TokenVariable)
	case answer.StatusCode == http.StatusUnauthorized:
		return nil, fmt.Errorf("the daemon at %s does not know this token", s.base)
	case answer.StatusCode == http.StatusBadRequest && strings.Contains(string(text), "HTTPS server"):
		return nil, fmt.Errorf("the daemon at %s speaks TLS: write https://, with --ca the file of its authority, or name its configuration with --config", s.base)
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the daemon at %s answered %s: %s", s.base, answer.Status, strings.TrimSpace(string(text)))
	}
	return text, nil
}

// askedWrongly is what may mend a request that had no answer.
func askedWrongly(err error) string {
	switch {
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return "with --ca the file of its authority, with --server-name the name in its certificate; --config, with the daemon's configuration, does for both"
	case errors.Is(err, http.ErrSchemeMismatch):
		return "it does not speak TLS: write http://"
	}
	return "does it run, and is this its admin.listen?"
}

// connect works out where the daemon is, and how it is spoken to.
func (s *statusCommand) connect() error {
	c := config.Default()
	if s.configFile != "" {
		var err error
		if c, err = config.Load(s.configFile, s.env.getenv); err != nil {
			return usageError{err}
		}
		if err := c.Validate(); err != nil {
			return err
		}
		if c.Admin.Listen == "" && s.address == "" {
			return usagef("%s: admin.listen is empty: this daemon has no admin listener to ask", s.configFile)
		}
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.serverName}
	scheme, address, ok := strings.Cut(s.address, "://")
	switch {
	case ok && scheme != "http" && scheme != "https":
		return usagef("--admin %s: write HOST:PORT, or https:// before it", s.address)
	case ok:
	case s.address != "":
		scheme, address = "http", s.address
		if s.ca != "" || s.cert != "" || c.Admin.TLS.Cert != "" {
			scheme = "https"
		}
	default:
		scheme, address = "http", reachable(c.Admin.Listen)
		if c.Admin.TLS.Cert != "" {
			scheme = "https"
			if err := s.trust(secure, c.Admin.TLS.Cert); err != nil {
				return err
			}
		}
	}
	if s.ca != "" {
		pem, err := os.ReadFile(s.ca)
		if err != nil {
			return usagef("--ca: %w", err)
		}
		secure.RootCAs = x509.NewCertPool()
		if !secure.RootCAs.AppendCertsFromPEM(pem) {
			return usagef("--ca: %s holds no certificate in PEM form", s.ca)
		}
	}
	if s.cert != "" {
		pair, err := tls.LoadX509KeyPair(s.cert, s.key)
		if err != nil {
			return usagef("--cert: %w", err)
		}
		secure.Certificates = []tls.Certificate{pair}
	}
	if s.tokenFile == "" {
		s.tokenFile = c.Admin.TokenFile
	}
	var err error
	if s.token, err = config.TokenFrom(s.env.getenv, s.tokenFile); err != nil {
		return usageError{err}
	}
	s.base = scheme + "://" + strings.TrimSuffix(address, "/")
	s.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: secure}}
	return nil
}

// reachable is where a listener on this machine can be reached.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// trust has the daemon on this machine be who the certificate in its configuration says,
// and nobody else, whoever vouches for it and by whatever name it is reached.
func (s *statusCommand) trust(secure *tls.Config, file string) error {
	pem, err := os.ReadFile(file)
	if err != nil {
		return usagef("read the daemon's certificate: %w; or name the daemon with --admin, and its authority with --ca", err)
	}
	secure.RootCAs = x509.NewCertPool()
	if !secure.RootCAs.AppendCertsFromPEM(pem) {
		return usagef("read the daemon's certificate: %s holds none in PEM form", file)
	}
	block, err := firstCertificate(pem)
	if err != nil {
		return usagef("read the daemon's certificate %s: %w", file, err)
	}
	if s.serverName == "" && len(block.DNSNames) > 0 {
		secure.ServerName = block.DNSNames[0]
	}
	return nil
}
