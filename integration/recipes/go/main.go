// Command go is the recipe for database/sql.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	_ "github.com/go-sql-driver/mysql"
)

// docs: from here
// tag writes a comment that names keys.
func tag(keys ...string) string {
	escaped := make([]string, len(keys))
	for i, key := range keys {
		escaped[i] = url.PathEscape(key)
	}
	return "/* mc: " + strings.Join(escaped, " ") + " */"
}

// rename changes a user's name.
func rename(ctx context.Context, db *sql.DB, id int, name string) error {
	user := fmt.Sprintf("user:%d", id)
	_, err := db.ExecContext(ctx, "UPDATE "+tag(user, user+":friends")+" users SET name = ? WHERE id = ?", name, id)
	return err
}

// docs: to here

func add(ctx context.Context, db *sql.DB, name, email string) (id int64, err error) {
	result, err := db.ExecContext(ctx, "INSERT "+tag("users:newest", "user_by_email:"+email)+" INTO users (name, email) VALUES (?, ?)", name, email)
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

func remove(ctx context.Context, db *sql.DB, id int64, email string) error {
	_, err := db.ExecContext(ctx, "DELETE "+tag(fmt.Sprintf("user:%d", id), "user_by_email:"+email)+" FROM users WHERE id = ?", id)
	return err
}

func main() {
	if err := run(context.Background(), len(os.Args) > 1 && os.Args[1] == "interpolate"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, interpolate bool) error {
	fmt.Printf("Go\t%s\n", runtime.Version())
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/go-sql-driver/mysql" {
				fmt.Printf("go-sql-driver/mysql\t%s\n", m.Version)
			}
		}
	}
	// With interpolateParams the driver puts parameters in, without it the server.
	db, err := sql.Open("mysql", "root@tcp(127.0.0.1:"+os.Getenv("RECIPE_PORT")+")/shop?interpolateParams="+strconv.FormatBool(interpolate))
	if err != nil {
		return err
	}
	defer db.Close()
	if err := rename(ctx, db, 1, "Grace /* mc: forged */"); err != nil {
		return err
	}
	const email = `d'arcy,100%*/\@example.com`
	id, err := add(ctx, db, "Ada", email)
	if err != nil {
		return err
	}
	return remove(ctx, db, id, email)
}
