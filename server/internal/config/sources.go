package config

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

// Sources are the command line and the environment of one call, with the white
// space around every value removed, and where each value came from. Variables that
// are set to nothing count as not set.
type Sources struct {
	env  Environment
	args []string // for the parser

	nodes     []*kong.Node      // the program and its commands
	flags     map[string]bool   // flags on the command line, as --name
	variables map[string]string // the variable of each flag that is set by one
	settings  map[string]string // the flag of each setting's variable
	blank     map[string]bool   // flags that are set to white space alone
	fields    map[string]string // by variable, the field of the program that set it
}

// SetFields names, by variable, the fields of the program that set variables in
// place of the environment of the process.
func (s *Sources) SetFields(fields map[string]string) { s.fields = fields }

// NewSources returns the sources of a call. Pass [Sources.Options] to the parser,
// and parse with [Sources.Parse].
func NewSources(args []string, env Environment) *Sources {
	return &Sources{
		env: env, args: args,
		flags: map[string]bool{}, variables: map[string]string{}, settings: map[string]string{}, blank: map[string]bool{},
	}
}

// Options let a parser read its values from s. The parser would otherwise read
// the environment of the process.
func (s *Sources) Options() []kong.Option {
	return append(parsers(),
		kong.DefaultEnvars("CLAIMCHECK"),
		kong.PostBuild(func(k *kong.Kong) error {
			s.read(k.Model.Node)
			return nil
		}),
		kong.ExplicitGroups(groups),
		kong.Resolvers(kong.ResolverFunc(s.resolve)),
		kong.ValueFormatter(withVariable),
	)
}

// withVariable adds the variable of a flag to its help.
func withVariable(value *kong.Value) string {
	if value.Flag == nil || len(value.Flag.Envs) == 0 {
		return value.Help
	}
	return strings.TrimSuffix(value.Help, ".") + " ($" + value.Flag.Envs[0] + ")."
}

// read looks up the flags of the command line and the variables of all flags.
func (s *Sources) read(root *kong.Node) {
	s.nodes = append([]*kong.Node{root}, root.Children...)
	known := map[string]*kong.Flag{}
	for _, node := range append(s.nodes[:len(s.nodes):len(s.nodes)], s.command(root)) {
		for _, flag := range node.Flags {
			for _, name := range append([]string{flag.Name}, flag.Aliases...) {
				known["--"+name] = flag
			}
		}
	}
	s.args = s.trimArgs(s.args, known)
	for _, node := range s.nodes {
		for _, flag := range node.Flags {
			for _, variable := range flag.Envs {
				s.readVariable(flag, variable)
			}
		}
	}
}

// command returns the command that the arguments name, as far as can be seen
// before they are parsed. Commands have flags of the same name that differ.
func (s *Sources) command(root *kong.Node) *kong.Node {
	for _, arg := range s.args {
		for _, command := range root.Children {
			if command.Name == arg {
				return command
			}
		}
	}
	return root
}

// trimArgs writes each flag and its value as one argument, trimmed.
func (s *Sources) trimArgs(args []string, known map[string]*kong.Flag) []string {
	var trimmed []string
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		if args[i] == "--" {
			return append(trimmed, args[i:]...)
		}
		flag := known[name]
		if flag == nil {
			trimmed = append(trimmed, args[i])
			continue
		}
		s.flags["--"+flag.Name] = true
		if !joined {
			if flag.IsBool() || i+1 == len(args) || strings.HasPrefix(args[i+1], "-") {
				trimmed = append(trimmed, args[i])
				continue
			}
			i++
			value = args[i]
		}
		if strings.TrimSpace(value) == "" && value != "" {
			s.blank["--"+flag.Name] = true
		}
		trimmed = append(trimmed, name+"="+strings.TrimSpace(value))
	}
	return trimmed
}

func (s *Sources) readVariable(flag *kong.Flag, variable string) {
	name := "--" + flag.Name
	if flag.Group != nil {
		s.settings[variable] = name
	}
	switch {
	case s.flags[name]:
	case s.env.Get(variable) != "":
		s.variables[name] = variable
	case s.env.blank(variable):
		s.blank["--"+flag.Name] = true
	}
}

