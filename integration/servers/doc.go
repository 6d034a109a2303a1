// Package servers installs and runs the real servers that mcsqueal is tested,
// shown and measured against: MySQL, MariaDB, and memcached of two ages, the
// newer with its built-in proxy as a router.
//
// What comes in is Debian's archive: [Install] unpacks the programs into a cache
// folder of their own ([Dir]), so nothing of the system changes and root is not
// needed. What goes out are private instances: each on a free loopback port, with
// a scratch folder that goes when the instance is closed, in a process that dies
// with the one that started it. An instance can be stopped, killed, frozen and
// started again on the same data and the same port, which is how the tests try to
// break the promise that nothing is lost.
//
// Tests use the functions that take a [testing.TB]: they skip with a sentence that
// says what is missing and how to get it, or fail where MCSQUEAL_REQUIRE_SERVERS=1
// says that a skip would hide something.
package servers
