package argform

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// What the names of further fields of the page end in. A member's name has no ~ that 0 or
// 1 does not follow.
const (
	endCount   = "/~n"
	endPresent = "/~is"
	endEmpty   = "/~empty"
	endKey     = "/~key"
	endRest    = "/~rest"
)

// CountName is the name under which the page sends how many parts a List or a Map has.
func (field *Field) CountName() string { return field.Name + endCount }

// PresentName is the name under which it sends that an Object has a value.
func (field *Field) PresentName() string { return field.Name + endPresent }

// EmptyName is the name under which it sends what the field means when it is empty.
func (field *Field) EmptyName() string { return field.Name + endEmpty }

// KeyName is the name under which it sends the key of a value in a Map.
func (field *Field) KeyName() string { return field.Name + endKey }

// RestName is the name under which it sends the other members of an Object.
func (field *Field) RestName() string { return field.Name + endRest }

// Read fills the form with what it was sent with.
func (f *Form) Read(values url.Values) { f.read(f.Root, values) }

func (f *Form) read(field *Field, values url.Values) {
	if meaning := values.Get(field.EmptyName()); values.Has(field.EmptyName()) && slices.Contains(field.Empties, meaning) {
		field.Empty = meaning
	}
	field.Key = values.Get(field.KeyName())
	switch field.Kind {
	case Object:
		field.Present = field.Fixed || values.Get(field.PresentName()) != ""
		if !field.Present {
			return
		}
		f.open(field)
		field.Rest = strings.TrimSpace(lines(values.Get(field.RestName())))
		for _, part := range field.Parts {
			f.read(part, values)
		}
	case List, Map:
		n, _ := strconv.Atoi(values.Get(field.CountName())) // without one there are none
		field.Parts = nil
		for range n {
			if f.Large = f.Large || f.fields >= MaxFields; f.Large {
				return
			}
			f.read(f.grow(field), values)
		}
	case Boolean, Choice:
		field.Text = values.Get(field.Name)
		if field.Box() {
			field.Text = strconv.FormatBool(field.Text != "")
		}
		if meaning, ok := strings.CutPrefix(field.Text, Meaning); ok {
			field.Text = ""
			if slices.Contains(field.Empties, meaning) {
				field.Empty = meaning
			}
		}
	default:
		field.Text = lines(values.Get(field.Name))
		field.Long = strings.Contains(field.Text, "\n")
	}
}

// Meaning begins the value of a choice that chooses nothing; what nothing means follows. No
// JSON begins so.
const Meaning = "~"

// lines is a text with the ends of lines that it had before a browser sent it.
func lines(text string) string { return strings.ReplaceAll(text, "\r\n", "\n") }

// Box reports whether the field is a checkbox: a Boolean that is always written.
func (field *Field) Box() bool { return field.Kind == Boolean && field.Empties[0] == Missing }

// The edits of a form, as its buttons send them: the edit, a colon and the field's name.
const (
	Add   = "add"   // a part to a list or a map
	Drop  = "drop"  // the part itself
	Open  = "open"  // gives an object its members
	Close = "close" // takes them away
)

// Edit carries out an edit, and reports whether it is one of a field of the form.
func (f *Form) Edit(do string) bool {
	edit, name, ok := strings.Cut(do, ":")
	field, parent := find(f.Root, nil, name)
	if !ok || field == nil {
		return false
	}
	switch {
	case edit == Add && (field.Kind == List || field.Kind == Map):
		if f.Large = f.Large || f.fields >= MaxFields; !f.Large {
			part := f.grow(field)
			if part.Kind == Object && !part.Fixed { // what else would be added?
				f.open(part)
			}
			part.first().Focus = true
		}
	case edit == Drop && field.Removable:
		i := slices.Index(parent.Parts, field)
		parent.Parts = slices.Delete(parent.Parts, i, i+1)
		for ; i < len(parent.Parts); i++ {
			parent.Parts[i].rename(parent.Name + "/" + strconv.Itoa(i))
			if parent.Kind == List {
				parent.Parts[i].Label = f.item(i)
			}
		}
		parent.Focus = true
	case edit == Open && field.Kind == Object:
		f.open(field)
		field.first().Focus = true
	case edit == Close && field.Kind == Object && !field.Fixed:
		field.Present, field.Parts, field.Focus = false, nil, true
	default:
		return false
	}
	return true
}

// first is the first field within a field that can be typed into.
func (field *Field) first() *Field {
	if field.Kind == Object && len(field.Parts) > 0 && !field.Keyed {
		return field.Parts[0].first()
	}
	return field
}

func find(field, parent *Field, name string) (found, of *Field) {
	if field.Name == name {
		return field, parent
	}
	for _, part := range field.Parts {
		if found, of := find(part, field, name); found != nil {
			return found, of
		}
	}
	return nil, nil
}

// rename gives a field another place in its list, and with it all of its parts.
func (field *Field) rename(name string) {
	for _, part := range field.Parts {
		part.rename(name + strings.TrimPrefix(part.Name, field.Name))
	}
	field.Name = name
}