// resolve returns the value of a flag's variable, for a flag that is not on the
// command line. It refuses a bad one in the variable's name.
func (s *Sources) resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	variable, set := s.variables["--"+flag.Name]
	if !set {
		return nil, nil
	}
	value := s.env.Get(variable)
	token := kong.Token{Type: kong.FlagValueToken, Value: value}
	trial := reflect.New(flag.Target.Type()).Elem()
	if trial.Kind() == reflect.Pointer {
		trial.Set(reflect.New(trial.Type().Elem()))
	}
	if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: kong.ScanFromTokens(token)}, trial); err != nil {
		return nil, Problemf(variable, ": %s", err)
	}
	if flag.Enum != "" && !flag.EnumMap()[value] {
		var accepted []string
		for _, name := range flag.EnumSlice() {
			accepted = append(accepted, fmt.Sprintf("%q", name))
		}
		return nil, Problemf(variable, "must be one of %s but got %q", strings.Join(accepted, ","), value)
	}
	return value, nil
}

// Parse parses the command line. The error is a [Problem] if a variable is wrong.
func (s *Sources) Parse(parser *kong.Kong) (*kong.Context, error) {
	for _, node := range s.nodes {
		for _, flag := range node.Flags {
			flag.Tag.Envs = nil // by which the parser reads the environment of the process
		}
	}
	command, err := parser.Parse(s.args)
	var problem Problem
	if errors.As(err, &problem) {
		err = problem
	}
	return command, err
}

// CheckBlank refuses flags and variables of white space alone. They are not taken
// for unset: without its database or its secret the server would do something else
// than was meant. Variables of other commands' flags do not matter.
func (s *Sources) CheckBlank(command *kong.Context) error {
	var problems []error
	for _, element := range command.Path {
		node := element.Node()
		if node == nil {
			continue
		}
		for _, flag := range node.Flags {
			name := "--" + flag.Name
			if !s.blank[name] {
				continue
			}
			if flag.Group != nil || !s.flags[name] {
				name = flag.Envs[0]
			}
			problems = append(problems, Problem{Setting: name, Text: "is blank", Fix: "give it a value, or unset it"})
		}
	}
	return errors.Join(problems...)
}

// Describe returns the text of an error in one line. It names each setting as it
// was set: a command's flag by its variable, and a setting with the flag or the field.
func (s *Sources) Describe(err error) string {
	var texts []string
	for _, problem := range Problems(err) {
		if variable := s.variables[problem.Setting]; variable != "" {
			problem.Setting = variable
		}
		text := problem.Error()
		text += s.Attribution(problem.Setting, text)
		texts = append(texts, strings.ReplaceAll(strings.TrimSpace(text), "\n", "; "))
	}
	return strings.Join(texts, "; ")
}

// variableName is what may be the name of a setting in a text.
var variableName = regexp.MustCompile(`\b[A-Z][A-Z0-9_]+\b`)

// Attribution returns what to append to an error's text: the flags and the fields of
// the program that set the settings it names, the one it is about first. A setting
// that its variable sets needs none.
func (s *Sources) Attribution(about, text string) string {
	var by []string
	if setter := s.setBy(about); setter != "" {
		by = append(by, "set by "+setter)
	}
	seen := map[string]bool{about: true}
	for _, name := range variableName.FindAllString(text, -1) {
		if setter := s.setBy(name); setter != "" && !seen[name] {
			by = append(by, name+" is set by "+setter)
		}
		seen[name] = true
	}
	if len(by) == 0 {
		return ""
	}
	return " (" + strings.Join(by, ", ") + ")"
}

// setBy returns the flag or the field that sets a setting; empty: neither does.
func (s *Sources) setBy(setting string) string {
	if flag := s.settings[setting]; s.flags[flag] {
		return flag
	}
	return s.fields[setting]
}

// Args are the arguments as the parser gets them.
func (s *Sources) Args() []string { return s.args }
