package notice

import (
	"strings"
	"testing"
	"time"
)

// What comes from names is text, whatever Slack's markup would make of it.
func TestSlackText(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	until := since.Add(12 * time.Minute)
	m := Message{
		Program: "shop", URL: "https://h/admin/", More: 3,
		Problems: []Item{{Title: "No task named <!channel> & <https://evil.example|x> is registered here", Text: "Rows > 1 wait.", URL: "https://h/admin/tasks?task=%3C%21channel%3E", Since: since}},
		Over:     []Item{{Title: "4 tasks are stranded", Since: since, Until: &until}},
	}
	const want = `*<https://h/admin/|shop>*: 1 new problem
• <https://h/admin/tasks?task=%3C%21channel%3E|No task named &lt;!channel&gt; &amp; &lt;https://evil.example¦x&gt; is registered here>: Rows &gt; 1 wait.
*<https://h/admin/|shop>*: 1 problem resolved
• 4 tasks are stranded (lasted 12 min)
3 more`
	if got := slackText(m); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got := slackText(Message{Program: "a*b", Problems: []Item{{Title: "x", Text: "y"}, {Title: "z", Text: "w"}}}); !strings.HasPrefix(got, "*a*b*: 2 new problems\n• x: y\n• z: w") {
		t.Errorf("%s", got)
	}
}

func TestFormatsFollowTheHost(t *testing.T) {
	for address, want := range map[string]Format{"https://hooks.slack.com/services/T/B/X": Slack, "https://hooks.slack.com.evil.example/": JSON, "https://h/": JSON} {
		n, err := New(Config{URL: address})
		if err != nil || n.cfg.Format != want {
			t.Errorf("%s: %+v, %v", address, n, err)
		}
	}
}

// However much there is, a message and the state stay small.
func TestMessagesAreBounded(t *testing.T) {
	n, err := New(Config{URL: "https://h/"})
	if err != nil {
		t.Fatal(err)
	}
	var s state
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for round := range 10 {
		var found []Item
		for i := range 500 {
			found = append(found, Item{Kind: "unserved_queue", Name: strings.Repeat("q", 200) + string(rune(round*500+i+0x4E00)), Title: "t", Text: "w"})
		}
		s.merge(found, now, n.cfg.Interval)
		s.merge(found, now, n.cfg.Interval)
	}
	p, err := n.decide(&s, now)
	if err != nil || len(s.Episodes) > 2*maxEpisodes || len(p.Message.Problems) != maxItems || p.Message.More != len(s.Episodes)-maxItems {
		t.Errorf("%d episodes, %v", len(s.Episodes), err)
	}
}
