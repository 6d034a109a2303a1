package preflight

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/config"
)

// serverCheck looks at one server of the source.
type serverCheck struct {
	about
	cfg    *Config
	server binlog.ServerConfig
	url    config.SourceURL
	held   bool // a daemon holds state_dir
	// answered: it lets us in.
	answered bool

	conn     *binlog.Server
	settings *binlog.Settings
	vars     map[string]string
}

// Tested are the servers that the tests run against, by the beginning of their versions.
var Tested = map[binlog.Flavor][]string{binlog.MySQL: {"9.7"}, binlog.MariaDB: {"10.11"}}

// run looks at everything, as far as the server lets it.
func (s *serverCheck) run(ctx context.Context) {
	conn, err := binlog.Connect(ctx, s.server)
	if err != nil {
		says, mend := split(err)
		if mend == "" {
			mend = binlog.MendConnection(err, s.server.User)
		}
		if mend == "" {
			mend = mendReach(err, "source.", "start it, let this machine in, or mend source.url")
		}
		s.fail("connect", mend, "%s", says)
		return
	}
	defer func() { _ = conn.Close() }() // it has said what was asked
	s.conn, s.answered = conn, true
	if s.settings, err = conn.Settings(ctx); err == nil {
		s.vars, err = conn.Variables(ctx, "server_id", "net_write_timeout", "binlog_expire_logs_seconds", "expire_logs_days",
			"rpl_semi_sync_source_enabled", "rpl_semi_sync_source_wait_point", "rpl_semi_sync_master_enabled", "rpl_semi_sync_master_wait_point")
	}
	if err != nil {
		says, mend := split(err)
		s.fail("connect", mend, "%s", says)
		return
	}
	s.version(ctx)
	s.secure(ctx)
	if err := s.settings.Check(); err != nil {
		says, mend := split(err)
		s.fail("log_bin", mend, "%s", says)
		return // nothing else is of any use
	}
	s.ok("log_bin", "the binary log is on")
	s.format()
	s.text()
	s.rules(ctx)
	s.gtids()
	s.visibility()
	s.replica()
	s.keeps()
	s.serverID(ctx)
	s.dump(ctx)
	s.prepared(ctx)
	s.durable()
	s.clock(ctx)
	s.patience()
}

func (s *serverCheck) maria() bool { return s.settings.Flavor == binlog.MariaDB }

// set is the statement for a setting, for good.
func (s *serverCheck) set(name, value string) string {
	if s.maria() {
		return fmt.Sprintf("SET GLOBAL %s = %s (and %[1]s = %[2]s in the server's configuration)", name, value)
	}
	return fmt.Sprintf("SET PERSIST %s = %s", name, value)
}

const sessions = "; sessions that are already connected keep their old setting"

// version says which server it is, and who it takes us for.
func (s *serverCheck) version(ctx context.Context) {
	s.account(ctx)
	if untested := Untested(s.settings.Flavor, s.settings.Version); untested != "" {
		s.warn("version", MendUntested, "%s", untested)
		return
	}
	s.ok("version", "%s %s", names[s.settings.Flavor], s.settings.Version)
}

var names = map[binlog.Flavor]string{binlog.MySQL: "MySQL", binlog.MariaDB: "MariaDB"}

// Untested says of a server's version that it is not one of Tested; empty if it is.
func Untested(f binlog.Flavor, version string) string {
	if slices.ContainsFunc(Tested[f], func(t string) bool { return strings.HasPrefix(version, t+".") }) {
		return ""
	}
	return fmt.Sprintf("%s %s is not a version that mcsqueal is tested with; those are MySQL %s and MariaDB %s",
		names[f], version, strings.Join(Tested[binlog.MySQL], ", "), strings.Join(Tested[binlog.MariaDB], ", "))
}

// MendUntested is what shows whether an untested server's log is read as it should be.
const MendUntested = "mcsqueal replay --from oldest --dry-run, which shows whether its log is read as it should be"

