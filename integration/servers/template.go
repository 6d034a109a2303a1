package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// templateFormat is part of a template's name: raised when what is in one changes,
// so that older ones are not used.
const templateFormat = 1

// template is the path of an initialised data directory of the installed version,
// to be copied for each instance. It is made once and kept beside the programs,
// because making it takes longer than all else. A line goes to out when it is made.
//
// In it, root has every right and no password, on the socket and on 127.0.0.1, and
// there is an empty database "test"; the binary log is off until the first start.
func template(ctx context.Context, k Kind, out io.Writer) (string, error) {
	base, err := Dir()
	if err != nil {
		return "", err
	}
	version, err := Version(k)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, "templates", fmt.Sprintf("%s-%s-%d", strings.ToLower(k.String()), version, templateFormat))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("look for the template of %s: %w", k, err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", fmt.Errorf("make the folder of templates: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(base, "templates", "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil // somebody else made it while we waited
	}
	fmt.Fprintf(out, "%s: initialising a data directory to copy from\n", k)
	work := dir + ".partial"
	if err := os.RemoveAll(work); err != nil {
		return "", fmt.Errorf("remove an unfinished template: %w", err)
	}
	defer os.RemoveAll(work)
	if err := os.Mkdir(work, 0o700); err != nil {
		return "", fmt.Errorf("make the template's folder: %w", err)
	}
	data := filepath.Join(work, "data")
	if k == KindMySQL {
		err = initMySQL(ctx, base, work, data)
	} else {
		err = initMariaDB(ctx, base, data)
	}
	if err != nil {
		return "", fmt.Errorf("initialise %s %s: %w", k, version, err)
	}
	if err := settle(data, dir); err != nil {
		return "", err
	}
	return dir, nil
}

// programArgs are the options a database needs to run out of a folder: those that
// must come first.
func programArgs(k Kind, root string) []string {
	args := []string{
		"--no-defaults", // must be the first of all
		"--basedir=" + filepath.Join(root, "usr"),
		"--plugin-dir=" + filepath.Join(root, "usr/lib/mysql/plugin"),
		"--lc-messages-dir=" + filepath.Join(root, "usr/share/mysql"),
		"--secure-file-priv=",
	}
	if os.Geteuid() == 0 {
		args = append(args, "--user=root")
	}
	if k == KindMySQL {
		args = append(args, "--mysqlx=OFF", "--innodb-redo-log-capacity="+strconv.Itoa(redoBytes))
	} else {
		args = append(args, "--innodb-log-file-size="+strconv.Itoa(redoBytes))
	}
	return args
}

// redoBytes is the redo log's size, the same for a template and its copies so that
// no start has to resize it.
const redoBytes = 64 << 20

func initMySQL(ctx context.Context, base, work, data string) error {
	root := kinds[KindMySQL].root.dir(base)
	script := filepath.Join(work, "init.sql")
	// root@localhost is there already.
	const statements = "CREATE USER root@'127.0.0.1';\n" +
		"GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;\n" +
		"CREATE DATABASE test;\n"
	if err := os.WriteFile(script, []byte(statements), 0o600); err != nil {
		return fmt.Errorf("write the first statements: %w", err)
	}
	cmd, err := loaded(ctx, root, filepath.Join(root, kinds[KindMySQL].program), append(programArgs(KindMySQL, root),
		"--initialize-insecure", "--init-file="+script, "--datadir="+data, "--skip-log-bin")...)
	if err != nil {
		return err
	}
	return run(cmd)
}

// initMariaDB does what Debian's mariadb-install-db does, which is a shell script
// that knows no folder but the system's.
func initMariaDB(ctx context.Context, base, data string) error {
	if err := os.Mkdir(data, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	root := kinds[KindMariaDB].root.dir(base)
	var script bytes.Buffer
	script.WriteString("CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n")
	for _, name := range []string{
		"mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql", "mysql_sys_schema.sql",
	} {
		text, err := os.ReadFile(filepath.Join(root, "usr/share/mysql", name))
		if err != nil {
			return fmt.Errorf("read the system tables' statements: %w", err)
		}
		for line := range bytes.Lines(text) {
			// The machine's own name gets no user (--skip-name-resolve).
			if !bytes.Contains(line, []byte("@current_hostname")) {
				script.Write(line)
			}
		}
		script.WriteByte('\n')
	}
	// root has come with the tables; a nameless user would stand before others.
	script.WriteString("DELETE FROM mysql.global_priv WHERE User='';\nCREATE DATABASE test;\n")
	cmd, err := loaded(ctx, root, filepath.Join(root, kinds[KindMariaDB].program), append(programArgs(KindMariaDB, root),
		"--bootstrap", "--datadir="+data, "--enforce-storage-engine=", "--max-allowed-packet=8M", "--net-buffer-length=16K")...)
	if err != nil {
		return err
	}
	cmd.Stdin = &script
	return run(cmd)
}
