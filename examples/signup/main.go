// Command signup stores each new user together with the task of the welcome mail, in one
// transaction: there is no user without a mail, and no mail to a user who does not exist.
// It brings a mail server that only prints, so "go run ." shows all of it.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"log/slog"
	"net/mail"
	"net/smtp"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// SendWelcome is the task. The mailer has its function.
var SendWelcome = queue.Declare[Welcome, any]("emails.welcome", queue.OnQueue("emails"), queue.MaxAttempts(8), queue.Timeout(30*time.Second))

// Welcome are the arguments of SendWelcome.
type Welcome struct {
	Email string `json:"email"`
}

const usersTable = `CREATE TABLE IF NOT EXISTS users (email TEXT PRIMARY KEY, welcomed_at TEXT)`

// shop is the program without its pages.
type shop struct {
	db     *sql.DB
	client *queue.Client
}

// signUp stores a user and the task of the mail, both or neither.
func (s *shop) signUp(ctx context.Context, email string) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	return s.client.InTx(ctx, sqlitestore.Tx(tx), func(q queue.Tx) error { // commits, or rolls back
		if _, err := tx.ExecContext(ctx, `INSERT INTO users (email) VALUES (?)`, email); err != nil {
			return fmt.Errorf("sign up %s: %w", email, err)
		}
		_, err := SendWelcome.EnqueueTx(ctx, s.client, q, Welcome{Email: email})
		return err
	})
}

// mailer sends mails through the SMTP server at addr.
type mailer struct {
	addr string
	db   *sql.DB
}

// sendWelcome is the task's function. It may run twice, if the process dies after the mail
// was accepted: the Message-ID is then the same, by which mail programs drop the second.
func (m *mailer) sendWelcome(ctx context.Context, in Welcome) error {
	to, err := mail.ParseAddress(in.Email)
	if err != nil {
		return queue.Discard(err) // another attempt would fail, too
	}
	info, _ := queue.InfoFrom(ctx)
	text := fmt.Sprintf("Message-ID: <%s@shop.example>\r\nFrom: <shop@shop.example>\r\nTo: %s\r\nSubject: Welcome\r\n\r\nWelcome to the shop!\r\n", info.ID, to)
	if err := smtp.SendMail(m.addr, nil, "shop@shop.example", []string{to.Address}, []byte(text)); err != nil {
		return err // retried, after a second at first
	}
	_, err = m.db.ExecContext(ctx, `UPDATE users SET welcomed_at = datetime('now') WHERE email = ?`, in.Email)
	return err
}

func main() {
	ctx := context.Background()
	sink, err := startSink()
	check(err)
	store, err := sqlitestore.Open(ctx, sqlitestore.Config{URL: "sqlite::memory:", Migrate: true})
	check(err)
	_, err = store.DB().ExecContext(ctx, usersTable)
	check(err)
	mails := &mailer{addr: sink.addr, db: store.DB()}
	client, err := queue.StartLocal(ctx, queue.Config{
		Store: store, Registry: queue.NewRegistry(SendWelcome.HandleFunc(mails.sendWelcome)), Logger: slog.New(slog.DiscardHandler),
	})
	check(err)
	s := &shop{db: store.DB(), client: client}

	for _, email := range []string{"ann@example.com", "bob@example.com"} {
		check(s.signUp(ctx, email))
		fmt.Println("signed up:", email)
		fmt.Println("mail sent:", <-sink.mails)
	}
	if s.signUp(ctx, "ann@example.com") != nil { // the table has her
		fmt.Println("refused, and no second mail: ann@example.com")
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
