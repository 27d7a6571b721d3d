package notice

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/problems"
	"github.com/claimcheck-go/claimcheck/server/webhook"
)

// Message is one notice: the arguments of the task, and what is posted as [JSON].
type Message struct {
	Type     string    `json:"type"` // claimcheck.notice
	Program  string    `json:"program"`
	At       time.Time `json:"at"`
	Problems []Item    `json:"problems"`       // that have begun
	Over     []Item    `json:"over"`           // of which an earlier notice said that they had
	More     int       `json:"more,omitempty"` // of both that are left out
	URL      string    `json:"url,omitempty"`  // of the overview
}

// Item is a problem in a notice.
type Item struct {
	Kind  string     `json:"kind"`           // stranded, lost_workers, sweeper, unserved_queue, failing, unknown_task, …
	Name  string     `json:"name,omitempty"` // the queue, task, key or schedule
	Count int        `json:"count"`          // tasks concerned, as far as known; a sample may be counted
	Title string     `json:"title"`
	Text  string     `json:"text"`
	URL   string     `json:"url,omitempty"`   // of the tasks
	Since time.Time  `json:"since"`           // when it was first seen
	Until *time.Time `json:"until,omitempty"` // when it was last seen, of one that is over

	key string // of the problem, where the name is not enough
}

// maxItems bounds each list of a message.
const maxItems = 20

func (m *Message) add(list *[]Item, item Item) {
	if len(*list) >= maxItems {
		m.More++
		return
	}
	*list = append(*list, item)
}

// link is the address of a page; empty without AdminURL.
func (n *Notices) link(p problems.Page) string {
	if n.cfg.AdminURL == "" || p.Path == "" {
		return ""
	}
	query := url.Values{}
	for i := 0; i+1 < len(p.Query); i += 2 {
		query.Add(p.Query[i], p.Query[i+1])
	}
	address := n.cfg.AdminURL + (&url.URL{Path: p.Path}).EscapedPath()
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	return address
}

// deliver posts one notice.
func (n *Notices) deliver(ctx context.Context, m Message) (webhook.Result, error) {
	m.Problems, m.Over = append([]Item{}, m.Problems...), append([]Item{}, m.Over...) // [] and not null
	var body any = m
	if n.cfg.Format == Slack {
		body = map[string]string{"text": slackText(m)}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return webhook.Result{}, queue.Discard(err)
	}
	return n.sender.Send(ctx, webhook.Args{URL: n.cfg.URL, Body: text})
}

// slackText is a notice in Slack's markup.
func slackText(m Message) string {
	var b strings.Builder
	program := "*" + slackEscape(m.Program) + "*"
	if m.URL != "" {
		program = "*<" + m.URL + "|" + slackEscape(m.Program) + ">*"
	}
	if n := len(m.Problems); n > 0 {
		fmt.Fprintf(&b, "%s: %s\n", program, api.CountOf(n, "new problem"))
		for _, i := range m.Problems {
			fmt.Fprintf(&b, "• %s: %s\n", i.slackTitle(), slackEscape(i.Text))
		}
	}
	if n := len(m.Over); n > 0 {
		fmt.Fprintf(&b, "%s: %s resolved\n", program, api.CountOf(n, "problem"))
		for _, i := range m.Over {
			fmt.Fprintf(&b, "• %s (lasted %s)\n", i.slackTitle(), api.Span(i.Until.Sub(i.Since)))
		}
	}
	if m.More > 0 {
		fmt.Fprintf(&b, "%s more\n", api.Number(m.More))
	}
	return strings.TrimSpace(b.String())
}

func (i Item) slackTitle() string {
	if i.URL == "" {
		return slackEscape(i.Title)
	}
	return "<" + i.URL + "|" + slackEscape(i.Title) + ">"
}

// slackEscape keeps a text from being markup: a link, a mention of a channel.
func slackEscape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "|", "¦").Replace(text)
}
