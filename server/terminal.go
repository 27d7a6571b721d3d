package server

import (
	"fmt"
	"io"
	"strings"

	"github.com/fatih/color"
	"github.com/rivo/uniseg"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/doctor"
)

// colourful reports whether what a command prints has colours: on a terminal, unless
// NO_COLOR is set (https://no-color.org) or the terminal has none.
func (p *program) colourful() bool {
	return isTerminal(p.stdout) && p.config.Env.Get("NO_COLOR") == "" && p.config.Env.Get("TERM") != "dumb"
}

// table collects rows and prints them in aligned columns.
type table struct {
	colours bool
	rows    [][]cell
}

// cell is one text of a table; without attributes it has the terminal's colour.
type cell struct {
	text       string
	attributes []color.Attribute
}

func (p *program) newTable() *table { return &table{colours: p.colourful()} }

// head adds the names of the columns.
func (t *table) head(names ...string) {
	row := make([]cell, len(names))
	for i, name := range names {
		row[i] = cell{name, []color.Attribute{color.Bold}}
	}
	t.rows = append(t.rows, row)
}

// row adds a row, without the empty cells at its end.
func (t *table) row(cells ...cell) {
	for len(cells) > 1 && cells[len(cells)-1].text == "" {
		cells = cells[:len(cells)-1]
	}
	t.rows = append(t.rows, cells)
}

// plain is a cell without a colour of its own. What tasks wrote cannot control the
// terminal.
func plain(text string) cell { return cell{text: printable(text)} }

func coloured(text string, attributes ...color.Attribute) cell {
	return cell{printable(text), attributes}
}

// statusCell is a task's status in its colour.
func statusCell(status queue.Status) cell {
	switch status {
	case queue.StatusSuccessful:
		return coloured(string(status), color.FgGreen)
	case queue.StatusFailed:
		return coloured(string(status), color.FgRed)
	case queue.StatusRunning:
		return coloured(string(status), color.FgCyan)
	case queue.StatusCancelled:
		return coloured(string(status), color.Faint)
	default:
		return plain(string(status))
	}
}

const columnGap = 2

// print writes the rows; the last cell of a row is not padded.
func (t *table) print(w io.Writer) error {
	var widths []int
	for _, row := range t.rows {
		for i, c := range row[:len(row)-1] {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], uniseg.StringWidth(c.text))
		}
	}
	var out strings.Builder
	for _, row := range t.rows {
		for i, c := range row {
			out.WriteString(paint(t.colours, c.text, c.attributes...))
			if i < len(row)-1 {
				out.WriteString(strings.Repeat(" ", widths[i]-uniseg.StringWidth(c.text)+columnGap))
			}
		}
		out.WriteByte('\n')
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// checkColours are those of the status words of doctor.
var checkColours = map[doctor.Status]color.Attribute{
	doctor.OK: color.FgGreen, doctor.Warn: color.FgYellow, doctor.Fail: color.FgRed, doctor.Skipped: color.Faint,
}

// printCheck prints a result of doctor, its status in its colour.
func (p *program) printCheck(r doctor.Result) {
	rest, _ := strings.CutPrefix(doctorLine(r), string(r.Status))
	fmt.Fprintln(p.stdout, paint(p.colourful(), string(r.Status), checkColours[r.Status])+rest)
}

// paint returns the text in a colour, or as it is.
func paint(colours bool, text string, attributes ...color.Attribute) string {
	if !colours || len(attributes) == 0 {
		return text
	}
	c := color.New(attributes...)
	c.EnableColor()
	return c.Sprint(text)
}
