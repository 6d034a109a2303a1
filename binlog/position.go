package binlog

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// File names a log file so that it can be told from another of the same name:
// the server that wrote it and the time of its creation, from the header of its
// format description event. Unknown parts are zero.
type File struct {
	Name    string
	Server  string    // MySQL: server_uuid; MariaDB: server_id in decimal
	Created time.Time // whole seconds
}

// FileNumber splits a log file's name, bin.000003, into what stands before the
// last dot and the number behind it. Servers count on after 999999, and do not
// always pad alike, so files are ordered by number and never by name. It is not ok
// where there is no dot or no number behind it.
func FileNumber(name string) (base string, n uint64, ok bool) {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return "", 0, false
	}
	n, err := strconv.ParseUint(name[dot+1:], 10, 64)
	return name[:dot], n, err == nil
}

// Compare orders two files of one log: order is negative if f is the older, 0 if
// they are the same file, positive if f is the newer. It is not ok where that
// cannot be told: the files are of two servers or have other base names, or the
// times of their creation show that the log was reset between them (one name with
// two times, or a later number made earlier). A server or time that is unknown on
// one side contradicts nothing.
func (f File) Compare(g File) (order int, ok bool) {
	if f.Server != "" && g.Server != "" && f.Server != g.Server {
		return 0, false
	}
	created := 0
	if !f.Created.IsZero() && !g.Created.IsZero() {
		created = f.Created.Compare(g.Created)
	}
	if f.Name == g.Name {
		return 0, f.Name != "" && created == 0
	}
	fbase, fn, fok := FileNumber(f.Name)
	gbase, gn, gok := FileNumber(g.Name)
	order = cmp.Compare(fn, gn)
	// Files that follow each other quickly may have the same second.
	return order, fok && gok && fbase == gbase && order != 0 && created != -order
}

// Position is a place in a source's log, always at a transaction's end: all that
// is in it has been executed, all that is not is still to come. The zero Position
// is no place.
//
// A copy by assignment shares the set; Clone does not. A Position has one user at
// a time, as its set has.
type Position struct {
	GTIDs  *GTIDSet // nil where the server has no GTIDs
	File   File
	Offset uint64 // the first byte behind the transaction
}

// Fold moves p past a transaction that has ended: g is its GTID (zero if it has
// none), end the first byte behind it in file. A position without a set stays
// without one, whatever GTIDs come, for a set of those seen since would deny all
// that was executed before. It is an error, and moves nothing, if g cannot be
// added to the set. It does not copy the set; for the next transaction of a source
// it allocates nothing.
func (p *Position) Fold(g GTID, file File, end uint64) error {
	if p.GTIDs != nil && !g.IsZero() {
		if err := p.GTIDs.Add(g); err != nil {
			return fmt.Errorf("move position past the transaction that ends at %s:%d: %w", file.Name, end, err)
		}
	}
	p.File, p.Offset = file, end
	return nil
}

// Executed reports whether the transaction g, or where GTIDs do not tell the one
// that begins at start in file, has been executed at p. Where nothing tells, the
// answer is no: a transaction is repeated rather than skipped.
//
// MySQL's GTIDs tell always. MariaDB's do only as far as GTIDSet.Contains says, so
// there the place is asked first, and the GTID where places cannot be compared:
// on another server, or after a reset.
func (p Position) Executed(g GTID, file File, start uint64) bool {
	if p.GTIDs != nil && g.Flavor == MySQL {
		return p.GTIDs.Contains(g)
	}
	if before, ok := p.behind(file, start); ok {
		return before
	}
	return p.GTIDs.Contains(g)
}

// behind reports whether the place file:start lies before p. It is not ok where the
// two places cannot be compared.
func (p Position) behind(file File, start uint64) (before, ok bool) {
	if p.File.Name == "" {
		return false, false
	}
	order, ok := file.Compare(p.File)
	if !ok {
		return false, false
	}
	return order < 0 || order == 0 && start < p.Offset, true
}