// account says who the server takes this connection for, and whether that may do more
// than it need.
func (s *serverCheck) account(ctx context.Context) {
	rows, err := s.conn.Query(ctx, "SELECT CURRENT_USER()")
	if err != nil || len(rows) != 1 {
		s.warn("account", "", "it cannot be found out who the server takes this connection for: %v", err)
		return
	}
	account := rows[0][0]
	grants, err := s.conn.Query(ctx, "SHOW GRANTS")
	if err != nil {
		s.warn("account", "", "it cannot be found out what the account %s may do: %v", account, err)
		return
	}
	for _, g := range grants {
		if upper := strings.ToUpper(g[0]); strings.Contains(upper, "ALL PRIVILEGES ON *.*") || strings.Contains(upper, "SUPER") && strings.Contains(upper, "ON *.*") {
			s.warn("account", "CREATE USER 'mcsqueal'@'…' IDENTIFIED BY '…'; GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'mcsqueal'@'…', and its name in source.url",
				"the account %s may do everything, which reading the log does not take", account)
			return
		}
	}
	quoted, err := s.quotedAccount(ctx)
	if err != nil {
		quoted = "'mcsqueal'@'…'"
	}
	may, revoke := needless(grants, quoted)
	if len(may) > 0 {
		s.warn("account", strings.Join(revoke, "; "), "the account %s also has %s, which reading the log does not take", account, strings.Join(may, ", "))
		return
	}
	s.ok("account", "logged in as %s", account)
}

// grantLine is a line of SHOW GRANTS that gives privileges on something.
var grantLine = regexp.MustCompile(`^GRANT (.+?) ON (.+?) TO `)

// columnsOf are the columns that a privilege is bounded to.
var columnsOf = regexp.MustCompile(` ?\([^)]*\)`)

// harmless are the privileges that a part of what mcsqueal does may take, and those that
// only show more than it looks at.
var harmless = []string{
	"USAGE", "REPLICATION SLAVE", "REPLICATION CLIENT", "BINLOG MONITOR", "XA_RECOVER_ADMIN", // the log
	"SELECT",                   // rules, on their tables
	"REPLICATION MASTER ADMIN", // which replicas a MariaDB has
	"SLAVE MONITOR", "PROCESS", "SHOW DATABASES", "SHOW VIEW",
}

// needless are the privileges in an account's grants that mcsqueal has no use for, and the
// statements that take them away.
func needless(grants [][]string, account string) (may, revoke []string) {
	for _, g := range grants {
		m := grantLine.FindStringSubmatch(g[0])
		if m == nil || m[1] == "PROXY" {
			continue // a role, or what it may call itself
		}
		var extra []string
		for privilege := range strings.SplitSeq(columnsOf.ReplaceAllString(m[1], ""), ",") {
			if privilege = strings.TrimSpace(privilege); !slices.Contains(harmless, privilege) {
				extra = append(extra, privilege)
			}
		}
		if len(extra) == 0 {
			continue
		}
		what := strings.Join(extra, ", ")
		may = append(may, what+" on "+m[2])
		revoke = append(revoke, "REVOKE "+what+" ON "+m[2]+" FROM "+account)
	}
	return may, revoke
}

// secure says whether the connection is encrypted, and with whom.
func (s *serverCheck) secure(ctx context.Context) {
	rows, err := s.conn.Query(ctx, "SHOW SESSION STATUS LIKE 'Ssl_version'")
	if err != nil {
		s.warn("tls", "", "it cannot be found out whether the connection is encrypted: %v", err)
		return
	}
	version := ""
	if len(rows) == 1 {
		version = rows[0][1]
	}
	switch mode := s.cfg.Config.Source.TLS.ModeFor(s.url); {
	case version == "" && s.url.Local():
		s.ok("tls", "not encrypted, and does not leave this machine")
	case version == "":
		s.warn("tls", "source.tls.mode: verify, with ca: the file of the server's authority", "not encrypted: statements' text, with whatever data is in it, can be read and changed on the way")
	case mode == config.TLSSkipVerify:
		s.warn("tls", "source.tls.mode: verify, with ca: the file of the server's authority", "%s, but the server may be anybody: its certificate is not verified", version)
	case mode == config.TLSVerifyCA:
		s.ok("tls", "%s, and an authority vouches for the server, whatever its name", version)
	default:
		s.ok("tls", "%s, and an authority vouches for the server's name", version)
	}
}

func (s *serverCheck) format() {
	switch f := s.settings.Format; {
	case f == "ROW":
		s.ok("binlog_format", "binlog_format is ROW")
	case f == "STATEMENT" && len(s.cfg.Config.Rules) > 0:
		s.fail("binlog_format", s.set("binlog_format", "ROW")+sessions, "binlog_format is STATEMENT: the log has no rows, and without rows the rules have no keys")
	default:
		s.warn("binlog_format", s.set("binlog_format", "ROW")+sessions, "binlog_format is %s: of what is logged as a statement there are no rows", f)
	}
}

