package server

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// inputs are the command line and the environment of a call, read before the
// parser: every value without the white space around it, and where it came from.
type inputs struct {
	args      []string            // for the parser
	flags     map[string]bool     // flags on the command line, as --name
	variables map[string]string   // the variable of each flag that is set by one
	settings  map[string]string   // the flag of each setting's variable
	blank     map[*kong.Flag]bool // set to white space alone
}

// readInputs trims the command line, and in the environment the variables of all
// flags and those of OpenTelemetry. Variables that are set to nothing, as compose
// files write them, count as not set, and so do those that a flag overrides.
func readInputs(args []string, root *kong.Node) *inputs {
	in := &inputs{flags: map[string]bool{}, variables: map[string]string{}, settings: map[string]string{}, blank: map[*kong.Flag]bool{}}
	known := map[string]*kong.Flag{}
	var all []*kong.Flag
	for _, node := range append([]*kong.Node{root}, root.Children...) {
		for _, flag := range node.Flags {
			all = append(all, flag)
			for _, name := range append([]string{flag.Name}, flag.Aliases...) {
				known["--"+name] = flag
			}
		}
	}
	in.readArgs(args, known)
	for _, flag := range all {
		for _, variable := range flag.Envs {
			in.readVariable(flag, variable)
		}
	}
	for _, pair := range os.Environ() {
		if name, value, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "OTEL_") {
			trimVariable(name, value)
		}
	}
	return in
}

var negative = regexp.MustCompile(`^-\.?[0-9]`)

// readArgs writes each flag and its value as one argument, trimmed. The parser
// would take the value of --flag -5 for a flag.
func (in *inputs) readArgs(args []string, known map[string]*kong.Flag) {
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		flag := known[name]
		if args[i] == "--" {
			in.args = append(in.args, args[i:]...)
			return
		}
		if flag == nil {
			in.args = append(in.args, args[i])
			continue
		}
		in.flags["--"+flag.Name] = true
		if !joined {
			if flag.IsBool() || i+1 == len(args) || strings.HasPrefix(args[i+1], "-") && !negative.MatchString(args[i+1]) {
				in.args = append(in.args, args[i])
				continue
			}
			i++
			value = args[i]
		}
		trimmed := strings.TrimSpace(value)
		if trimmed == "" && value != "" {
			in.blank[flag] = true
		}
		in.args = append(in.args, name+"="+trimmed)
	}
}

func (in *inputs) readVariable(flag *kong.Flag, variable string) {
	name := "--" + flag.Name
	if flag.Group != nil {
		in.settings[variable] = name
	}
	value, set := os.LookupEnv(variable)
	if !set {
		return
	}
	if in.flags[name] {
		_ = os.Unsetenv(variable)
		return
	}
	switch trimmed := trimVariable(variable, value); {
	case trimmed != "":
		in.variables[name] = variable
	case value != "":
		in.blank[flag] = true
	}
}

// trimVariable changes the environment, since it is where the parser and the
// OpenTelemetry SDK read.
func trimVariable(name, value string) string {
	trimmed := strings.TrimSpace(value)
	switch {
	case trimmed == "":
		_ = os.Unsetenv(name)
	case trimmed != value:
		_ = os.Setenv(name, trimmed)
	}
	return trimmed
}

// checkBlank refuses settings of white space alone. They are not taken for unset:
// without its database or its secret the server would do something else than was
// meant. Variables of other commands' flags do not matter.
func (in *inputs) checkBlank(command *kong.Context) error {
	var problems []error
	for _, element := range command.Path {
		node := element.Node()
		if node == nil {
			continue
		}
		for _, flag := range node.Flags {
			if !in.blank[flag] {
				continue
			}
			name := "--" + flag.Name
			if flag.Group != nil || !in.flags[name] {
				name = flag.Envs[0]
			}
			problems = append(problems, usagef("%s is blank: give it a value, or unset it", name))
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return usageError{errors.Join(problems...)}
}

var (
	flagName    = regexp.MustCompile(`--[a-z][a-z-]*[a-z]`)
	fromEnvar   = regexp.MustCompile(`(?s) \(from envar [A-Z_]+=".*"\)$`)
	settingName = regexp.MustCompile(`[A-Z][A-Z_]{3,}[A-Z]`)
)

// attribute is the text of a usage error that names each setting as it was set: a
// variable where the text has its flag, and after the text the flag of the
// setting that it names first, if that was set by its flag.
func (in *inputs) attribute(err error) string {
	text := flagName.ReplaceAllStringFunc(fromEnvar.ReplaceAllString(oneLine(err), ""), func(flag string) string {
		if variable := in.variables[flag]; variable != "" {
			return variable
		}
		return flag
	})
	for _, name := range settingName.FindAllString(text, -1) {
		flag, known := in.settings[name]
		if !known {
			continue
		}
		if in.flags[flag] && !strings.Contains(text, flag) {
			text += " (set by " + flag + ")"
		}
		break
	}
	return text
}

// wholeNumber reads an int. The tag accepts says which ones: the parser's own
// refusals speak of bits and short flags, not of what is accepted.
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
