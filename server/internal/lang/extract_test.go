package lang

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template/parse"

	"golang.org/x/net/html"
)

// Where messages are: folders of sources, of templates, and scripts.
var (
	sourceFolders   = []string{".", "../problems", "../waiting", "../../admin", "../../admin/internal/argform", "../../../server"}
	templateFolders = []string{"../../admin/templates"}
	scripts         = []string{"../../admin/static/admin.js"}
)

// messages are all keys of the sources, with the place of one use.
func messages(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for _, folder := range sourceFolders {
		sourceMessages(t, folder, found)
	}
	for _, folder := range templateFolders {
		for _, file := range files(t, folder, ".html") {
			for _, tree := range parseTemplate(t, file) {
				walkTemplate(tree.Root, func(key string) {
					if found[key] == "" {
						found[key] = filepath.Base(file)
					}
				})
			}
		}
	}
	if len(found) < 40 {
		t.Fatalf("only %d messages found", len(found))
	}
	return found
}

// sourceMessages finds calls of the functions that take a key. A key that is not a literal
// is the business of the function that passes it on.
func sourceMessages(t *testing.T, folder string, found map[string]string) {
	t.Helper()
	for _, file := range files(t, folder, ".go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			name := ""
			switch f := call.Fun.(type) {
			case *ast.Ident:
				name = f.Name
			case *ast.SelectorExpr:
				name = f.Sel.Name
			}
			if slices.Contains([]string{"T", "t", "M", "HTML"}, name) {
				if key, ok := literal(call.Args[0]); ok {
					found[key] = set.Position(call.Pos()).String()
					if want, got := len(verbs(key)), len(call.Args)-1; want != got && !call.Ellipsis.IsValid() && folder != "." { // the units of time get theirs later
						t.Errorf("%s: %q has %d verbs and %d arguments", set.Position(call.Pos()), key, want, got)
					}
				}
			}
			return true
		})
	}
}

// literal returns a string that is written in the source, perhaps in parts.
func literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		a, okA := literal(e.X)
		b, okB := literal(e.Y)
		return a + b, okA && okB
	}
	return "", false
}

func files(t *testing.T, folder, extension string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(folder, "*"+extension))
	if err != nil || len(list) == 0 {
		t.Fatalf("no %s files in %s: %v", extension, folder, err)
	}
	return list
}

func parseTemplate(t *testing.T, file string) map[string]*parse.Tree {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tree := parse.New(file)
	tree.Mode = parse.SkipFuncCheck
	trees := make(map[string]*parse.Tree)
	if _, err := tree.Parse(string(data), "", "", trees); err != nil {
		t.Fatal(err)
	}
	return trees
}

// walkTemplate calls found for each key that t and th are called with.
func walkTemplate(node parse.Node, found func(key string)) {
	switch n := node.(type) {
	case *parse.ListNode:
		if n != nil {
			for _, child := range n.Nodes {
				walkTemplate(child, found)
			}
		}
	case *parse.ActionNode:
		walkTemplate(n.Pipe, found)
	case *parse.TemplateNode:
		if n.Pipe != nil {
			walkTemplate(n.Pipe, found)
		}
	case *parse.IfNode:
		walkBranch(&n.BranchNode, found)
	case *parse.WithNode:
		walkBranch(&n.BranchNode, found)
	case *parse.RangeNode:
		walkBranch(&n.BranchNode, found)
	case *parse.PipeNode:
		for _, command := range n.Cmds {
			walkTemplate(command, found)
		}
	case *parse.CommandNode:
		if name, ok := n.Args[0].(*parse.IdentifierNode); ok && (name.Ident == "t" || name.Ident == "th") && len(n.Args) > 1 {
			if key, ok := n.Args[1].(*parse.StringNode); ok {
				found(key.Text)
			}
		}
		for _, arg := range n.Args {
			walkTemplate(arg, found)
		}
	}
}

func walkBranch(n *parse.BranchNode, found func(key string)) {
	walkTemplate(n.Pipe, found)
	walkTemplate(n.List, found)
	walkTemplate(n.ElseList, found)
}