func (s *serverCheck) text() {
	err := s.settings.CheckText()
	switch {
	case err == nil:
		s.ok("statement_text", "%s is ON", s.settings.TextVariable)
	case len(s.cfg.Config.Tags) == 0:
		s.ok("statement_text", "%s is OFF, and no tags are configured that would need it", s.settings.TextVariable)
	default:
		says, mend := split(err)
		s.fail("statement_text", mend, "%s", says)
	}
}

// rules says what the rules need of the log, and how they fit the tables.
func (s *serverCheck) rules(ctx context.Context) {
	if len(s.cfg.Config.Rules) == 0 {
		return
	}
	if m := s.settings.Metadata; m == "FULL" {
		s.ok("row_metadata", "binlog_row_metadata is FULL")
	} else {
		if m == "" {
			m = "not known to this server"
		}
		s.warn("row_metadata", s.set("binlog_row_metadata", "FULL"), "binlog_row_metadata is %s: the log does not name columns, and rules go by information_schema, as tables are now", m)
	}
	if i := s.settings.RowImage; i == "FULL" {
		s.ok("row_image", "binlog_row_image is FULL")
	} else {
		s.warn("row_image", s.set("binlog_row_image", "FULL")+sessions, "binlog_row_image is %s: the log lacks columns that rules may be about", i)
	}
	if s.cfg.Rules == nil || s.failed("binlog_format") {
		return
	}
	r := &recorder{}
	err := s.cfg.Rules(ctx, s.server, s.settings, slog.New(r))
	for _, f := range r.found {
		if f.Check = "rules"; f.Mend == "" || !strings.HasPrefix(f.Says, "binlog_format") {
			f.About = s.name
			s.found = append(s.found, f)
		}
	}
	for _, err := range apart(err) {
		says, mend := split(err)
		s.fail("rules", mend, "%s", says)
	}
	if err == nil && len(r.found) == 0 {
		s.ok("rules", "the rules fit the tables")
	}
}

const gtidSteps = "SET PERSIST enforce_gtid_consistency = ON; SET PERSIST gtid_mode = OFF_PERMISSIVE; SET PERSIST gtid_mode = ON_PERMISSIVE; SET PERSIST gtid_mode = ON, each once the one before has had no complaints"

func (s *serverCheck) gtids() {
	several := len(s.cfg.Servers) > 1
	switch {
	case s.maria():
		s.ok("gtid_mode", "MariaDB: every transaction has a GTID")
	case s.settings.GTIDs:
		s.ok("gtid_mode", "gtid_mode is ON")
	case several:
		s.fail("gtid_mode", gtidSteps, "gtid_mode is %s, and source.urls names several servers: a place in one's log says nothing of another's, so a failover would be a gap", s.settings.GTIDMode)
	default:
		s.warn("gtid_mode", gtidSteps, "gtid_mode is %s: positions do not outlive a failover, and it cannot be known what can be read", s.settings.GTIDMode)
	}
}

// visibility says how it is known what can be read, against when semi-synchronous
// replication lets it be read.
func (s *serverCheck) visibility() {
	asked := s.cfg.Config.Visibility
	mode, why, err := s.settings.Visibility(string(asked.Mode))
	if err != nil {
		says, mend := split(err)
		s.fail("visibility", mend, "%s", says)
		return
	}
	// Commits stand in the log, and cannot be read, for as long as a replica takes.
	stalls := s.vars["rpl_semi_sync_source_enabled"] == "ON" && s.vars["rpl_semi_sync_source_wait_point"] == "AFTER_SYNC" ||
		s.vars["rpl_semi_sync_master_enabled"] == "ON" && s.vars["rpl_semi_sync_master_wait_point"] == "AFTER_SYNC"
	barrier := mode == binlog.VisibilityGTID || mode == binlog.VisibilitySnapshot
	mend := "visibility: auto"
	if !s.maria() && !s.settings.GTIDs {
		mend += ", and " + gtidSteps
	}
	switch {
	case barrier && stalls:
		s.ok("visibility", "visibility %s: %s; semi-synchronous replication waits AFTER_SYNC, and is waited for", mode, why)
	case barrier:
		s.ok("visibility", "visibility %s: %s", mode, why)
	case stalls:
		s.fail("visibility", mend, "visibility is %s, and semi-synchronous replication waits AFTER_SYNC: commits are in the log long before they can be read, and a reader in between puts the old row back", asked)
	default:
		s.warn("visibility", mend, "visibility is %s: keys may leave before their commit can be read, and a reader in between puts the old row back", asked)
	}
}

