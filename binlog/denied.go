package binlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// Codes of the server's errors (MySQL's "Server Error Message Reference"; MariaDB's are the same).
const (
	errDBAccessDenied    = 1044
	errAccessDenied      = 1045
	errFatalReadingLog   = 1236
	errSpecificDenied    = 1227
	errParse             = 1064
	errNoBinaryLogging   = 1381
	errTableAccessDenied = 1142
)

// sameName is in what servers say to a dump when another calls itself the same, whatever
// the error's code: MySQL's is 1236, MariaDB's 4052.
const sameName = "same server_uuid/server_id"

// errNamesake: another dump is called the same.
var errNamesake = errors.New("two dumps end each other")

const mendLogBin = "log_bin = bin and a server_id in the server's configuration, then a restart"

// grant is the statement that gives an account what reading the log takes.
func grant(account string) string {
	return "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO " + account
}

// quoteAccount writes user@host, as CURRENT_USER() has it, so that it can stand in a
// statement.
func quoteAccount(current string) string {
	at := strings.LastIndexByte(current, '@')
	if at < 0 {
		return quoteString(current)
	}
	return quoteString(current[:at]) + "@" + quoteString(current[at+1:])
}

func quoteString(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// whoIsRefused finds the user and host that a refused login was from.
var whoIsRefused = regexp.MustCompile(`for user '(.*)'@'(.*?)'`)

// explainLogin says what may mend a refused login.
func (c *ServerConfig) explainLogin(err error) error {
	var my *mysql.MyError
	if !errors.As(err, &my) || my.Code != errAccessDenied {
		return err
	}
	what := "the server refuses the login: is the password right? It came from " + c.PasswordFrom
	switch {
	case c.Password == "":
		what = "the server refuses the login, for which no password was given"
	case c.PasswordFrom == "":
		what = "the server refuses the login: is the password right?"
	}
	if c.TLS == nil {
		what += " (an account that requires TLS is refused so, too)"
	}
	account := quoteString(c.User) + "@'%'"
	if m := whoIsRefused.FindStringSubmatch(my.Message); m != nil {
		account = quoteString(c.User) + "@" + quoteString(m[2])
	}
	return &SetupError{Source: c.Address, What: what, Err: err, Mend: fmt.Sprintf(
		"the account's password in MCSQUEAL_PASSWORD or password_file; or, if there is no such account: CREATE USER %s IDENTIFIED BY '…'; %s", account, grant(account))}
}

// Codes by which servers refuse connections for other reasons than the password.
const (
	errTooManyConnections = 1040
	errHostBlocked        = 1129
	errHostNotPrivileged  = 1130
	errUserLimit          = 1226
	errPasswordExpired    = 1862
	errOfflineMode        = 3032
	errAccountLocked      = 3118
	errInsecureTransport  = 3159
	errAccountLockedMaria = 4151
)

// MendConnection is what may mend a server's refusal of a connection, where the refusal is
// in err, and no *SetupError that has its own; otherwise it is empty. Some of them pass by
// themselves, so that a daemon waits.
func MendConnection(err error, user string) string {
	var my *mysql.MyError
	if !errors.As(err, &my) {
		return ""
	}
	account := quoteString(user) + "@'…'"
	switch my.Code {
	case errTooManyConnections:
		return "SET GLOBAL max_connections = …: more than there are now; or fewer clients"
	case errUserLimit:
		return "ALTER USER " + account + " WITH MAX_USER_CONNECTIONS 20: a daemon has a handful, and more while clusters catch up"
	case errHostBlocked:
		return "FLUSH HOSTS, or on MySQL: TRUNCATE TABLE performance_schema.host_cache; what failed so often is in the server's log"
	case errHostNotPrivileged:
		return "CREATE USER " + account + " IDENTIFIED BY '…'; " + grant(account) + ", where … is this machine, or %"
	case errPasswordExpired:
		return "ALTER USER " + account + " IDENTIFIED BY '…' PASSWORD EXPIRE NEVER, and that password in MCSQUEAL_PASSWORD or password_file"
	case errOfflineMode:
		return "SET GLOBAL offline_mode = OFF"
	case errAccountLocked, errAccountLockedMaria:
		return "ALTER USER " + account + " ACCOUNT UNLOCK"
	case errInsecureTransport:
		return "source.tls.mode: verify, with ca: the file of the server's authority"
	}
	return ""
}

// account is who the server takes this connection for, as it stands in a GRANT: that
// need not be the user with any host.
func (s *Server) account(ctx context.Context) string {
	rows, err := s.run(ctx, s.cfg.timeout(), "SELECT CURRENT_USER()")
	if err != nil || len(rows) != 1 || len(rows[0]) != 1 {
		return quoteString(s.cfg.User) + "@'%'"
	}
	return quoteAccount(rows[0][0])
}

// explain adds what mends it to the server's refusal of a statement or command.
func (s *Server) explain(ctx context.Context, err error) error {
	var my *mysql.MyError
	if !errors.As(err, &my) {
		return err
	}
	switch my.Code {
	case errAccessDenied, errDBAccessDenied, errSpecificDenied, errTableAccessDenied:
		// The login has worked: it is not the password.
		account := s.account(ctx)
		return &SetupError{Source: s.cfg.Address, What: "the account " + account + " lacks a privilege", Err: err, Mend: grant(account)}
	case errNoBinaryLogging:
		return &SetupError{Source: s.cfg.Address, What: "the binary log is off", Err: err, Mend: mendLogBin}
	}
	return err
}

// explainRegister is explain for COM_REGISTER_SLAVE, which says 1045, "Access denied",
// where one privilege is missing.
func (s *Server) explainRegister(ctx context.Context, err error) error {
	var my *mysql.MyError
	if !errors.As(err, &my) || my.Code != errAccessDenied {
		return s.explain(ctx, err)
	}
	account := s.account(ctx)
	return &SetupError{Source: s.cfg.Address, What: "the account " + account + " lacks the privilege REPLICATION SLAVE", Err: err, Mend: grant(account)}
}

// greeting is a connection that remembers how the other side began.
type greeting struct {
	net.Conn
	said []byte
}

// longestGreeting is as much of it as a sentence may repeat.
const longestGreeting = 32

func (g *greeting) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if room := longestGreeting - len(g.said); room > 0 {
		g.said = append(g.said, p[:min(room, n)]...)
	}
	return n, err
}

// stranger tells whether what answers is no MySQL or MariaDB server, of which the first
// packet is a greeting of version 10 or an error, and what it is instead.
func (g *greeting) stranger(err error) (what string, ok bool) {
	const versionAt, version, failed = 4, 10, 0xff
	switch {
	case len(g.said) > versionAt:
		return fmt.Sprintf("what answers there is no MySQL or MariaDB server: it said %q", g.said),
			g.said[versionAt] != version && g.said[versionAt] != failed
	case len(g.said) > 0:
		return fmt.Sprintf("what answers there is no MySQL or MariaDB server: it said %q and no more", g.said), true
	case errors.Is(err, context.DeadlineExceeded):
		return "something takes connections there and says nothing, as a MySQL or MariaDB server would at once; is it its port, and not a cache's?", true
	case errors.Is(err, io.EOF), errors.Is(err, mysql.ErrBadConn):
		return "something takes connections there and ends them without a word; is it a MySQL or MariaDB server's port?", true
	}
	return "", false
}