// flatten is the text of a template with all branches and without actions.
func flatten(node parse.Node, b *strings.Builder) {
	switch n := node.(type) {
	case *parse.ListNode:
		if n != nil {
			for _, child := range n.Nodes {
				flatten(child, b)
			}
		}
	case *parse.TextNode:
		b.Write(n.Text)
	case *parse.IfNode:
		flatten(n.List, b)
		flatten(n.ElseList, b)
	case *parse.WithNode:
		flatten(n.List, b)
		flatten(n.ElseList, b)
	case *parse.RangeNode:
		flatten(n.List, b)
		flatten(n.ElseList, b)
	}
}

var letters = regexp.MustCompile(`\pL{2,}`)

// wordless are attributes that are read by people.
var wordless = []string{"aria-label", "title", "placeholder", "alt", "data-busy"}

// Templates have no words outside of messages, but for what is not translated: that of an
// element with translate="no".
func TestTemplatesHaveNoWordsOutsideOfMessages(t *testing.T) {
	for _, folder := range templateFolders {
		for _, file := range files(t, folder, ".html") {
			for name, tree := range parseTemplate(t, file) {
				var b strings.Builder
				flatten(tree.Root, &b)
				for _, word := range words(b.String()) {
					t.Errorf("%s, template %q: %q is not a message", filepath.Base(file), name, word)
				}
			}
		}
	}
}

// words are the texts of a page that a reader sees.
func words(page string) (list []string) {
	z := html.NewTokenizer(strings.NewReader(page))
	kept := 0 // elements within one that is not translated
	raw := false
	for {
		switch z.Next() {
		case html.ErrorToken:
			return list
		case html.TextToken:
			if raw { // of noscript, for the tokenizer one text
				list = append(list, words(string(z.Text()))...)
			} else if text := string(z.Text()); kept == 0 && letters.MatchString(text) {
				list = append(list, strings.TrimSpace(text))
			}
		case html.StartTagToken:
			token := z.Token()
			raw = token.Data == "noscript"
			for _, a := range token.Attr {
				if slices.Contains(wordless, a.Key) && letters.MatchString(a.Val) && kept == 0 {
					list = append(list, a.Key+": "+a.Val)
				}
			}
			no := slices.Contains(token.Attr, html.Attribute{Key: "translate", Val: "no"})
			if !slices.Contains([]string{"input", "meta", "link", "br", "img", "use", "path", "rect", "circle"}, token.Data) && (kept > 0 || no) {
				kept++
			}
		case html.EndTagToken:
			raw = false
			if kept > 0 {
				kept--
			}
		}
	}
}

// The script's messages are those that its page provides.
func TestScriptMessagesAreProvided(t *testing.T) {
	all := messages(t)
	for _, file := range scripts {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		calls := regexp.MustCompile(`\bt\("([^"]+)"`).FindAllStringSubmatch(string(data), -1)
		if len(calls) < 5 {
			t.Errorf("%s: only %d messages", file, len(calls))
		}
		for _, call := range calls {
			if !strings.HasPrefix(filepath.Base(all[call[1]]), "language.go") {
				t.Errorf("%s: the page does not provide %q", file, call[1])
			}
		}
	}
}

var verb = regexp.MustCompile(`%(?:\[(\d+)\]|[-+# 0]*[\d.]*(?:\[(\d+)\])?)?([a-zA-Z%])`)

// verbs are the verbs of a message by their arguments, sorted: 1d, 2s.
func verbs(text string) (list []string) {
	next := 1
	for _, m := range verb.FindAllStringSubmatch(text, -1) {
		if m[3] == "%" {
			continue
		}
		at := m[1] + m[2]
		if at != "" {
			next, _ = strconv.Atoi(at)
		}
		if v := fmt.Sprint(next, m[3]); !slices.Contains(list, v) {
			list = append(list, v)
		}
		next++
	}
	slices.Sort(list)
	return list
}