func (s *serverCheck) replica() {
	switch {
	case !s.settings.Replica:
		s.ok("replica", "not a replica")
	case s.settings.LogReplicaUpdates:
		s.ok("replica", "a replica that logs what it replicates")
	default:
		s.fail("replica", "log_replica_updates = ON (log_slave_updates) in its configuration, then a restart", "a replica that does not log what it replicates: nothing of that arrives")
	}
}

// shortest is how long the log should be kept at least.
const shortest = 24 * time.Hour

// keeps says for how long the log is kept.
func (s *serverCheck) keeps() {
	seconds, err := strconv.ParseFloat(s.vars["binlog_expire_logs_seconds"], 64)
	name, value := "binlog_expire_logs_seconds", "604800"
	if days, dayErr := strconv.ParseFloat(s.vars["expire_logs_days"], 64); dayErr == nil && (err != nil || seconds == 0) {
		seconds, err = days*24*3600, nil
		if s.vars[name] == "" {
			name, value = "expire_logs_days", "7"
		}
	}
	kept := time.Duration(seconds * float64(time.Second))
	switch {
	case err != nil || kept == 0:
		s.ok("log_kept", "log files are kept until somebody purges them")
	case kept < shortest:
		s.warn("log_kept", s.set(name, value), "log files are purged after %s: a cluster or a daemon that is away for longer meets a gap", kept)
	case kept%(24*time.Hour) == 0:
		s.ok("log_kept", "log files are kept for %d days; who is away for longer meets a gap", kept/(24*time.Hour))
	default:
		s.ok("log_kept", "log files are kept for %s; who is away for longer meets a gap", kept)
	}
}

// serverID says whether the name of the dump connection is anybody else's.
func (s *serverCheck) serverID(ctx context.Context) {
	const mend = "source.server_id: a number that no server and no replica has, or 0, which derives one"
	if s.vars["server_id"] == "0" {
		s.fail("server_id", s.set("server_id", "1"), "the server's own server_id is 0, with which it serves no replica")
		return
	}
	id := strconv.FormatUint(uint64(s.cfg.ServerID), 10)
	if s.vars["server_id"] == id {
		s.fail("server_id", mend, "server_id %s is the server's own", id)
		return
	}
	sql := "SHOW REPLICAS"
	if s.maria() {
		sql = "SHOW SLAVE HOSTS"
	}
	rows, err := s.conn.Query(ctx, sql)
	switch says, mend := splitOrNone(err); {
	case err != nil && s.maria():
		// It takes REPLICATION MASTER ADMIN, which nothing else here does.
		s.replicas(ctx, id)
		return
	case err != nil:
		s.warn("server_id", mend, "it cannot be found out whether another replica is called %s, too: %s", id, says)
		return
	}
	for _, r := range rows {
		switch {
		case r[0] != id:
		case s.held:
			s.ok("server_id", "server_id %s is that of the daemon that is running", id)
			return
		default:
			s.fail("server_id", mend, "server_id %s is another's already: each would end the other's connection, for ever", id)
			return
		}
	}
	s.ok("server_id", "server_id %s is nobody else's", id)
}

// replicas says what a MariaDB tells everybody of its replicas: how many there are.
func (s *serverCheck) replicas(ctx context.Context, id string) {
	rows, err := s.conn.Query(ctx, "SHOW GLOBAL STATUS LIKE 'Slaves_connected'")
	switch {
	case err == nil && len(rows) == 1 && rows[0][1] == "0":
		s.ok("server_id", "server_id %s is nobody else's: nobody reads the log now", id)
	case s.cfg.Config.Source.ServerID == 0:
		s.ok("server_id", "server_id %s is derived from this machine's name and state_dir; MariaDB does not tell this account which replicas there are", id)
	default:
		s.warn("server_id", "SHOW SLAVE HOSTS, as an administrator; if "+id+" is another's there, another source.server_id, or 0, which derives one",
			"MariaDB does not tell this account which replicas there are: nobody else may be called %s", id)
	}
}