// Covers reports whether all that was executed at q has been executed at p, by the
// same rules as Executed; no where nothing tells.
func (p Position) Covers(q Position) bool {
	if p.GTIDs != nil && q.GTIDs != nil && (p.GTIDs.Flavor() == MySQL || q.GTIDs.Flavor() == MySQL) {
		return p.GTIDs.Covers(q.GTIDs)
	}
	if p.File.Name != "" && q.File.Name != "" {
		if order, ok := q.File.Compare(p.File); ok {
			return order < 0 || order == 0 && q.Offset <= p.Offset
		}
	}
	return p.GTIDs != nil && q.GTIDs != nil && p.GTIDs.Covers(q.GTIDs)
}

// Equal reports whether p and q are the same place, by set, file and offset.
func (p Position) Equal(q Position) bool {
	return (p.GTIDs == nil) == (q.GTIDs == nil) && p.GTIDs.Equal(q.GTIDs) &&
		p.File.Name == q.File.Name && p.File.Server == q.File.Server &&
		p.File.Created.Equal(q.File.Created) && p.Offset == q.Offset
}

// IsZero reports whether p is no place.
func (p Position) IsZero() bool { return p.Equal(Position{}) }

// Clone is a copy of p with a set of its own.
func (p Position) Clone() Position {
	p.GTIDs = p.GTIDs.Clone()
	return p
}

// String is for people: "SET @ bin.000003:1234", without what is not known.
func (p Position) String() string {
	var parts []string
	switch {
	case p.GTIDs == nil:
	case p.GTIDs.Empty():
		parts = append(parts, "no GTIDs")
	default:
		parts = append(parts, p.GTIDs.String())
	}
	if p.File.Name != "" {
		parts = append(parts, p.File.Name+":"+strconv.FormatUint(p.Offset, 10))
	}
	if len(parts) == 0 {
		return "nowhere"
	}
	return strings.Join(parts, " @ ")
}

// positionJSON is a Position in a checkpoint. GTID is null where the position has
// no set, and "" where the set is empty.
type positionJSON struct {
	GTID    *string   `json:"gtid,omitempty"`
	Flavor  string    `json:"flavor,omitempty"`
	File    string    `json:"file,omitempty"`
	Offset  uint64    `json:"offset,omitempty"`
	Server  string    `json:"server,omitempty"`
	Created time.Time `json:"created,omitzero"`
}

// MarshalJSON writes p for a checkpoint, unknown parts left out:
//
//	{"gtid":"…","flavor":"mysql","file":"bin.000003","offset":1234,"server":"…","created":"2026-01-02T03:04:05Z"}
func (p Position) MarshalJSON() ([]byte, error) {
	j := positionJSON{
		File:    p.File.Name,
		Offset:  p.Offset,
		Server:  p.File.Server,
		Created: p.File.Created.UTC(),
	}
	if p.GTIDs != nil {
		text := p.GTIDs.String()
		j.GTID = &text
		if f := p.GTIDs.Flavor(); f != FlavorUnknown {
			j.Flavor = f.String()
		}
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON wrote. A field it does not know is an
// error: a misspelt "gtid" would otherwise be a position without one.
func (p *Position) UnmarshalJSON(data []byte) error {
	var j positionJSON
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		return fmt.Errorf("position: %w", err)
	}
	read := Position{
		File:   File{Name: j.File, Server: j.Server, Created: j.Created},
		Offset: j.Offset,
	}
	if j.GTID != nil {
		flavor, err := FlavorUnknown, error(nil)
		if j.Flavor != "" {
			if flavor, err = ParseFlavor(j.Flavor); err != nil {
				return fmt.Errorf("position: %w", err)
			}
		}
		if read.GTIDs, err = ParseGTIDSet(flavor, *j.GTID); err != nil {
			return fmt.Errorf("position: %w", err)
		}
	}
	*p = read
	return nil
}
