package proxy

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// errCut ends a connection whose commit is cut off.
var errCut = errors.New("cut after the commit")

// longest is longer than any message of a test: a longer one means that the stream was
// misread.
const longest = 64 << 20

// passPostgres forwards one message of the server; or, while commits are to be cut off,
// all messages up to the next ReadyForQuery, because only that says that the
// transaction was committed.
func (l *link) passPostgres(in *bufio.Reader, out *bufio.Writer) error {
	var answer []byte
	command, failed := "", false
	for {
		message, err := readPostgres(in)
		if err != nil {
			return err
		}
		answer = append(answer, message...)
		switch message[0] {
		case 'C': // CommandComplete
			if tag := committed(message[5:]); tag != "" {
				command = tag
			}
		case 'E': // ErrorResponse
			failed = true
		case 'Z': // ReadyForQuery: I is idle, T and E are within a transaction
			if command != "" && !failed && message[5] == 'I' && l.proxy.takeCut(command) {
				return errCut
			}
		}
		if message[0] == 'Z' || message[0] == 'R' || !l.proxy.cutting() {
			_, err := out.Write(answer)
			return err
		}
	}
}

// readPostgres reads one message with its header.
func readPostgres(in *bufio.Reader) ([]byte, error) {
	header, err := in.Peek(5)
	if err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(header[1:])
	if length < 4 || length > longest {
		return nil, fmt.Errorf("a message of %d bytes", length)
	}
	message := make([]byte, 1+length)
	_, err = io.ReadFull(in, message)
	return message, err
}

// committed returns the command in a CommandComplete if it changes something once it
// is committed; else it returns an empty string.
func committed(tag []byte) string {
	tag = bytes.TrimRight(tag, "\x00")
	words := bytes.Fields(tag)
	if len(words) == 0 {
		return ""
	}
	switch command := string(words[0]); command {
	case "COMMIT":
		return command
	case "INSERT", "UPDATE", "DELETE":
		if !bytes.Equal(words[len(words)-1], []byte("0")) {
			return command
		}
	}
	return ""
}
