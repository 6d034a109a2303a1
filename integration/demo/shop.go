package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// The shop's size, and what goes on in it.
const (
	productCount    = 1000
	customerCount   = 500
	pageCount       = productCount + customerCount
	ordersPerSecond = 100
	readerCount     = 16
	// thinkTime is the mean time between a reader's reads.
	thinkTime = 3 * time.Millisecond
	// pageTTL is how long a page may stay in the cache, with mcsqueal or without.
	pageTTL = 4 * time.Second
)

// shop is the database of a small shop: products, customers, and the orders that
// change both. Every row that has a page carries its version.
type shop struct {
	name      string // of the server, for people
	url       string // as mcsqueal names a source
	db        *sql.DB
	ledger    *ledger
	lastOrder int // the newest order's id; the writer's
}

const database = "shop"

const tables = `
CREATE TABLE products (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL, price INT NOT NULL, stock INT NOT NULL, version INT NOT NULL);
CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL, orders INT NOT NULL, version INT NOT NULL);
CREATE TABLE orders (id INT PRIMARY KEY, customer INT NOT NULL, product INT NOT NULL);
CREATE TABLE greetings (id INT PRIMARY KEY AUTO_INCREMENT);
`

// openShop makes the shop on an empty server.
func openShop(ctx context.Context, server *servers.Database) (_ *shop, err error) {
	version, err := servers.Version(server.Kind())
	if err != nil {
		return nil, err
	}
	config, err := mysql.ParseDSN(server.DSN())
	if err != nil {
		return nil, fmt.Errorf("read the address of %s: %w", server, err)
	}
	config.DBName = database
	config.InterpolateParams = true // whole statements, as most clients send them
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, fmt.Errorf("prepare connections to %s: %w", server, err)
	}
	version, _, _ = strings.Cut(version, "-") // without the packager's part
	s := &shop{
		name:   fmt.Sprintf("%s %s: %s products, %s customers", server.Kind(), version, count(productCount), count(customerCount)),
		url:    server.URL(),
		db:     sql.OpenDB(connector),
		ledger: newLedger(pageCount),
	}
	s.db.SetMaxIdleConns(readerCount + 1)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if _, err := server.DB().ExecContext(ctx, "CREATE DATABASE "+database); err != nil {
		return nil, fmt.Errorf("make the shop's database: %w", err)
	}
	if _, err := s.db.ExecContext(ctx, tables+stock()); err != nil {
		return nil, fmt.Errorf("make the shop's tables: %w", err)
	}
	return s, nil
}

// stock is the statements that fill the tables.
func stock() string {
	var products, customers []string
	for id := 1; id <= productCount; id++ {
		products = append(products, fmt.Sprintf("(%d,'Product No. %[1]d',%d,1000000,1)", id, 100+37*id%5000))
	}
	for id := 1; id <= customerCount; id++ {
		customers = append(customers, fmt.Sprintf("(%d,'Customer No. %[1]d',0,1)", id))
	}
	return "INSERT INTO products VALUES " + strings.Join(products, ",") + ";\n" +
		"INSERT INTO customers VALUES " + strings.Join(customers, ",")
}

// Close closes the connections.
func (s *shop) Close() error { return s.db.Close() }

// A page is what is cached of a product or a customer. Pages are numbered: the
// products', then the customers'.
type page struct {
	ID      int    `json:"id"`
	Name    string `json:"name"`
	Price   int    `json:"price,omitempty"`
	Stock   int    `json:"stock,omitempty"`
	Orders  int    `json:"orders,omitempty"`
	Version int    `json:"version"`
}

func productPage(id int) int  { return id - 1 }
func customerPage(id int) int { return productCount + id - 1 }

// pageKey is a page's key in the cache.
func pageKey(n int) string {
	if n < productCount {
		return fmt.Sprintf("product:%d", n+1)
	}
	return fmt.Sprintf("customer:%d", n-productCount+1)
}

// orderKey is the key of what the cache has about one order.
func orderKey(id int) string { return fmt.Sprintf("order:%d", id) }

// load makes a page from the database.
func (s *shop) load(ctx context.Context, n int) (p page, err error) {
	if n < productCount {
		p.ID = n + 1
		err = s.db.QueryRowContext(ctx, "SELECT name, price, stock, version FROM products WHERE id = ?", p.ID).
			Scan(&p.Name, &p.Price, &p.Stock, &p.Version)
	} else {
		p.ID = n - productCount + 1
		err = s.db.QueryRowContext(ctx, "SELECT name, orders, version FROM customers WHERE id = ?", p.ID).
			Scan(&p.Name, &p.Orders, &p.Version)
	}
	if err != nil {
		return p, fmt.Errorf("read %s from the database: %w", pageKey(n), err)
	}
	return p, nil
}

// encode is the page as it is cached.
func (p page) encode() ([]byte, error) { return json.Marshal(p) }

func decodePage(value []byte) (p page, err error) {
	if err := json.Unmarshal(value, &p); err != nil {
		return p, fmt.Errorf("the cache holds %q, which is no page: %w", value, err)
	}
	return p, nil
}

// buy commits an order: three statements in a transaction, each of which names the
// keys that it makes old. It returns when the commit was acknowledged.
func (s *shop) buy(ctx context.Context, order, customer, product int) (time.Time, error) {
	fail := func(err error) (time.Time, error) {
		return time.Time{}, fmt.Errorf("commit order %d: %w", order, err)
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fail(err)
	}
	for _, statement := range []string{
		fmt.Sprintf("UPDATE /* mc: product:%d */ products SET stock = stock - 1, version = version + 1 WHERE id = %[1]d", product),
		fmt.Sprintf("UPDATE /* mc: customer:%d */ customers SET orders = orders + 1, version = version + 1 WHERE id = %[1]d", customer),
		fmt.Sprintf("INSERT /* mc: order:%d */ INTO orders VALUES (%[1]d, %d, %d)", order, customer, product),
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fail(errors.Join(err, tx.Rollback()))
		}
	}
	if err := tx.Commit(); err != nil {
		return fail(err)
	}
	at := time.Now()
	s.ledger.commit(at, productPage(product), customerPage(customer))
	return at, nil
}

// greetingKey is the key that a greeting names.
const greetingKey = "greeting"

// greet commits a transaction that names greetingKey and changes no page.
func (s *shop) greet(ctx context.Context) error {
	const statement = "INSERT /* mc: " + greetingKey + " */ INTO greetings VALUES ()"
	if _, err := s.db.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("commit a greeting: %w", err)
	}
	return nil
}
