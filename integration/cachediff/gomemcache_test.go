package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// calls are what an independent client does, in order, with every method it has. Each
// returns what it came to.
var calls = []struct {
	name string
	do   func(c *memcache.Client) any
}{
	{"ping", func(c *memcache.Client) any { return c.Ping() }},
	{"get what is not there", func(c *memcache.Client) any { return got(c.Get("a")) }},
	{"set", func(c *memcache.Client) any { return c.Set(&memcache.Item{Key: "a", Value: []byte("one"), Flags: 7}) }},
	{"get", func(c *memcache.Client) any { return got(c.Get("a")) }},
	{"add what is there", func(c *memcache.Client) any { return c.Add(&memcache.Item{Key: "a", Value: []byte("two")}) }},
	{"add", func(c *memcache.Client) any {
		return c.Add(&memcache.Item{Key: "b", Value: []byte("two"), Flags: 4294967295})
	}},
	{"replace what is not there", func(c *memcache.Client) any { return c.Replace(&memcache.Item{Key: "c", Value: []byte("x")}) }},
	{"replace", func(c *memcache.Client) any { return c.Replace(&memcache.Item{Key: "b", Value: []byte("three")}) }},
	{"append to what is not there", func(c *memcache.Client) any { return c.Append(&memcache.Item{Key: "c", Value: []byte("x")}) }},
	{"append", func(c *memcache.Client) any { return c.Append(&memcache.Item{Key: "b", Value: []byte(">")}) }},
	{"prepend", func(c *memcache.Client) any { return c.Prepend(&memcache.Item{Key: "b", Value: []byte("<")}) }},
	{"prepend to what is not there", func(c *memcache.Client) any { return c.Prepend(&memcache.Item{Key: "c", Value: []byte("x")}) }},
	{"get several", func(c *memcache.Client) any {
		items, err := c.GetMulti([]string{"a", "missing", "b"})
		var all []string
		for _, item := range items {
			all = append(all, got(item, nil))
		}
		slices.Sort(all)
		return fmt.Sprint(all, err)
	}},
	{"get none of several", func(c *memcache.Client) any {
		items, err := c.GetMulti([]string{"missing", "gone"})
		return fmt.Sprint(len(items), err)
	}},
	{"swap what was not changed", func(c *memcache.Client) any {
		item, err := c.Get("a")
		if err != nil {
			return err
		}
		item.Value = []byte("swapped")
		return c.CompareAndSwap(item)
	}},
	{"swap what was changed", func(c *memcache.Client) any {
		item, err := c.Get("a")
		if err != nil {
			return err
		}
		return errors.Join(c.Set(&memcache.Item{Key: "a", Value: []byte("changed")}), c.CompareAndSwap(item))
	}},
	{"swap what is gone", func(c *memcache.Client) any {
		item, err := c.Get("a")
		if err != nil {
			return err
		}
		return errors.Join(c.Delete("a"), c.CompareAndSwap(item))
	}},
	{"increment what is not there", func(c *memcache.Client) any { return number64(c.Increment("n", 1)) }},
	{"set a number", func(c *memcache.Client) any { return c.Set(&memcache.Item{Key: "n", Value: []byte("9")}) }},
	{"increment", func(c *memcache.Client) any { return number64(c.Increment("n", 1)) }},
	{"decrement", func(c *memcache.Client) any { return number64(c.Decrement("n", 3)) }},
	{"decrement below nothing", func(c *memcache.Client) any { return number64(c.Decrement("n", 30)) }},
	{"increment beyond all", func(c *memcache.Client) any { return number64(c.Increment("n", 1<<64-1)) }},
	{"decrement what is not there", func(c *memcache.Client) any { return number64(c.Decrement("m", 3)) }},
	{"increment what is no number", func(c *memcache.Client) any { return number64(c.Increment("b", 1)) }},
	{"touch", func(c *memcache.Client) any { return c.Touch("n", 100) }},
	{"touch what is not there", func(c *memcache.Client) any { return c.Touch("m", 100) }},
	{"touch with the past", func(c *memcache.Client) any { return errors.Join(c.Touch("n", -1), errorOf(c.Get("n"))) }},
	{"get and touch", func(c *memcache.Client) any { return got(c.GetAndTouch("b", 100)) }},
	{"get and touch what is not there", func(c *memcache.Client) any { return got(c.GetAndTouch("n", 100)) }},
	{"delete", func(c *memcache.Client) any { return c.Delete("b") }},
	{"delete what is not there", func(c *memcache.Client) any { return c.Delete("b") }},
	{"a key that is too long", func(c *memcache.Client) any { return got(c.Get(strings.Repeat("k", 251))) }},
	{"the longest key", func(c *memcache.Client) any {
		key := strings.Repeat("k", 250)
		return errors.Join(c.Set(&memcache.Item{Key: key, Value: []byte{}}), errorOf(c.Get(key)))
	}},
	{"a value that is too large", func(c *memcache.Client) any {
		return errors.Join(c.Set(&memcache.Item{Key: "large", Value: make([]byte, 2<<20)}), errorOf(c.Get("large")))
	}},
	{"a large value", func(c *memcache.Client) any {
		return errors.Join(c.Set(&memcache.Item{Key: "large", Value: make([]byte, 1_000_000)}), errorOf(c.Get("large")))
	}},
	{"delete all", func(c *memcache.Client) any { return c.DeleteAll() }},
	{"flush all", func(c *memcache.Client) any { return c.FlushAll() }},
	{"ping again", func(c *memcache.Client) any { return c.Ping() }},
}

// got shows an item, but not its id, which is another on every server.
func got(item *memcache.Item, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s %q %d id:%v", item.Key, item.Value, item.Flags, item.CasID > 1)
}

func number64(n uint64, err error) string { return fmt.Sprint(n, err) }

func errorOf(_ *memcache.Item, err error) error { return err }

// sameClient has the client make its calls to two servers.
func sameClient(t *testing.T, subject, reference *servers.Memcached) {
	t.Helper()
	if err := errors.Join(subject.Client().FlushAll(), reference.Client().FlushAll()); err != nil {
		t.Fatal(err)
	}
	for _, call := range calls {
		one, other := fmt.Sprint(call.do(subject.Client())), fmt.Sprint(call.do(reference.Client()))
		if one != other {
			t.Errorf("%s: %s answers %q, %s %q", call.name, subject, one, reference, other)
		}
	}
}

func TestAnIndependentClientSeesNoDifference(t *testing.T) {
	t.Parallel()
	s := staged(t, "old", nil)
	sameClient(t, s.subject, s.reference)
}
