package argform

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// Fill fills the form with arguments. If it reports false, they do not fit the form, and
// can be edited only as JSON.
func (f *Form) Fill(args json.RawMessage) bool { return f.fill(f.Root, args) && f.fields <= MaxFields }

func (f *Form) fill(field *Field, value json.RawMessage) bool {
	var content string
	if field.shape.quoted && string(value) != "null" {
		if json.Unmarshal(value, &content) != nil || !json.Valid([]byte(content)) {
			return false
		}
		value = json.RawMessage(content)
	}
	return f.fillPlain(field, value)
}

// fillPlain is fill for a value that is not in a string.
func (f *Form) fillPlain(field *Field, value json.RawMessage) bool {
	value = bytes.TrimSpace(value)
	if f.fields > MaxFields || len(value) == 0 {
		return false
	}
	if string(value) == "null" && field.Kind != JSON {
		field.Empty = Null
		return slices.Contains(field.Empties, Null)
	}
	switch field.Kind {
	case Text, Time:
		return field.fillText(value)
	case Number:
		field.Text = string(value)
		return value[0] == '-' || value[0] >= '0' && value[0] <= '9'
	case Boolean:
		field.Text = string(value)
		return field.Text == "true" || field.Text == "false"
	case Choice:
		var of any
		_ = json.Unmarshal(value, &of) // it is JSON
		text, _ := json.Marshal(of)
		field.Text = string(text)
		return slices.ContainsFunc(field.Choices, func(o Option) bool { return o.Value == field.Text })
	case Object:
		return f.fillObject(field, value)
	case List:
		return f.fillList(field, value)
	case Map:
		return f.fillMap(field, value)
	}
	var out bytes.Buffer
	if json.Indent(&out, value, "", "  ") != nil {
		return false
	}
	field.Text = out.String()
	return true
}

// fillText takes over a string, if a browser keeps it as it is.
func (field *Field) fillText(value json.RawMessage) bool {
	if json.Unmarshal(value, &field.Text) != nil || strings.ContainsAny(field.Text, "\r\x00") {
		return false
	}
	field.Long = strings.Contains(field.Text, "\n")
	if field.Text == "" {
		field.Empty = EmptyValue
		return slices.Contains(field.Empties, EmptyValue)
	}
	return true
}

func (f *Form) fillObject(field *Field, value json.RawMessage) bool {
	members, ok := membersOf(value)
	if !ok {
		return false
	}
	f.open(field)
	for _, part := range field.Parts {
		i := slices.IndexFunc(members, func(m member) bool { return m.name == part.member })
		if i < 0 {
			part.absent()
			continue
		}
		if !f.fill(part, members[i].value) {
			return false
		}
		members = slices.Delete(members, i, i+1)
	}
	if len(members) > 0 {
		field.Rest = indented(members)
	}
	return true
}

// absent makes a field mean what it does where its member is not there.
func (field *Field) absent() {
	for _, meaning := range []string{Null, Omitted} {
		if slices.Contains(field.Empties, meaning) {
			field.Empty = meaning
		}
	}
	field.Text, field.Present = "", field.Present && field.Fixed
	if field.Kind == List || field.Kind == Map {
		field.Parts = nil
	}
}

func (f *Form) fillList(field *Field, value json.RawMessage) bool {
	var items []json.RawMessage
	if json.Unmarshal(value, &items) != nil {
		return false
	}
	field.Empty, field.Parts = EmptyValue, nil
	for _, item := range items {
		if !f.fill(f.grow(field), item) {
			return false
		}
	}
	return len(items) > 0 || slices.Contains(field.Empties, EmptyValue)
}

func (f *Form) fillMap(field *Field, value json.RawMessage) bool {
	members, ok := membersOf(value)
	if !ok {
		return false
	}
	field.Empty, field.Parts = EmptyValue, nil
	for _, m := range members {
		part := f.grow(field)
		part.Key = m.name
		if strings.ContainsAny(m.name, "\r\n\x00") || !f.fill(part, m.value) {
			return false
		}
	}
	return len(members) > 0 || slices.Contains(field.Empties, EmptyValue)
}

// member is one of a JSON object's.
type member struct {
	name  string
	value json.RawMessage
}

// membersOf returns the members of a JSON object in their order; false if it is none, or
// has two of one name.
func membersOf(value json.RawMessage) (members []member, ok bool) {
	d := json.NewDecoder(bytes.NewReader(value))
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil, false
	}
	for d.More() {
		token, err := d.Token()
		var m member
		if err != nil || d.Decode(&m.value) != nil {
			return nil, false
		}
		m.name, _ = token.(string)
		if slices.ContainsFunc(members, func(other member) bool { return other.name == m.name }) {
			return nil, false
		}
		members = append(members, m)
	}
	return members, true
}

// indented is an object with a member a line.
func indented(members []member) string {
	var text, out bytes.Buffer
	text.WriteByte('{')
	for i, m := range members {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString(quote(m.name) + ":")
		text.Write(m.value)
	}
	text.WriteByte('}')
	_ = json.Indent(&out, text.Bytes(), "", "  ") // it is JSON
	return out.String()
}

// quote is a string as JSON, with <, > and & as they are.
func quote(text string) string {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a string can always be encoded
	return strings.TrimSuffix(out.String(), "\n")
}
