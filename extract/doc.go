// Package extract turns what a transaction says into keys. What comes in is the
// text of its statements and how their session reads SQL, and the images of rows
// that somebody's rules are about; what goes out is the keys that tags in its
// comments name and that rules derive, in the order of first mention, and a Refusal
// for whatever was meant as a key and cannot be one. It keeps two promises: nothing
// is forged (text inside a literal is never a tag, and a key can never be anything
// but a key on the wire), and nothing is wrong in silence (a statement that mentions
// a tag and cannot be read for certain is refused loudly, never guessed at, and so is
// a row whose values are not known for certain).
package extract