// dump reads the head of the oldest log file as a daemon would, which shows that the
// account may.
func (s *serverCheck) dump(ctx context.Context) {
	at, err := s.live().Resolve(ctx, binlog.Point{Kind: binlog.PointOldest})
	if err != nil {
		says, mend := split(err)
		if mend == "" {
			mend = binlog.MendConnection(err, s.server.User)
		}
		s.fail("privileges", mend, "the log cannot be read: %s", says)
		return
	}
	if _, err := s.conn.End(ctx); err != nil {
		says, mend := split(err)
		s.fail("privileges", mend, "%s", says)
		return
	}
	s.ok("privileges", "the account may read the log, which begins at %s", at.File.Name)
}

// live reads for a moment, under a name of its own.
func (s *serverCheck) live() *binlog.Live {
	return binlog.NewLive(binlog.LiveConfig{Servers: []binlog.ServerConfig{s.server}, ServerID: freshID()})
}

// prepared says whether prepared XA transactions can be found.
func (s *serverCheck) prepared(ctx context.Context) {
	rows, err := s.conn.Query(ctx, "XA RECOVER")
	switch {
	case err != nil && ctx.Err() == nil:
		account, quoteErr := s.quotedAccount(ctx)
		if quoteErr != nil {
			account = "the account"
		}
		s.warn("xa", "GRANT XA_RECOVER_ADMIN ON *.* TO "+account,
			"it cannot be found out whether XA transactions are prepared; a commit of one that was prepared before the first start will be a gap")
	case len(rows) > 0:
		s.warn("xa", "XA COMMIT or XA ROLLBACK of each before the first start", "%d XA transactions are prepared; the keys of those that no daemon has read are not known, and will be a gap", len(rows))
	default:
		s.ok("xa", "no XA transaction is prepared")
	}
}

func (s *serverCheck) quotedAccount(ctx context.Context) (string, error) {
	rows, err := s.conn.Query(ctx, "SELECT CURRENT_USER()")
	if err != nil || len(rows) != 1 {
		return "", errors.Join(err, errors.New("no account"))
	}
	at := strings.LastIndexByte(rows[0][0], '@')
	if at < 0 {
		return "", errors.New("no account")
	}
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	return quote(rows[0][0][:at]) + "@" + quote(rows[0][0][at+1:]), nil
}

func (s *serverCheck) durable() {
	if s.settings.SyncBinlog == "1" {
		s.ok("sync_binlog", "sync_binlog is 1")
		return
	}
	s.warn("sync_binlog", s.set("sync_binlog", "1"), "sync_binlog is %s: after a crash of the machine the server can use GTIDs again, and what comes under them then looks done", s.settings.SyncBinlog)
}

// maxSkew is how far clocks may be apart.
const maxSkew = time.Second

func (s *serverCheck) clock(ctx context.Context) {
	before := time.Now()
	rows, err := s.conn.Query(ctx, "SELECT UNIX_TIMESTAMP(NOW(6))")
	after := time.Now()
	if err != nil || len(rows) != 1 {
		s.warn("clock", "", "the server's clock cannot be read: %v", err)
		return
	}
	seconds, err := strconv.ParseFloat(rows[0][0], 64)
	if err != nil {
		s.warn("clock", "", "the server's clock cannot be read: %v", err)
		return
	}
	theirs := time.UnixMicro(int64(seconds * 1e6))
	ahead := theirs.Sub(before.Add(after.Sub(before) / 2)).Round(time.Millisecond)
	switch {
	case ahead.Abs() <= maxSkew+after.Sub(before)/2:
		apart := ahead.Abs() + after.Sub(before)/2
		s.ok("clock", "its clock and this machine's are less than %s apart", apart.Truncate(time.Millisecond)+time.Millisecond)
	case ahead > 0:
		s.warn("clock", "a time service (NTP) on both machines", "its clock is %s ahead of this machine's: lags and latencies are wrong by so much", ahead)
	default:
		s.warn("clock", "a time service (NTP) on both machines", "its clock is %s behind this machine's: lags and latencies are wrong by so much", -ahead)
	}
}

// leastPatience is how long a server should bear with a connection that takes nothing.
const leastPatience = 30

func (s *serverCheck) patience() {
	v := s.vars["net_write_timeout"]
	if seconds, err := strconv.Atoi(v); err == nil && seconds < leastPatience {
		s.warn("net_write_timeout", s.set("net_write_timeout", "60"), "net_write_timeout is %d s: a network that stalls for so long costs the connection, and a log file's head is read again", seconds)
		return
	}
	s.ok("net_write_timeout", "net_write_timeout is %s s", v)
}
