package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/mail"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
	"github.com/claimcheck-go/claimcheck/server"
)

// shop is the program as it was, and the client of its tasks.
type shop struct {
	db     *pgxpool.Pool
	client *queue.Client
	log    *slog.Logger
}

// SendWelcome sends the mail that a new user gets.
var SendWelcome = queue.Declare[Welcome, any]("emails.send_welcome")

// Welcome are its arguments.
type Welcome struct {
	UserID int64 `json:"user_id"`
}

// setup takes the database from the settings, because users and tasks are stored in
// one transaction.
func (s *shop) setup(ctx context.Context, app *server.App) ([]queue.Definition, error) {
	s.db, s.client, s.log = app.PgxPool(), app.Client(), app.Logger()
	if s.db == nil {
		return nil, errors.New("this program needs PostgreSQL: set DATABASE_URL=postgres://USER:PASSWORD@HOST/NAME")
	}
	return []queue.Definition{SendWelcome.Handle(s.sendWelcome)}, s.createTables(ctx)
}

func (s *shop) createTables(ctx context.Context) error {
	_, err := s.db.Exec(ctx, `CREATE TABLE IF NOT EXISTS users (
		id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL UNIQUE, welcomed_at timestamptz)`)
	return err
}

// signUp inserts a user and enqueues the mail in one transaction. InTx commits it,
// and dispatches the task then.
func (s *shop) signUp(w http.ResponseWriter, r *http.Request) {
	address, err := mail.ParseAddress(r.PostFormValue("email"))
	if err != nil {
		http.Error(w, "email: "+err.Error(), http.StatusBadRequest)
		return
	}
	err = s.insertUser(r.Context(), address.Address)
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && refused.Code == "23505": // unique_violation
		http.Error(w, "this address has signed up already", http.StatusConflict)
	case err != nil:
		s.unavailable(w, r, err)
	default:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}

func (s *shop) insertUser(ctx context.Context, email string) error {
	tx, err := s.db.Begin(ctx)
	if err != nil {
		return err
	}
	return s.client.InTx(ctx, pgstore.Tx(tx), func(q queue.Tx) error {
		var id int64
		if err := tx.QueryRow(ctx, "INSERT INTO users (email) VALUES ($1) RETURNING id", email).Scan(&id); err != nil {
			return err
		}
		_, err := SendWelcome.EnqueueTx(ctx, s.client, q, Welcome{UserID: id})
		return err
	})
}

// sendWelcome is the task's function. What it writes commits together with its
// success, or not at all.
func (s *shop) sendWelcome(ctx context.Context, to Welcome) (any, error) {
	return nil, pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		// A real program sends the mail here.
		if _, err := tx.Exec(ctx, "UPDATE users SET welcomed_at = now() WHERE id = $1", to.UserID); err != nil {
			return err
		}
		return queue.CompleteTx(ctx, pgstore.Tx(tx), nil)
	})
}

// users lists who has signed up.
func (s *shop) users(w http.ResponseWriter, r *http.Request) {
	rows, err := s.db.Query(r.Context(), "SELECT email, welcomed_at IS NOT NULL FROM users ORDER BY id")
	if err != nil {
		s.unavailable(w, r, err)
		return
	}
	var email string
	var welcomed bool
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err = pgx.ForEachRow(rows, []any{&email, &welcomed}, func() error {
		_, err := fmt.Fprintf(w, "%s, welcomed: %t\n", email, welcomed)
		return err
	})
	if err != nil {
		s.unavailable(w, r, err)
	}
}

// unavailable logs err, whose text is not for visitors.
func (s *shop) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	s.log.ErrorContext(r.Context(), "request failed", "path", r.URL.Path, "error", err)
	http.Error(w, "try again later", http.StatusServiceUnavailable)
}
