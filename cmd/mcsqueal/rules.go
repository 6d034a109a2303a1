package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/binlog/rowimage"
	"github.com/mcsqueal/mcsqueal/config"
	"github.com/mcsqueal/mcsqueal/extract"
)

// rulesOf are the configuration's rules.
func rulesOf(c *config.Config) []extract.Rule {
	rules := make([]extract.Rule, 0, len(c.Rules))
	for _, r := range c.Rules {
		rules = append(rules, extract.Rule{Table: r.Table, Keys: r.Keys})
	}
	return rules
}

// maxChecked is how many tables of one rule are looked at.
const maxChecked = 200

// checkRules asks the source whether the rules can be served. What certainly cannot is
// an error: a mistake in the configuration, or a setting of the source. What cannot be
// found out, or may come to be, is logged. from are the places in the checkpoint at
// which clusters go on: what was logged behind them may be of tables as they were then.
func checkRules(ctx context.Context, src *source, c *config.Config, from []binlog.Position, logger *slog.Logger) error {
	rules := rulesOf(c)
	if len(rules) == 0 {
		return nil
	}
	if err := checkFormat(src.settings, rules, logger); err != nil {
		return err
	}
	server, err := binlog.Connect(ctx, src.live.Server())
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }() // it has said what was asked
	tables, err := server.Tables(ctx)
	if err != nil {
		return err
	}
	k := &ruleCheck{server: server, settings: src.settings, logger: logger}
	if k.behind, err = anyBehind(ctx, src, from); err != nil {
		return err
	}
	for i := range rules {
		if err := k.rule(ctx, &rules[i], tables); err != nil {
			return err
		}
	}
	if err := errors.Join(k.mistakes...); err != nil {
		return usageError{err}
	}
	return errors.Join(k.settingsToMend...)
}

// ruleCheck collects what is wrong with rules.
type ruleCheck struct {
	server   *binlog.Server
	settings *binlog.Settings
	logger   *slog.Logger
	// behind: there is log to be read from before now.
	behind bool
	// mistakes are the configuration's, settingsToMend the source's.
	mistakes, settingsToMend []error
}

// checkFormat says whether the log can have rows at all.
func checkFormat(s *binlog.Settings, rules []extract.Rule, logger *slog.Logger) error {
	const sessions = "; sessions that are already connected keep their old setting"
	switch s.Format {
	case "STATEMENT":
		return &binlog.SetupError{Source: s.Address, What: "binlog_format is STATEMENT: the log has no rows, and without rows the rules have no keys", Mend: set(s, "binlog_format", "ROW") + sessions}
	case "MIXED":
		tables := make([]string, len(rules))
		for i := range rules {
			tables[i] = rules[i].Table
		}
		logger.Warn("binlog_format is MIXED: of what is logged as a statement there are no rows, and the rules have no keys for it",
			"rules", strings.Join(tables, ", "), "mend", set(s, "binlog_format", "ROW")+sessions)
	}
	return nil
}

// anyBehind tells whether the log goes on behind one of several places.
func anyBehind(ctx context.Context, src *source, from []binlog.Position) (bool, error) {
	if len(from) == 0 {
		return false, nil
	}
	end, err := src.live.Resolve(ctx, binlog.Point{Kind: binlog.PointNow})
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(from, func(at binlog.Position) bool { return !at.Covers(end) }), nil
}

