package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/dustin/go-humanize"
)

// MetricsOn is the value of METRICS that serves the page beside /tasks/*.
const MetricsOn = "on"

// parsers read the types of values, and refuse bad ones with what is accepted.
func parsers() []kong.Option {
	return []kong.Option{
		kong.KindMapper(reflect.Int, kong.MapperFunc(decodeInt)),
		kong.KindMapper(reflect.String, kong.MapperFunc(decodeString)),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(decodeDuration)),
		kong.NamedMapper("bytes", kong.MapperFunc(decodeBytes)),
		kong.NamedMapper("aliases", kong.MapperFunc(decodeAliases)),
		kong.NamedMapper("metrics", kong.MapperFunc(decodeMetrics)),
	}
}

var negative = regexp.MustCompile(`^-\.?[0-9]`)

// pop takes the value of a flag. The parser itself would take the value in
// --flag -5 for another flag.
func pop(ctx *kong.DecodeContext, what string) (string, error) {
	if token := ctx.Scan.Peek(); negative.MatchString(token.String()) {
		return ctx.Scan.Pop().String(), nil
	}
	token, err := ctx.Scan.PopValue(what)
	return token.String(), err
}

func decodeString(ctx *kong.DecodeContext, target reflect.Value) error {
	text, err := pop(ctx, "string")
	target.SetString(text)
	return err
}

// decodeInt reads an int. The tag accepts says which ones: the parser's own
// errors mention bits.
func decodeInt(ctx *kong.DecodeContext, target reflect.Value) error {
	text, err := pop(ctx, "whole number")
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(text, 0, strconv.IntSize)
	if err != nil {
		which := ctx.Value.Tag.Get("accepts")
		if which != "" {
			which = " " + which
		}
		return fmt.Errorf("must be a whole number%s, not \"%.100s\"", which, text)
	}
	target.SetInt(n)
	return nil
}

func decodeDuration(ctx *kong.DecodeContext, target reflect.Value) error {
	text, err := pop(ctx, "duration")
	if err != nil {
		return err
	}
	parsed, err := ParseDuration(text)
	if err != nil || parsed < 0 {
		return fmt.Errorf("must be a duration such as 90s or 5m, or a number of seconds, not %q", text)
	}
	target.SetInt(int64(parsed))
	return nil
}

// ParseDuration reads a Go duration. A number without a unit is seconds.
func ParseDuration(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(seconds) < 1e9 {
		return time.Duration(seconds * float64(time.Second)), nil
	}
	return time.ParseDuration(text)
}

// decodeBytes reads a number of bytes, written as 512KiB or 1000000.
func decodeBytes(ctx *kong.DecodeContext, target reflect.Value) error {
	text, err := pop(ctx, "size")
	if err != nil {
		return err
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n == 0 || n > 1<<30 {
		return fmt.Errorf("must be a size from 1B to 1GiB such as 512KiB, not %q", text)
	}
	target.SetInt(int64(n))
	return nil
}

// decodeAliases adds a list of pairs to a map. A name may occur more than once.
func decodeAliases(ctx *kong.DecodeContext, target reflect.Value) error {
	text, err := pop(ctx, "list")
	if err != nil {
		return err
	}
	for _, pair := range NonEmpty(strings.Split(text, ",")) {
		name, id, found := strings.Cut(pair, "=")
		name, id = strings.TrimSpace(name), strings.TrimSpace(id)
		if !found || name == "" || id == "" {
			return fmt.Errorf("must be pairs such as default=prod-default,emails=prod-emails, not %q", pair)
		}
		aliases := target.Interface().(map[string][]string)
		if aliases == nil {
			aliases = map[string][]string{}
			target.Set(reflect.ValueOf(aliases))
		}
		aliases[name] = append(aliases[name], id)
	}
	return nil
}

// decodeMetrics reads where GET /metrics is served: empty is nowhere, MetricsOn
// beside /tasks/*, and else the address of a listener of its own.
func decodeMetrics(ctx *kong.DecodeContext, target reflect.Value) error {
	text, err := pop(ctx, "string")
	switch {
	case err != nil:
		return err
	case text == "off", text == "false", text == "":
		text = ""
	case text == MetricsOn, text == "true":
		text = MetricsOn
	case CheckAddress(text) != nil:
		return fmt.Errorf("must be off, on, or HOST:PORT such as 127.0.0.1:9464, not %q", text)
	}
	target.SetString(text)
	return nil
}

// CheckAddress reports whether an address to listen on is HOST:PORT. The host may
// be empty, and the port 0.
func CheckAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return errors.New("must be HOST:PORT such as 127.0.0.1:8080")
	}
	return nil
}

// NonEmpty returns a list without blanks around its items and without empty items.
func NonEmpty(list []string) []string {
	var items []string
	for _, item := range list {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}
