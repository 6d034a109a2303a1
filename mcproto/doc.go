// Package mcproto is memcached's protocols as bytes: it appends commands to a
// buffer and takes answers off one, without any I/O and without allocating.
//
// In comes a key, out goes the command's line; in come the bytes a peer sent, out
// goes what they say and how many of them it took. It keeps the promise that
// nothing is forged: no command is appended around bytes that are not a valid
// key, so a key can never be anything but a key on the wire; and no answer is
// guessed: a line that is none of the known ones is [Unexpected].
//
// Both of memcached's protocols are spoken, "meta" (md, mn, …) and "text" (the
// classic commands). Facts come from protocol.txt in memcached's sources and from
// what memcached 1.6.18, 1.6.45 and its proxy were seen to answer; the tests in
// mcconn hold those servers to it.
package mcproto
