package proxy

import (
	"bufio"
	"bytes"
	"io"
	"strings"
)

// queryCommand is the first byte of a packet that carries SQL as text.
const queryCommand = 0x03

// upMySQL forwards the client's packets, and records the COMMIT of a transaction that
// has changed something.
func (l *link) upMySQL() {
	in := bufio.NewReaderSize(l.client, 32<<10)
	for {
		packet, err := readMySQL(in)
		if err != nil {
			return
		}
		if len(packet) > 5 && packet[4] == queryCommand {
			l.record(packet[5:])
		}
		if l.blackholed.Load() {
			continue
		}
		if _, err := l.server.Write(packet); err != nil {
			return
		}
	}
}

// record inspects a statement of the client.
func (l *link) record(statement []byte) {
	first, _, _ := bytes.Cut(statement[:min(len(statement), 32)], []byte(" "))
	switch strings.ToUpper(string(bytes.TrimSpace(first))) {
	case "INSERT", "UPDATE", "DELETE":
		l.wrote = true
	case "START", "ROLLBACK":
		l.wrote = false
	case "COMMIT":
		l.committing.Store(l.wrote)
		l.wrote = false
	}
}

// passMySQL forwards one packet of the server, unless it is the answer to a COMMIT
// that is to be cut off.
func (l *link) passMySQL(in *bufio.Reader, out *bufio.Writer) error {
	packet, err := readMySQL(in)
	if err != nil {
		return err
	}
	if l.committing.Swap(false) {
		ok := len(packet) > 4 && packet[4] == 0
		if ok && l.proxy.takeCut("COMMIT") {
			return errCut
		}
	}
	_, err = out.Write(packet)
	return err
}

// readMySQL reads one packet with its header: three bytes of length, one of
// sequence.
func readMySQL(in *bufio.Reader) ([]byte, error) {
	header, err := in.Peek(4)
	if err != nil {
		return nil, err
	}
	length := int(header[0]) | int(header[1])<<8 | int(header[2])<<16
	packet := make([]byte, 4+length)
	_, err = io.ReadFull(in, packet)
	return packet, err
}
