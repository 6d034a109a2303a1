// Package rowimage takes the row images of a binary log apart. What comes in are
// the bodies of Table_map events and of rows events, of both servers; what goes out
// is the values of the columns that somebody wants, as SELECT shows them to a session
// with utf8mb4 and the time zone +00:00. Columns nobody wants are walked over by
// their sizes. It keeps the promise that nothing is wrong in silence: what the log
// does not say for certain, and nobody has told (Description), is an
// UnreadableError and never a guess. Nothing that a log holds makes it panic, or
// allocate more than in proportion to the event.
package rowimage
