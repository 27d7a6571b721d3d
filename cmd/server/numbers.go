package main

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"

	"github.com/alecthomas/kong"
)

// How numbers are read from the command line, in place of what the parser does by
// itself: its refusals speak of bits and short flags, not of what is accepted.

// wholeNumber reads an int. The tag accepts says which ones.
var wholeNumber = kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("whole number")
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(fmt.Sprint(token.Value), 0, strconv.IntSize)
	if err != nil {
		which := ctx.Value.Tag.Get("accepts")
		if which != "" {
			which = " " + which
		}
		return fmt.Errorf("must be a whole number%s, not \"%.100v\"", which, token.Value)
	}
	target.SetInt(n)
	return nil
})

var negative = regexp.MustCompile(`^-\.?[0-9]`)

// joinNegatives writes --flag -5 as --flag=-5 where the flag takes a value: the
// parser would take -5 for a flag.
func joinNegatives(args []string, root *kong.Node) []string {
	takes := make(map[string]bool)
	valueFlags(root, takes)
	var joined []string
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "--":
			return append(joined, args[i:]...)
		case takes[arg] && i+1 < len(args) && negative.MatchString(args[i+1]):
			i++
			joined = append(joined, arg+"="+args[i])
		default:
			joined = append(joined, arg)
		}
	}
	return joined
}

// valueFlags finds the flags of all commands that take a value.
func valueFlags(node *kong.Node, takes map[string]bool) {
	for _, flag := range node.Flags {
		if !flag.IsBool() {
			takes["--"+flag.Name] = true
		}
	}
	for _, child := range node.Children {
		valueFlags(child, takes)
	}
}
