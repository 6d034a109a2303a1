package binlog

import (
	"encoding/binary"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/backoff"
)

// idler is a Handler that writes down where it was told that the reading waits.
type idler struct {
	recorder
	idle chan idleness
}

type idleness struct {
	file   string
	offset uint64
}

func (i *idler) Idle(offset uint64) error {
	i.idle <- idleness{i.file.Name, offset}
	return nil
}

// eventPacket is an event as a dump sends it, without a checksum.
func eventPacket(sequence uint8, kind uint8, flags uint16, logPos uint32, body []byte) []byte {
	size := headerSize + len(body)
	b := []byte{byte(1 + size), byte((1 + size) >> 8), 0, sequence, 0}
	b = binary.LittleEndian.AppendUint32(b, 1_700_000_000)
	b = append(b, kind)
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = binary.LittleEndian.AppendUint32(b, uint32(size))
	b = binary.LittleEndian.AppendUint32(b, logPos)
	b = binary.LittleEndian.AppendUint16(b, flags)
	return append(b, body...)
}

func rotatePacket(sequence uint8, flags uint16, logPos uint32, name string, offset uint64) []byte {
	return eventPacket(sequence, typeRotate, flags, logPos, append(binary.LittleEndian.AppendUint64(nil, offset), name...))
}

// formatPacket is the format description of a MariaDB log without checksums.
func formatPacket(sequence uint8, logPos uint32) []byte {
	body := binary.LittleEndian.AppendUint16(nil, 4)
	var version [50]byte
	copy(version[:], "10.11.18-MariaDB-log")
	body = append(body, version[:]...)
	body = append(body, 0, 0, 0, 0, headerSize)
	body = append(body, make([]byte, 171)...) // the lengths of the types' fixed parts
	body = append(body, 0, 0, 0, 0, 0)        // no checksums; this event has one all the same
	return eventPacket(sequence, typeFormatDescription, 0, logPos, body)
}

// A server names the next file before it sends that file's head, and a dump by GTID
// begins at a file's head and is silent over what has been executed. Wherever the
// stream pauses, the position stays, and nobody is told that the log has been read
// as far as an offset that belongs to another file or lies before the position.
func TestAPauseNeverMovesThePositionBack(t *testing.T) {
	at := Position{GTIDs: mustSet(t, "0-1-7"), File: File{Name: "bin.000002", Server: "1"}, Offset: 28937}
	for name, test := range map[string]struct {
		known   string // the file that the reading is in
		packets [][]byte
		want    []idleness
	}{
		"before anything has come": {want: []idleness{{"", 0}}},
		"behind the name of the file": {
			packets: [][]byte{rotatePacket(1, flagArtificial, 0, "bin.000002", 4)},
			want:    []idleness{{"", 0}, {"", 0}},
		},
		"behind the head of the file": {
			packets: [][]byte{rotatePacket(1, flagArtificial, 0, "bin.000002", 4), formatPacket(2, 256)},
			want:    []idleness{{"", 0}, {"", 0}, {"bin.000002", 0}},
		},
		"behind the name of the next file": {
			known:   "bin.000002",
			packets: [][]byte{rotatePacket(1, 0, 28980, "bin.000003", 4)},
			want:    []idleness{{"bin.000002", 28937}, {"bin.000002", 0}},
		},
		"behind the head of the next file": {
			known:   "bin.000002",
			packets: [][]byte{rotatePacket(1, 0, 28980, "bin.000003", 4), formatPacket(2, 256)},
			want:    []idleness{{"bin.000002", 28937}, {"bin.000002", 0}, {"bin.000003", 256}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			h := &idler{idle: make(chan idleness)}
			pos := at.Clone()
			d := newDump(ours, "source", time.Minute)
			d.offset = pos.Offset
			p := &parser{h: h}
			r := &liveReading{live: NewLive(LiveConfig{}), dump: d, parser: p, pos: &pos, id: "1", retry: &backoff.Backoff{}}
			if test.known != "" {
				r.name, r.file = test.known, File{Name: test.known, Server: "1"}
				if err := p.enter(r.file, MySQL); err != nil {
					t.Fatal(err)
				}
			}
			done := make(chan error, 1)
			go func() { done <- r.run() }()
			for i, want := range test.want {
				if got := <-h.idle; got != want {
					t.Errorf("pause %d: told %v, want %v", i, got, want)
				}
				if i < len(test.packets) {
					if _, err := theirs.Write(test.packets[i]); err != nil {
						t.Fatal(err)
					}
				}
			}
			_ = theirs.Close()
			<-done
			if last := test.want[len(test.want)-1]; last.offset <= at.Offset && last.file != "bin.000003" && !pos.Equal(at) {
				t.Errorf("the position is %+v, want %+v", pos, at)
			}
		})
	}
}

// MariaDB ends its dumps when it is shut down, with the word that says that the log
// has come to its end. For who follows the log it has not.
func TestADumpThatTheServerEndsIsTheLogsEndOnlyForWhoAskedForThat(t *testing.T) {
	for name, toEnd := range map[string]bool{"following": false, "to the end": true} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer func() { _ = ours.Close() }()
			pos := Position{File: File{Name: "bin.000002"}, Offset: 4}
			d := newDump(ours, "source", time.Minute)
			r := &liveReading{live: NewLive(LiveConfig{ToEnd: toEnd}), dump: d, parser: &parser{h: &recorder{}}, pos: &pos, retry: &backoff.Backoff{}}
			done := make(chan error, 1)
			go func() { done <- r.run() }()
			if _, err := theirs.Write([]byte{5, 0, 0, 1, 0xfe, 0, 0, 0, 0}); err != nil {
				t.Fatal(err)
			}
			err := <-done
			if lost := errors.As(err, new(*lostError)); lost == toEnd || toEnd && err != nil {
				t.Errorf("the reading ended with %v", err)
			}
		})
	}
}
