package main

import (
	"bufio"
	"fmt"
	"net"
	"net/mail"
	"strings"
)

// sink is an SMTP server on loopback that delivers nothing. It stands in for the provider.
type sink struct {
	addr  string
	mails chan string // "Subject, to <address>" of each mail that it has accepted
}

func startSink() (*sink, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{addr: listener.Addr().String(), mails: make(chan string, 100)}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return s, nil
}

// serve speaks as much of SMTP as net/smtp needs.
func (s *sink) serve(conn net.Conn) {
	defer conn.Close()
	say := func(text string) { fmt.Fprint(conn, text+"\r\n") }
	say("220 sink")
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		switch verb, _, _ := strings.Cut(strings.ToUpper(lines.Text()), " "); verb {
		case "DATA":
			say("354 go on")
			s.accept(lines)
			say("250 accepted")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// accept reads a mail, up to its end: a line with a dot.
func (s *sink) accept(lines *bufio.Scanner) {
	var text strings.Builder
	for lines.Scan() && lines.Text() != "." {
		text.WriteString(lines.Text() + "\r\n")
	}
	message, err := mail.ReadMessage(strings.NewReader(text.String()))
	if err != nil {
		s.mails <- err.Error()
		return
	}
	s.mails <- message.Header.Get("Subject") + ", to " + message.Header.Get("To")
}
