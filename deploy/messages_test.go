package deploy_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/deploy/internal/gcloudfake"
)

// codeCommands are the gcloud commands in messages of the product. Texts that are put
// together are followed through constants, local variables and functions of one
// return; what is only known when the program runs becomes a word that gcloud takes for a project, too.
func codeCommands(t *testing.T, real *gcloudfake.Real) []invocation {
	t.Helper()
	packages := map[string]*messages{}
	for _, path := range goFiles(t, "server", "cloudtasks", "cloudrunjobs", "detect", "internal", "oidc", "queue") {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Dir(path)
		if packages[dir] == nil {
			packages[dir] = &messages{values: map[string]ast.Expr{}, returns: map[string]ast.Expr{}}
		}
		packages[dir].add(file)
	}
	texts := map[string][]string{}
	var prefixes [][]string
	for dir, p := range packages {
		texts[dir] = p.texts()
		for _, text := range texts[dir] {
			for _, after := range strings.Split(text, "gcloud ")[1:] {
				after, _, _ = strings.Cut(after, "`")
				prefixes = append(prefixes, nameWords(words(after)))
			}
		}
	}
	grammar := commandNames(t, real, prefixes)
	var found []invocation
	for dir := range texts {
		for _, text := range texts[dir] {
			for _, args := range commandsIn(text, grammar) {
				found = append(found, invocation{where: strings.TrimPrefix(dir, "../") + ": " + text, args: args, partial: true})
			}
		}
	}
	return found
}

// commandNames are the commands that the words begin with, by gcloud or the record.
func commandNames(t *testing.T, real *gcloudfake.Real, prefixes [][]string) gcloudfake.Grammar {
	t.Helper()
	if real == nil {
		recorded, err := gcloudfake.Recorded()
		if err != nil {
			t.Fatal(err)
		}
		return recorded
	}
	answers, err := real.Parse(t.Context(), t.TempDir(), prefixes)
	if err != nil {
		t.Fatal(err)
	}
	return real.Grammar(answers)
}

// nameWords are the words at the beginning that can be names of groups and commands.
func nameWords(all []string) []string {
	n := 0
	for n < len(all) && regexp.MustCompile(`^[a-z][a-z-]*$`).MatchString(all[n]) {
		n++
	}
	return all[:n]
}

// unknown is a placeholder for what is only known when the program runs.
const unknown = "unknown-1"

// messages are what the texts of a package are put together from.
type messages struct {
	files   []*ast.File
	values  map[string]ast.Expr // constants and variables of the package
	returns map[string]ast.Expr // what functions and methods of one return return
}

func (p *messages) add(file *ast.File) {
	p.files = append(p.files, file)
	for _, declaration := range file.Decls {
		switch d := declaration.(type) {
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if value, ok := spec.(*ast.ValueSpec); ok && len(value.Names) == len(value.Values) {
					for i, name := range value.Names {
						p.values[name.Name] = value.Values[i]
					}
				}
			}
		case *ast.FuncDecl:
			if d.Body != nil && len(d.Body.List) == 1 {
				if statement, ok := d.Body.List[0].(*ast.ReturnStmt); ok && len(statement.Results) == 1 {
					p.returns[d.Name.Name] = statement.Results[0]
				}
			}
		}
	}
}

// texts are the texts with "gcloud" that the package's functions put together.
func (p *messages) texts() []string {
	var found []string
	for _, file := range p.files {
		for _, declaration := range file.Decls {
			locals := map[string]ast.Expr{}
			ast.Inspect(declaration, func(node ast.Node) bool {
				if assign, ok := node.(*ast.AssignStmt); ok && len(assign.Lhs) == len(assign.Rhs) {
					for i, left := range assign.Lhs {
						if name, ok := left.(*ast.Ident); ok && locals[name.Name] == nil {
							locals[name.Name] = assign.Rhs[i]
						}
					}
				}
				return true
			})
			ast.Inspect(declaration, func(node ast.Node) bool {
				expression, ok := node.(ast.Expr)
				if !ok {
					return true
				}
				text, known := p.text(expression, locals, 0)
				if !known {
					return true
				}
				if strings.Contains(text, "gcloud ") {
					found = append(found, text)
				}
				return false // the parts are in it
			})
		}
	}
	return found
}

var verb = regexp.MustCompile(`%[-+ #0]*[0-9.]*[a-zA-Z]`)

// text evaluates a text. known is false for what is no text.
func (p *messages) text(expression ast.Expr, locals map[string]ast.Expr, depth int) (text string, known bool) {
	if depth > 8 {
		return unknown, false
	}
	part := func(e ast.Expr) string {
		if text, known := p.text(e, locals, depth+1); known {
			return text
		}
		return unknown
	}
	switch e := expression.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, leftKnown := p.text(e.X, locals, depth+1)
		right, rightKnown := p.text(e.Y, locals, depth+1)
		if e.Op != token.ADD || !leftKnown && !rightKnown {
			return "", false
		}
		if !leftKnown {
			left = unknown
		}
		if !rightKnown {
			right = unknown
		}
		return left + right, true
	case *ast.Ident:
		if value, ok := locals[e.Name]; ok {
			return p.text(value, nil, depth+1)
		}
		if value, ok := p.values[e.Name]; ok {
			return p.text(value, nil, depth+1)
		}
	case *ast.CallExpr:
		if len(e.Args) > 0 {
			if format, known := p.text(e.Args[0], locals, depth+1); known && isFormat(e.Fun) {
				arguments := e.Args[1:]
				return verb.ReplaceAllStringFunc(format, func(string) string {
					if len(arguments) == 0 {
						return unknown
					}
					first := arguments[0]
					arguments = arguments[1:]
					return part(first)
				}), true
			}
		}
		if name := calledName(e.Fun); name != "" && p.returns[name] != nil {
			return p.text(p.returns[name], nil, depth+1)
		}
	}
	return "", false
}

func isFormat(function ast.Expr) bool {
	name := calledName(function)
	return name == "Sprintf" || name == "Errorf"
}

func calledName(function ast.Expr) string {
	switch f := function.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// commandsIn finds the commands in a text: from "gcloud" through the words that the
// command can have.
func commandsIn(text string, grammar gcloudfake.Grammar) [][]string {
	var found [][]string
	for _, after := range strings.Split(text, "gcloud ")[1:] {
		after, _, _ = strings.Cut(after, "`")
		all := words(after)
		most, n := 0, len(nameWords(all))
		for ; n > 0; n-- {
			if command, ok := grammar.Commands[strings.Join(all[:n], " ")]; ok {
				most = command.Positionals[1]
				break
			}
		}
		if n == 0 { // the command is wrong, or not in the record
			found = append(found, all)
			continue
		}
		args := all[:n]
		for _, word := range all[n:] {
			end := strings.TrimRight(word, ",;:.")
			if !strings.HasPrefix(word, "--") {
				if most--; most < 0 {
					break
				}
			}
			args = append(args[:len(args):len(args)], end)
			if end != word {
				break
			}
		}
		found = append(found, args)
	}
	return found
}