func (k *ruleCheck) rule(ctx context.Context, rule *extract.Rule, tables [][2]string) error {
	schema, table, exact := rule.Exact()
	checked, mistakes := 0, len(k.mistakes)
	for _, t := range tables {
		if !rule.Matches(t[0], t[1]) {
			continue
		}
		if checked++; checked > maxChecked {
			k.logger.Warn("a rule matches so many tables that not all of them are looked at now", "rule", rule.Table, "looked_at", maxChecked)
			return nil
		}
		if whole, err := k.server.SeesWhole(ctx, t[0], t[1]); err != nil {
			return err
		} else if !whole {
			k.partly(ctx, rule, t[0], t[1])
			continue
		}
		columns, err := k.server.Columns(ctx, t[0], t[1])
		if err != nil {
			return err
		}
		if err := k.table(rule, t[0]+"."+t[1], exact, columns); err != nil {
			return err
		}
	}
	if checked > 0 {
		return nil
	}
	otherwise, err := k.otherwise(ctx, rule, tables)
	if err != nil || len(k.mistakes) > mistakes {
		return err
	}
	if !exact {
		k.logger.Warn("a rule matches no table that can be seen: there is none yet, or the user may not see it", "rule", rule.Table, "mend", k.server.GrantSelectIn(ctx, schemaOf(rule)))
		return nil
	}
	view, err := k.server.IsView(ctx, schema, table)
	if err != nil {
		return err
	}
	if view {
		k.mistakes = append(k.mistakes, fmt.Errorf("rule %s: that is a view, of which the log never has rows; write rules for the tables behind it", rule.Table))
		return nil
	}
	grant := k.server.GrantSelect(ctx, schema, table)
	visible, err := k.server.MaySelect(ctx, schema, table)
	switch {
	case err != nil:
		return err
	case visible && otherwise != "":
		k.logger.Warn("a rule's table does not exist yet; there is one whose name differs in case, which counts", "rule", rule.Table, "there_is", otherwise)
	case visible:
		k.logger.Warn("a rule's table does not exist yet", "rule", rule.Table)
	case k.settings.Metadata != "FULL":
		k.settingsToMend = append(k.settingsToMend, &binlog.SetupError{Source: k.settings.Address,
			What: fmt.Sprintf("rule %s: the names of the table's columns can be had neither from the log (binlog_row_metadata is %s) nor from information_schema (the user may not see the table, if it exists)", rule.Table, orNone(k.settings.Metadata)),
			Mend: grant + ", or " + k.set("binlog_row_metadata", "FULL")})
	default:
		k.logger.Warn("a rule's table cannot be seen, so it is not known whether it has the columns", "rule", rule.Table, "mend", grant)
	}
	return nil
}

// otherwise is a table that the rule would match if case did not count. On a server
// that turns all names into lower case no other name can ever be in the log, and the
// rule's is a mistake.
func (k *ruleCheck) otherwise(ctx context.Context, rule *extract.Rule, tables [][2]string) (name string, err error) {
	lower := extract.Rule{Table: strings.ToLower(rule.Table)}
	i := slices.IndexFunc(tables, func(t [2]string) bool { return lower.Matches(strings.ToLower(t[0]), strings.ToLower(t[1])) })
	if i < 0 {
		return "", nil
	}
	const variable = "lower_case_table_names"
	v, err := k.server.Variables(ctx, variable)
	if err != nil {
		return "", err
	}
	if v[variable] == "1" {
		k.mistakes = append(k.mistakes, fmt.Errorf("rule %s: with %s = 1 the log has names in lower case; write %s", rule.Table, variable, lower.Table))
	}
	return tables[i][0] + "." + tables[i][1], nil
}

// partly says that of a table's columns the user may see only some: what is not seen
// need not be missing.
func (k *ruleCheck) partly(ctx context.Context, rule *extract.Rule, schema, table string) {
	grant := k.server.GrantSelect(ctx, schema, table)
	if k.settings.Metadata == "FULL" {
		k.logger.Warn("not all of a rule's table can be seen, so it is not known whether it has the columns", "rule", rule.Table, "table", schema+"."+table, "mend", grant)
		return
	}
	k.settingsToMend = append(k.settingsToMend, &binlog.SetupError{Source: k.settings.Address,
		What: fmt.Sprintf("rule %s: the user may see some columns of the table %s.%s, and not all; binlog_row_metadata is %s, so that it takes all to know which is which", rule.Table, schema, table, orNone(k.settings.Metadata)),
		Mend: grant + ", or " + k.set("binlog_row_metadata", "FULL")})
}

func orNone(s string) string {
	if s == "" {
		return "not known to this server"
	}
	return s
}

func schemaOf(rule *extract.Rule) string {
	schema, _, _ := strings.Cut(rule.Table, ".")
	return schema
}

func (k *ruleCheck) set(name, value string) string { return set(k.settings, name, value) }

// set is the statement for a setting.
func set(s *binlog.Settings, name, value string) string {
	if s.Flavor == binlog.MariaDB {
		return fmt.Sprintf("SET GLOBAL %s = %s (and %[1]s = %[2]s in the server's configuration)", name, value)
	}
	return fmt.Sprintf("SET PERSIST %s = %s", name, value)
}

// table looks at one of a rule's tables. A table that a pattern happens to match may
// lack a column without that being a mistake.
func (k *ruleCheck) table(rule *extract.Rule, name string, exact bool, columns []rowimage.Description) error {
	keyed := false // it has a primary key
	for i := range columns {
		keyed = keyed || columns[i].Key == "PRI"
	}
	for _, key := range rule.Keys {
		names, err := extract.Columns(key)
		if err != nil {
			return usageError{err}
		}
		for _, column := range names {
			d := find(columns, column)
			mistake := ""
			if d == nil {
				mistake = "the table has no such column"
			} else if why := d.Unfit(); why != "" {
				mistake = why
			}
			if mistake != "" {
				err := fmt.Errorf("rule %s, key %s: table %s, column %s: %s", rule.Table, key, name, column, mistake)
				switch {
				case exact && d == nil && k.behind:
					k.logger.Warn("a rule does not fit its table as it is now; what is still to be read may be from before a change, and its rows decide",
						"error", err, "mend", "a rule for the column's new name, once this one has stopped at the first row that has it")
				case exact:
					k.mistakes = append(k.mistakes, err)
				default:
					k.logger.Warn("a rule cannot be served on a table that it matches", "error", err)
				}
				continue
			}
			if why := d.Differs(); why != "" {
				k.logger.Warn("a rule's key is not as SELECT shows the column", "rule", rule.Table, "key", key, "table", name, "column", column, "why", why)
			}
			if why, certain := k.image(d, keyed); why != "" {
				err := &binlog.SetupError{Source: k.settings.Address,
					What: fmt.Sprintf("rule %s, key %s: table %s, column %s: with binlog_row_image %s %s", rule.Table, key, name, column, k.settings.RowImage, why),
					Mend: k.set("binlog_row_image", "FULL") + "; sessions that are already connected keep their old setting"}
				if certain {
					k.settingsToMend = append(k.settingsToMend, err)
				} else {
					k.logger.Warn("a rule may not be served", "error", err)
				}
			}
		}
	}
	return nil
}

// image says why images lack a column, under the server's binlog_row_image, and
// whether they certainly do for updates: otherwise it depends on the statements.
func (k *ruleCheck) image(d *rowimage.Description, keyed bool) (why string, certain bool) {
	switch {
	case d.Key == "PRI" && k.settings.RowImage == "MINIMAL" && d.DefaultIsLeftOut(k.settings.Flavor == binlog.MariaDB):
		return "the log lacks it where an INSERT leaves it to its default", false
	case d.Key == "PRI":
		return "", false
	case k.settings.RowImage == "MINIMAL" && keyed:
		return "the log lacks columns that are not in the primary key", true
	case k.settings.RowImage == "MINIMAL":
		return "the log lacks columns that a statement does not name", false
	case k.settings.RowImage == "NOBLOB" && d.Blob():
		return "the log lacks columns of its type", keyed
	}
	return "", false
}

func find(columns []rowimage.Description, name string) *rowimage.Description {
	for i := range columns {
		if strings.EqualFold(columns[i].Name, name) {
			return &columns[i]
		}
	}
	return nil
}
